"""Buckets: slices of a source by a measured value, which a curriculum schedules apart.

A numeric column cuts each source at its quantiles by documents into `b0`, `b1`, … of equal counts (up to ties); the
quantiles are exact up to a million documents per source and come from a sample by hash of id above. A text column
gives one bucket per value. No value is `none`, held out is `val`, all in `all` without buckets.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import flags, integers, one_chunk
from corpusmill.pipeline.document import Column, schema_of
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import code_hash
from corpusmill.pipeline.parts import PartRef, final_parts, part_inputs, read_part
from corpusmill.pipeline.phases import Desk, Unit, receipts_of
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.split import held_out, rows_identity, whole_unit
from corpusmill.stages.tokens.token_order import document_hashes
from corpusmill.stages.tokens.token_settings import TokenSettings

VALUES, EDGES = "tokens/edges/values", "tokens/edges/quantiles"
ALL, NONE, VAL = "all", "none", "val"
SAMPLED = 1 << 20
"""Documents per source from which quantiles are taken."""

VALUE_SCHEMA = schema_of(hash=pa.uint64(), value=pa.float64())


@dataclass(frozen=True)
class BucketValues:
    """Per part: the measured values of its training documents with the smallest hashes."""

    settings: TokenSettings
    seed: int

    name = VALUES

    def fingerprint(self) -> Any:
        return {"code": code_hash(__name__), "seed": self.seed, "column": self.settings.bucket_by}

    def units(self, run: RunFolder) -> list[Unit]:
        val = held_out(run)
        units = []
        for part in final_parts(run):
            held = val.of_part(part)
            inputs, size = part_inputs(part, text=False), part.measures.num_bytes
            units.append(Unit(part.name, part.source, inputs, rows_identity(held), (part, held), size))
        return units

    def work(self, unit: Unit, desk: Desk) -> Books:
        part: PartRef
        part, held = unit.spec
        column = self.settings.bucket_by or ""
        hashes, values = np.zeros(0, np.uint64), np.zeros(0, np.float64)
        books = Books()
        for batch in read_part(desk.run, part, (column,), text=False):
            books.documents_in += batch.num_rows
            books.bytes_in += int(integers(batch.column("num_bytes")).sum())
            if is_text(batch, column):
                continue
            found = numbers(batch.column(column))
            chosen = ~np.isin(integers(batch.column("row"), np.uint64), held) & ~np.isnan(found)
            hashes = np.concatenate([hashes, document_hashes(batch, self.seed, "buckets")[chosen]])
            values = np.concatenate([values, found[chosen]])
            smallest = np.lexsort((values, hashes))[:SAMPLED]
            hashes, values = hashes[smallest], values[smallest]
        books.documents_kept, books.bytes_kept = books.documents_in, books.bytes_in
        with desk.parquet("values", f"edges/{part.name}.parquet", VALUE_SCHEMA) as file:
            file.write(pa.table(cast("Any", {"hash": hashes, "value": values}), schema=VALUE_SCHEMA))
        return books


@dataclass(frozen=True)
class BucketEdges:
    """One unit: the quantile edges of every source, as JSON {source: [edges]}."""

    settings: TokenSettings

    name = EDGES

    def fingerprint(self) -> Any:
        return {"code": code_hash(__name__), "num_buckets": self.settings.num_buckets}

    def units(self, run: RunFolder) -> list[Unit]:
        return [whole_unit(run, VALUES, "values")]

    def work(self, unit: Unit, desk: Desk) -> Books:
        samples: dict[str, pa.Table] = {}
        for source, path in unit.spec:
            table = desk.run.read_table(path)
            merged = pa.concat_tables([samples[source], table]) if source in samples else table
            samples[source] = merged.sort_by([("hash", "ascending"), ("value", "ascending")]).slice(0, SAMPLED)
        edges = {}
        for source, table in sorted(samples.items()):
            values = one_chunk(table, "value").to_numpy(zero_copy_only=False)
            edges[source] = quantile_edges(values, self.settings.num_buckets)
        with desk.create("edges", "edges/quantiles.json") as file:
            file.write(json.dumps(edges, sort_keys=True).encode())
        num_rows = sum(table.num_rows for table in samples.values())
        return Books(documents_in=num_rows, documents_kept=num_rows)


def quantile_edges(values: npt.NDArray[np.float64], num_buckets: int) -> list[float]:
    """The num_buckets - 1 values at which sorted values are cut into equal counts; ties go up together."""
    if not len(values):
        return []
    ordered = np.sort(values)
    return [float(ordered[len(ordered) * cut // num_buckets]) for cut in range(1, num_buckets)]


def read_edges(run: RunFolder) -> dict[str, list[float]]:
    """The edges of every source; none without buckets."""
    found = receipts_of(run, EDGES)
    return json.loads(run.read_bytes(found[0].require("edges").path)) if found else {}


def buckets_of(
    batch: pa.RecordBatch, bucket_by: str | None, edges: Sequence[float]
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of buckets, and which of them each document of a batch belongs to, the held-out split aside."""
    if bucket_by is None or bucket_by not in batch.schema.names:
        return [ALL if bucket_by is None else NONE], np.zeros(batch.num_rows, dtype=np.int64)
    if is_text(batch, bucket_by):
        column = cast("Any", batch.column(bucket_by))
        found = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        texts = found.dictionary.to_pylist()
        return [*map(folder_name, texts), NONE], integers(found.indices.fill_null(len(texts)))
    values = numbers(batch.column(bucket_by))
    width = len(str(max(len(edges), 0)))
    names = [*(f"b{index:0{width}d}" for index in range(len(edges) + 1)), NONE]
    index = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
    return names, np.where(np.isnan(values), len(edges) + 1, index).astype(np.int64)


def folder_name(value: str | None) -> str:
    """A text value as a bucket's name; letters, digits, `_` and `-` stay."""
    name = re.sub(r"[^0-9A-Za-z_-]", "_", value or NONE)
    return f"{name}_" if name in (VAL, ALL) else name


def is_text(batch: pa.RecordBatch, column: str) -> bool:
    if column not in batch.schema.names:
        raise RequestError(f"tokens.bucket_by: no stage measures {column!r}.")
    kind = batch.schema.field(column).type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def numbers(column: Column) -> npt.NDArray[np.float64]:
    """A measured column as float64, null as NaN."""
    values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    filled = np.where(flags(cast("Any", column.is_null()), null=True), np.nan, values)
    return np.asarray(filled, dtype=np.float64)
