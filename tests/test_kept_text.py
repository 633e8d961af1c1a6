"""Exports of kept text and of Megatron files, read back."""

import io
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard
from token_run import kept_texts, manifest, plain_documents, token_run

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.export import export_run


def test_parquet(tmp_path: Path) -> None:
    found: dict[str, str] = {}
    names = export_run(token_run(), "parquet", str(tmp_path))
    for name in names:
        table = pq.read_table(tmp_path / name)
        assert {"id", "source", "url", "text", "meta", "num_bytes"} <= set(table.column_names)
        found |= dict(zip(table.column("id").to_pylist(), table.column("text").to_pylist(), strict=True))  # type: ignore[arg-type]  # no nulls
    assert found == kept_texts(token_run())
    assert len(names) == 4
    assert export_run(token_run(), "parquet", str(tmp_path)) == names  # again, over the old ones


def test_jsonl(tmp_path: Path) -> None:
    found: dict[str, str] = {}
    for name in export_run(token_run(), "jsonl", str(tmp_path)):
        with (tmp_path / name).open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file)
            for line in io.TextIOWrapper(reader, encoding="utf-8", newline="\n"):
                record = json.loads(line)
                found[record["id"]] = record["text"]
                assert record["url"].startswith("https://")
    assert found == kept_texts(token_run())


def test_megatron_files_are_links_to_ours(tmp_path: Path) -> None:
    run = token_run()
    names = export_run(run, "megatron", str(tmp_path))
    assert len(names) == 2 * len(manifest(run)["shards"])
    for shard in manifest(run)["shards"]:
        prefix = shard["path"].removeprefix("tokens/").replace("/", ".")
        assert plain_documents(tmp_path / prefix) == plain_documents(run.path(shard["path"]))
        assert os.path.samefile(tmp_path / f"{prefix}.bin", run.path(f"{shard['path']}.bin"))


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="There is: "):
        export_run(token_run(), "cobol", str(tmp_path))
