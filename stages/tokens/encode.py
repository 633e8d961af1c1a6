"""Encoding: the kept documents of a part to token ids, sorted for placing.

Writes `encoded/<part>.bin` (ids as they are stored for good, each document with its end id) and an index, a row per
document. Documents are sorted by (bucket, hash of id) in runs of about `run_tokens`, so memory is bounded whatever the
part's size, and a token file later reads one stretch per run. Held-out documents are the bucket `val`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.pipeline.columns import integers, lengths
from corpusmill.pipeline.document import BATCH_BYTES, Column, split_batch, text_buffers
from corpusmill.pipeline.fingerprint import code_hash, hash_json, versions
from corpusmill.pipeline.parts import PartRef, final_parts, part_inputs, read_part
from corpusmill.pipeline.phases import Desk, TableOutput, Unit
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import Output, RunFolder
from corpusmill.stages.kernels.end_ids import put_end_ids
from corpusmill.stages.kernels.text_lengths import text_lengths
from corpusmill.stages.tokens.buckets import VAL, bucket_names, read_edges
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.split import held_out, rows_identity
from corpusmill.stages.tokens.token_order import document_hashes
from corpusmill.stages.tokens.token_settings import TokenSettings
from corpusmill.stages.tokens.token_shards import joined
from corpusmill.stages.tokens.tokenizer_file import LIBRARIES
from corpusmill.stages.tokens.vocabulary import open_tokenizer, tokenizer_identity

ENCODE = "tokens/encode"
INDEX_ROWS = 4096
"""Rows of an index row group: what a token file reads of a part beside its own rows."""

INDEX_COLUMNS: dict[str, pa.DataType] = {
    "bucket": pa.string(),
    "hash": pa.uint64(),  # of (seed, id): the order of documents in files
    "row": pa.uint64(),
    "run": pa.int32(),
    "token_start": pa.int64(),  # in encoded/<part>.bin
    "num_tokens": pa.int64(),  # with the end id
    "num_bytes": pa.int64(),  # UTF-8 bytes of the text
    "num_characters": pa.int64(),
    "num_words": pa.int64(),  # between spaces; 0 for text of a script without them
    "lossless": pa.bool_(),  # the ids decode to the text byte for byte
    "id": pa.string(),
    "source": pa.string(),
    "url": pa.string(),
    "lang": pa.string(),
}


@dataclass(frozen=True)
class EncodePhase:
    """A unit per part."""

    settings: TokenSettings
    seed: int

    name = ENCODE

    def fingerprint(self) -> Any:
        s = self.settings
        return {
            "code": code_hash(__name__),
            "seed": self.seed,
            "settings": [s.bucket_by, s.measures, s.run_tokens],
            "versions": versions(LIBRARIES),
        }

    def units(self, run: RunFolder) -> list[Unit]:
        val, edges, tokenizer = held_out(run), read_edges(run), tokenizer_identity(run)
        units = []
        for part in final_parts(run):
            held, cuts = val.of_part(part), edges.get(part.source, [])
            inputs = (*part_inputs(part), *tokenizer)
            settings = [rows_identity(held), cuts]
            units.append(Unit(part.name, part.source, inputs, settings, (part, held, cuts), part.documents.num_bytes))
        return units

    def work(self, unit: Unit, desk: Desk) -> Books:
        part: PartRef
        part, held, edges = unit.spec
        columns = self.settings.columns()
        encoder = opened(desk.run)
        books = Books()
        measured = measured_types(desk.run, part, self.settings.measures)
        schema = pa.schema([*INDEX_COLUMNS.items(), *measured.items()])
        with (
            desk.create("encoded", f"encoded/{part.name}.bin") as body,
            desk.parquet("index", f"encoded/{part.name}.parquet", schema, row_group_rows=INDEX_ROWS) as index,
        ):
            runs = SortedRuns(body, index, schema, encoder, self.settings.run_tokens)
            for rows in read_part(desk.run, part, columns, text=True):
                for batch in split_batch(rows, min(BATCH_BYTES, self.settings.run_tokens)):
                    is_val = np.isin(integers(batch.column("row"), np.uint64), held)
                    buckets = np.where(is_val, VAL, bucket_names(batch, self.settings.bucket_by, edges))
                    runs.add(batch, buckets, document_hashes(batch, self.seed, "order"))
                    num_bytes = int(lengths(batch.column("text")).sum())
                    books.documents_in += batch.num_rows
                    books.documents_kept += batch.num_rows
                    books.bytes_in += num_bytes
                    books.bytes_kept += num_bytes
                    books.notes["val_documents"] = books.notes.get("val_documents", 0) + int(is_val.sum())
            runs.flush()
        books.notes |= {"num_tokens": runs.num_tokens, "not_lossless": runs.num_not_lossless}
        return books


_OPENED: dict[str, Encoder] = {}


def opened(run: RunFolder) -> Encoder:
    """The run's encoder, opened once per process."""
    key = hash_json([run.url, *tokenizer_identity(run)])
    if key not in _OPENED:
        _OPENED.clear()
        _OPENED[key] = open_tokenizer(run)
    return _OPENED[key]


