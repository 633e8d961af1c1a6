"""Hugging Face: a row per document, `id` and `input_ids` with the end id, as Parquet or as a saved `datasets` folder.

Parquet is what `load_dataset("parquet", …)` and the Hub read. The folder is what `Dataset.save_to_disk` writes: Arrow
streams `data-00000-of-00002.arrow`, `state.json` that names them, `dataset_info.json` with the features. Source:
datasets 5, arrow_dataset.py. Memory: a group of about 2**22 tokens.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_shards import TokenShard, read_manifest

GROUP_TOKENS = 1 << 22
FEATURES = {
    "id": {"dtype": "string", "_type": "Value"},
    "input_ids": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"},
}
SCHEMA = pa.schema(
    [("id", pa.string()), ("input_ids", pa.list_(pa.int32()))],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def export_hf_parquet(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """`<source>/<bucket>/00000.parquet`, a row group per 2**22 tokens or so."""
    for shard in read_manifest(run).shards:
        name = f"{shard.path.removeprefix('tokens/')}.parquet"
        out.remove(name)
        with (
            out.create(name) as file,
            pq.ParquetWriter(pa.PythonFile(cast("Any", file), mode="w"), SCHEMA, compression="zstd") as writer,
        ):
            for batch in document_batches(shard):
                writer.write_batch(batch)
        yield name


def export_hf_arrow(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """A folder `<source>/<bucket>` per source and bucket, for `datasets.load_from_disk`."""
    folders: dict[str, list[TokenShard]] = {}
    for shard in read_manifest(run).shards:
        folders.setdefault(f"{shard.source}/{shard.bucket}", []).append(shard)
    for folder, shards in folders.items():
        names = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
        for name, shard in zip(names, shards, strict=True):
            out.remove(f"{folder}/{name}")
            with (
                out.create(f"{folder}/{name}") as file,
                pa.ipc.new_stream(pa.PythonFile(cast("Any", file), mode="w"), SCHEMA) as writer,
            ):
                for batch in document_batches(shard):
                    writer.write_batch(batch)
            yield f"{folder}/{name}"
        state: dict[str, Any] = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": shards[0].checksum[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        info = {"citation": "", "description": "", "features": FEATURES, "homepage": "", "license": ""}
        for name, body in (("state.json", state), ("dataset_info.json", info)):
            out.put(f"{folder}/{name}", json.dumps(body, indent=2, sort_keys=True).encode())
            yield f"{folder}/{name}"


def document_batches(shard: TokenShard) -> Iterator[pa.RecordBatch]:
    """A token file's documents, some at a time."""
    table = shard.documents(["id", "num_tokens"])
    names, counts = one_chunk(table, "id"), integers(one_chunk(table, "num_tokens"))
    ends = np.r_[0, np.cumsum(counts)]
    first = 0
    while first < len(counts):
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + GROUP_TOKENS, side="right")) - 1)
        ids = pa.array(shard.tokens(int(ends[first]), int(ends[last])).astype(np.int32))
        offsets = pa.array((ends[first : last + 1] - ends[first]).astype(np.int32))
        lists = pa.ListArray.from_arrays(cast("Any", offsets), cast("Any", ids))
        yield pa.RecordBatch.from_arrays(
            [names.slice(first, last - first).cast(pa.string()), lists.cast(SCHEMA.field("input_ids").type)],
            schema=SCHEMA,
        )
        first = last
