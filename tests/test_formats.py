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
from token_run import documents, flat, manifest, names, token_run, tokens

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.export import export_run
from corpusmill.stages.tokens.export.nanotron import for_people

ROOT = Path(__file__).parents[1]


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
    ("form", "environment"),
    [(form, "readers") for form in ("nanotron", "olmo", "litdata", "levanter", "hf-arrow", "hf-parquet")]
    + [("mds", "mosaic")],
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
    elif form == "levanter":
        lengths = [len(ids) for shard in shards for ids in documents(shard)]
        assert found["offsets"] == [len(lengths), *np.cumsum(lengths).tolist()]
        assert found["data"] == [token for one in flat_tokens for token in one]
    elif form.startswith("hf-"):
        assert found == [
            [name, ids] for shard in shards for name, ids in zip(names(shard), documents(shard), strict=True)
        ]
    else:
        assert found == [ids for shard in shards for ids in documents(shard)]


def written_by(environment: str, form: str, shards: list[dict[str, Any]], folder: Path) -> Path:
    """The folder into which the format's own writer wrote these files' documents."""
    folder.mkdir()
    given = {
        "files": [documents(shard) for shard in shards],
        "names": [names(shard) for shard in shards],
        "tokenizer": manifest(token_run())["tokenizer"]["hash"],
    }
    python, script = ROOT / f".venv-{environment}/bin/python", ROOT / "tests/real/token_writers.py"
    command = [str(python), str(script), form, str(folder)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.real
@pytest.mark.parametrize(
    ("form", "environment"),
    [(form, "readers") for form in ("nanotron", "olmo", "litdata", "hf-arrow")] + [("mds", "mosaic")],
)
def test_each_export_is_what_its_own_writer_writes(tmp_path: Path, form: str, environment: str) -> None:
    run = token_run()
    export_run(run, form, str(tmp_path / "ours"))
    shards = [s for s in manifest(run)["shards"] if (s["source"], s["bucket"]) == ("a", "all")]
    theirs, ours = written_by(environment, form, shards, tmp_path / "theirs"), tmp_path / "ours"
    if form == "nanotron":
        for number, shard in enumerate(shards):
            for suffix in ("ds", "ds.index", "ds.metadata"):
                expected = (theirs / f"{number}.{suffix}").read_bytes()
                assert (ours / f"{flat(shard['path'])}.{suffix}").read_bytes() == expected
    elif form == "olmo":  # its writer gives starts and ends; dolma's has three columns more
        for number, shard in enumerate(shards):
            name = flat(shard["path"])
            assert (ours / f"{name}.npy").read_bytes() == (theirs / f"{number}.npy").read_bytes()
            rows = gzip.decompress((ours / f"{name}.csv.gz").read_bytes()).decode().splitlines()
            expected_rows = gzip.decompress((theirs / f"{number}.csv.gz").read_bytes()).decode().splitlines()
            assert [",".join(row.split(",")[:2]) for row in rows] == expected_rows
    elif form == "litdata":
        for number in range(len(shards)):
            name = f"chunk-0-{number}.bin"
            assert (ours / "a/all" / name).read_bytes() == (theirs / name).read_bytes()
        indices = [json.loads((place / "index.json").read_text()) for place in (ours / "a/all", theirs)]
        assert indices[0]["chunks"] == indices[1]["chunks"]
        for key in ("compression", "data_format", "data_spec", "encryption", "item_loader"):
            assert indices[0]["config"][key] == indices[1]["config"][key]
    elif form == "hf-arrow":
        import pyarrow as pa

        mine, own = (
            [pa.ipc.open_stream(file.read_bytes()).read_all() for file in sorted(place.glob("*.arrow"))]
            for place in (ours / "a/all", theirs)
        )
        assert mine[0].schema.equals(own[0].schema, check_metadata=True)
        assert pa.concat_tables(mine).to_pylist() == pa.concat_tables(own).to_pylist()
        for name in ("state.json", "dataset_info.json"):
            left, right = (json.loads((place / name).read_text()) for place in (ours / "a/all", theirs))
            assert left.keys() <= right.keys()
            assert left.get("features") == right.get("features")
    else:  # a folder per source and bucket of ours holds all files' shards
        expected_entries: list[Any] = []
        for number in range(len(shards)):
            body = json.loads((theirs / str(number) / "index.json").read_text())
            data = (theirs / str(number) / "shard.00000.mds").read_bytes()
            assert (ours / f"a/all/shard.{number:05d}.mds").read_bytes() == data
            body["shards"][0]["raw_data"]["basename"] = f"shard.{number:05d}.mds"
            expected_entries += body["shards"]
        assert (ours / "a/all/index.json").read_text() == json.dumps(
            {"shards": expected_entries, "version": 2}, sort_keys=True
        )
