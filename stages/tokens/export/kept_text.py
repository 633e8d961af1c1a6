"""Kept text with its measures and where it comes from, as Parquet or compressed JSON lines: a file per part."""

import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from corpusmill.pipeline.columns import integers, one_chunk, take
from corpusmill.pipeline.parts import PART_COLUMNS, PartRef, final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder

LEFT_OUT = ("row", "group")


def export_parquet(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """`<source>/<part>.parquet`: id, source, url, lang, num_bytes, measures, text, meta."""
    for part in final_parts(run):
        name = f"{part.source}/{part.name}.parquet"
        batches = kept_batches(run, part)
        first = next(batches, None)
        if first is None:
            continue
        with (
            fresh(out, name) as file,
            pq.ParquetWriter(pa.PythonFile(cast("Any", file), mode="w"), first.schema, compression="zstd") as writer,
        ):
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)
        yield name


def export_jsonl(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """`<source>/<part>.jsonl.zst`: the same columns, a JSON object per line; columns that are null are left out."""
    for part in final_parts(run):
        name = f"{part.source}/{part.name}.jsonl.zst"
        batches = kept_batches(run, part)
        first = next(batches, None)
        if first is None:
            continue
        with fresh(out, name) as file, zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed:
            lines = io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
            for batch in (first, *batches):
                for row in batch.to_pylist():
                    row["meta"] = json.loads(row["meta"]) if row["meta"] else None
                    kept = {key: value for key, value in row.items() if value is not None}
                    lines.write(json.dumps(kept, ensure_ascii=False, default=str) + "\n")
            lines.flush()
            lines.detach()
        yield name


def kept_batches(run: RunFolder, part: PartRef) -> Iterator[pa.RecordBatch]:
    """The part's kept documents as they are exported."""
    with run.parquet(part.measures.path) as file:
        measures = [name for name in file.schema_arrow.names if name not in PART_COLUMNS]
    meta = one_chunk(run.read_table(part.documents.path, ["meta"]), "meta")
    for batch in read_part(run, part, measures, text=True):
        rows = integers(batch.column("row"), "u8") - part.first_row
        kept = [name for name in batch.schema.names if name not in LEFT_OUT]
        yield batch.select(kept).append_column("meta", take(meta, rows))


def fresh(out: RunFolder, name: str) -> BinaryIO:
    """A new file; an older one of that name is replaced."""
    out.remove(name)
    return cast("BinaryIO", out.create(name))
