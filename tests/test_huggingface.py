"""Exports for Hugging Face, read with Arrow alone; `datasets` reads and writes them in test_formats.py."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from token_run import documents, manifest, names, token_run

from corpusmill.stages.tokens.export import export_run


@pytest.mark.parametrize("form", ["hf-parquet", "hf-arrow"])
def test_hugging_face(tmp_path: Path, form: str) -> None:
    export_run(token_run(), form, str(tmp_path))
    shards = [s for s in manifest(token_run())["shards"] if (s["source"], s["bucket"]) == ("a", "all")]
    if form == "hf-parquet":
        tables = [pq.read_table(tmp_path / f"{shard['path'].removeprefix('tokens/')}.parquet") for shard in shards]
    else:
        state = json.loads((tmp_path / "a/all/state.json").read_text())
        files = [tmp_path / "a/all" / entry["filename"] for entry in state["_data_files"]]
        tables = [pa.ipc.open_stream(file.read_bytes()).read_all() for file in files]
    for table, shard in zip(tables, shards, strict=True):
        assert table.column("id").to_pylist() == names(shard)
        assert table.column("input_ids").to_pylist() == documents(shard)
