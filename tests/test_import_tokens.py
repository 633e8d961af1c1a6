"""Imported token files: the same ids by document, a run that verifies, plans and is located in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from token_run import documents, manifest, plain_documents, token_run

from corpusmill.pipeline.cli import cli
from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.export import export_run
from corpusmill.stages.tokens.import_tokens import token_files
from corpusmill.stages.tokens.locate import locate
from corpusmill.stages.tokens.megatron_index import index_bytes


def call(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("form", ["megatron", "nanotron"])
def test_ids_are_those_of_the_files(tmp_path: Path, form: str) -> None:
    run = token_run()
    export_run(run, form, str(tmp_path / "out"))
    model = run.path("tokenizer/tokenizer.model")
    arguments = (f"old={tmp_path}/out", "--run", f"{tmp_path}/new", "--tokenizer", model, "--held-out", "0.1")
    call("import", *arguments)
    new = RunFolder(f"{tmp_path}/new")
    files = sorted(manifest(run)["shards"], key=lambda shard: shard["path"].replace("/", "."))
    shards = manifest(new)["shards"]
    assert manifest(new)["tokenizer"] == manifest(run)["tokenizer"]
    assert {shard["split"] for shard in shards} == {"train", "val"}
    for number, file in enumerate(files):
        mine = [plain_documents(new.path(f"tokens/old/{bucket}/{number:05d}")) for bucket in ("all", "val")]
        assert sorted(mine[0] + mine[1]) == sorted(documents(file))
        rows = [
            row
            for s in shards
            if s["path"].endswith(f"{number:05d}")
            for row in new.read_table(f"{s['path']}.docs.parquet").to_pylist()
        ]
        assert sum(row["num_bytes"] for row in rows) >= file["num_bytes"] - 10
    assert call("verify", str(tmp_path / "new"))["ok"]
    assert call("plan", str(tmp_path / "new"), "--tokens", "20000")["tokens"] > 0
    assert locate(new, "old", 0).offset == 0
    assert call("fertility", str(tmp_path / "new"))["sources"]["old"]["documents"] == sum(
        f["num_documents"] for f in files
    )
    before = sorted(new.names("receipts"))
    call("import", *arguments)  # nothing is done again
    assert sorted(new.names("receipts")) == before


def test_the_wrong_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(np.array([10, 60_000, 1], dtype="<u2").tobytes())
    (tmp_path / "x.idx").write_bytes(index_bytes(np.array([3]), 2))
    model = token_run().path("tokenizer/tokenizer.model")
    with pytest.raises(CorpusmillError, match="document 0: id 60000"):
        call("import", f"x={tmp_path}/x", "--run", f"{tmp_path}/run", "--tokenizer", model)


def test_places_are_files_prefixes_and_folders(tmp_path: Path) -> None:
    for name in ("a.bin", "b.ds", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    found = token_files([f"x={tmp_path}", f"y={tmp_path}/a", f"y={tmp_path}/b.ds", f"z={tmp_path}/b"])
    names = {source: [path.name for path in paths] for source, paths in found.items()}
    assert names == {"x": ["a.bin", "b.ds"], "y": ["a.bin", "b.ds"], "z": ["b.ds"]}
    for wrong, message in (("x", "SOURCE=PATH"), (f"x={tmp_path}/c.txt", "no .bin"), ("x=nowhere", "no .bin")):
        with pytest.raises(RequestError, match=message):
            token_files([wrong])


def test_a_built_run_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="a run that was built"):
        call("import", f"x={token_run().url}", "--run", token_run().url, "--tokenizer", "t.model")