def measured_types(run: RunFolder, part: PartRef, measures: Sequence[str]) -> dict[str, pa.DataType]:
    """The types of the measured columns to keep, from the part's files; those that it lacks are null."""
    types: dict[str, pa.DataType] = {}
    for file in (part.measures, *part.decisions):
        with run.parquet(file.path) as opened_file:
            types |= dict(zip(opened_file.schema_arrow.names, opened_file.schema_arrow.types, strict=True))
    return {name: types.get(name, pa.null()) for name in measures if name not in INDEX_COLUMNS}


@dataclass
class SortedRuns:
    """Collects encoded documents and writes them in sorted runs."""

    body: Output
    index: TableOutput
    schema: pa.Schema
    encoder: Encoder
    run_tokens: int
    num_runs: int = 0
    num_tokens: int = 0
    num_not_lossless: int = 0
    _documents: list[npt.NDArray[Any]] = field(default_factory=list)  # ids with the end id, as stored
    _rows: list[pa.RecordBatch] = field(default_factory=list)
    _waiting: int = 0

    def add(self, batch: pa.RecordBatch, buckets: "npt.NDArray[np.object_]", hashes: npt.NDArray[np.uint64]) -> None:
        """Encode a batch; its columns are those of the part, with `text`."""
        texts = batch.column("text")
        ids, offsets = self.encoder.encode(texts)
        lossless = self.encoder.lossless(texts, ids, offsets)
        characters, words = np.zeros(batch.num_rows, np.int64), np.zeros(batch.num_rows, np.int64)
        text_lengths(*text_buffers(texts), characters, words)
        stored = with_end(ids, offsets, self.encoder.card.end_of_document, self.encoder.card.dtype)
        ends = offsets[1:] + np.arange(1, len(offsets))
        starts = np.r_[0, ends[:-1]]
        self._documents += [stored[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        made: dict[str, Any] = {
            "bucket": pa.array(buckets, pa.string()),
            "hash": pa.array(hashes),
            "run": pa.nulls(batch.num_rows, pa.int32()),
            "token_start": pa.nulls(batch.num_rows, pa.int64()),
            "num_tokens": pa.array(np.diff(offsets) + 1),
            "num_bytes": pa.array(lengths(texts)),
            "num_characters": pa.array(characters),
            "num_words": pa.array(words),
            "lossless": pa.array(lossless),
        }
        columns: list[Column] = []
        for f in self.schema:
            column = made.get(f.name)
            if column is None:
                column = batch.column(f.name) if f.name in batch.schema.names else pa.nulls(batch.num_rows, f.type)
            columns.append(column.cast(f.type))
        self._rows.append(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        self.num_not_lossless += int((~lossless).sum())
        self._waiting += len(stored)
        if self._waiting >= self.run_tokens:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one sorted run."""
        table = pa.Table.from_batches(self._rows, schema=self.schema)
        if not table.num_rows:
            return
        by = [("bucket", "ascending"), ("hash", "ascending"), ("row", "ascending")]
        order = np.asarray(cast("Any", pa.compute).sort_indices(table, sort_keys=by))
        table = table.take(cast("Any", pa.array(order)))
        counts = integers(table.column("num_tokens").combine_chunks())
        starts = self.num_tokens + np.r_[0, np.cumsum(counts)[:-1]]
        for name, values in (("run", np.full(len(order), self.num_runs, np.int32)), ("token_start", starts)):
            table = table.set_column(self.schema.get_field_index(name), name, pa.array(values))
        for ids in joined(self._documents[i] for i in order):
            self.body.write(ids)
        self.index.write(table)
        self.num_runs += 1
        self.num_tokens += int(counts.sum())
        self._documents, self._rows, self._waiting = [], [], 0


def with_end(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], end: int, dtype: "np.dtype[Any]"
) -> npt.NDArray[Any]:
    """All ids in the stored type with `end` behind each document."""
    stored = np.empty(len(ids) + len(offsets) - 1, dtype=dtype)
    put_end_ids(ids, offsets, end, stored)
    return stored


def index_slice(run: RunFolder, path: str, bucket: str, low: int, high: int) -> pa.Table:
    """The index rows of a bucket with low <= hash < high, reading only the row groups that can hold some."""
    with run.parquet(path) as file:
        groups = [
            group
            for group in range(file.num_row_groups)
            if _may_hold(file.metadata.row_group(group), bucket, low, high)
        ]
        table = file.read_row_groups(groups, use_threads=False) if groups else file.schema_arrow.empty_table()
    hashes = integers(table.column("hash").combine_chunks(), np.uint64)
    inside = (hashes >= np.uint64(low)) & (hashes <= np.uint64(high - 1))
    inside &= np.asarray(table.column("bucket").to_numpy()) == bucket
    return table if inside.all() else table.take(cast("Any", pa.array(np.flatnonzero(inside))))


def _may_hold(group: pq.RowGroupMetaData, bucket: str, low: int, high: int) -> bool:
    """From the statistics of a row group's first two columns, bucket and hash."""
    buckets, hashes = (cast("Any", group.column(index).statistics) for index in (0, 1))
    if buckets is None or hashes is None or not (buckets.has_min_max and hashes.has_min_max):
        return True
    return bool(buckets.min <= bucket <= buckets.max and hashes.min < high and low <= hashes.max)
