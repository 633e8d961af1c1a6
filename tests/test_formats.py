"""Exports of tokens: read from the formats' descriptions in plain Python, and by the real readers of each."""

import csv
import gzip
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import humanize
import numpy as np
import pytest
from token_run import manifest, plain_documents, token_run

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.export import export_run
from corpusmill.stages.tokens.export.nanotron import for_people

ROOT = Path(__file__).parents[1]


def flat(path: str) -> str:
    return path.removeprefix("tokens/").replace("/", ".")


def documents(shard: dict[str, Any]) -> list[list[int]]:
    return plain_documents(token_run().path(shard["path"]))


def tokens(shard: dict[str, Any]) -> list[int]:
    return [token for ids in documents(shard) for token in ids]


def test_nanotron(tmp_path: Path) -> None:
    export_run(token_run(), "nanotron", str(tmp_path))
    for shard in manifest(token_run())["shards"]:
        place = tmp_path / f"{flat(shard['path'])}.ds"
        assert np.fromfile(place, "<u2").tolist() == tokens(shard)
        ends = np.fromfile(f"{place}.index", "<u8").tolist()
        assert ends == np.cumsum([len(ids) for ids in documents(shard)]).tolist()
        tokenizer, count, people = Path(f"{place}.metadata").read_text().split("\n")
        assert tokenizer == f"{manifest(token_run())['tokenizer']['hash']}|2"
        assert int(count) == shard["num_tokens"]
        assert people == humanize.metric(shard["num_tokens"], unit="T")


@pytest.mark.parametrize("count", [0, 1, 12, 999, 1000, 1234, 12_345, 999_000, 123_456_789, 2_500_000_000_000])
def test_counts_for_people_are_as_humanize_writes_them(count: int) -> None:
    assert for_people(count) == humanize.metric(count, unit="T")


def test_olmo(tmp_path: Path) -> None:
    export_run(token_run(), "olmo", str(tmp_path))
    for shard in manifest(token_run())["shards"]:
        ids = np.fromfile(tmp_path / f"{flat(shard['path'])}.npy", "<u2").tolist()
        assert ids == tokens(shard)
        data = gzip.decompress((tmp_path / f"{flat(shard['path'])}.csv.gz").read_bytes())
        assert data.count(b"\r\n") == shard["num_documents"]
        rows = list(csv.reader(data.decode().splitlines()))
        assert [ids[int(row[0]) : int(row[1])] for row in rows] == documents(shard)
        assert {row[3] for row in rows} == {shard["source"]}


def test_llmc(tmp_path: Path) -> None:
    export_run(token_run(), "llmc", str(tmp_path))
    for shard in manifest(token_run())["shards"]:
        data = (tmp_path / f"{flat(shard['path'])}.bin").read_bytes()
        assert struct.unpack("<256i", data[:1024]) == (20240520, 1, shard["num_tokens"], *[0] * 253)
        assert np.frombuffer(data[1024:], "<u2").tolist() == tokens(shard)


def test_litdata(tmp_path: Path) -> None:
    export_run(token_run(), "litdata", str(tmp_path))
    body = json.loads((tmp_path / "a/all/index.json").read_text())
    shards = [s for s in manifest(token_run())["shards"] if (s["source"], s["bucket"]) == ("a", "all")]
    assert [chunk["dim"] for chunk in body["chunks"]] == [shard["num_tokens"] for shard in shards]
    for chunk, shard in zip(body["chunks"], shards, strict=True):
        data = (tmp_path / "a/all" / chunk["filename"]).read_bytes()
        assert struct.unpack_from("<III", data) == (1, 12, len(data))
        assert np.frombuffer(data[12:], "<u2").tolist() == tokens(shard)


def test_mds(tmp_path: Path) -> None:
    export_run(token_run(), "mds", str(tmp_path))
    found: list[list[int]] = []
    for entry in json.loads((tmp_path / "a/all/index.json").read_text())["shards"]:
        data = (tmp_path / "a/all" / entry["raw_data"]["basename"]).read_bytes()
        assert len(data) == entry["raw_data"]["bytes"]
        (count,) = struct.unpack_from("<I", data)
        offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
        assert entry["samples"] == count
        assert offsets[-1] == len(data)
        assert json.loads(data[4 + 4 * (count + 1) : offsets[0]])["column_names"] == ["id", "tokens"]
        for start in offsets[:-1]:
            name_bytes, token_bytes = struct.unpack_from("<II", data, start)
            body = data[start + 8 + name_bytes : start + 8 + name_bytes + token_bytes]
            assert body[0] >> 2 == 1
            width = 1 << (body[0] & 3)
            assert int.from_bytes(body[1 : 1 + width], "little") * 2 == token_bytes - 1 - width
            found.append(np.frombuffer(body[1 + width :], "<u2").tolist())
    shards = [s for s in manifest(token_run())["shards"] if (s["source"], s["bucket"]) == ("a", "all")]
    assert found == [ids for shard in shards for ids in documents(shard)]


def test_llmc_refuses_large_vocabularies(tmp_path: Path) -> None:
    import shutil

    from corpusmill.pipeline.run_folder import RunFolder

    shutil.copytree(token_run().path("tokens"), tmp_path / "run/tokens")
    body = manifest(token_run())
    run = RunFolder(str(tmp_path / "run"))
    run.put_json("tokens/manifest.json", body | {"tokenizer": body["tokenizer"] | {"vocab_size": 100_000}})
    with pytest.raises(RequestError, match="2-byte ids"):
        export_run(run, "llmc", str(tmp_path / "out"))


def read_by(environment: str, form: str, folder: Path) -> Any:
    python, script = ROOT / f".venv-{environment}/bin/python", ROOT / "tests/real/token_readers.py"
    done = subprocess.run([str(python), str(script), form, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.real
@pytest.mark.parametrize(
    ("form", "environment"), [("nanotron", "readers"), ("olmo", "readers"), ("litdata", "readers"), ("mds", "mosaic")]
)
def test_each_export_is_read_by_its_own_reader(tmp_path: Path, form: str, environment: str) -> None:
    run = token_run()
    export_run(run, form, str(tmp_path))
    found = read_by(environment, form, tmp_path)
    shards = [s for s in manifest(run)["shards"] if (s["source"], s["bucket"]) == ("a", "all")]
    flat_tokens = [tokens(shard) for shard in shards]
    if form == "nanotron":  # windows of 65 tokens, the tail dropped
        first = flat_tokens[0]
        assert found == [first[at : at + 65] for at in range(0, len(first) - 64, 65)]
    elif form == "olmo":  # sequences of 64 tokens, and document borders at the end id
        first = flat_tokens[0]
        assert found["sequences"] == [first[at : at + 64] for at in range(0, len(first) - 63, 64)]
        ends = np.cumsum([len(ids) for ids in documents(shards[0])]).tolist()
        assert found["documents"] == [list(pair) for pair in zip([0, *ends], ends, strict=False)]
    elif form == "litdata":  # blocks of 64 tokens of each chunk, the tail dropped
        assert found == [one[at : at + 64] for one in flat_tokens for at in range(0, len(one) - 63, 64)]
    else:
        assert found == [ids for shard in shards for ids in documents(shard)]
