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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.pipeline.columns import flags, integers, lengths, nulls, one_chunk, take_rows
from corpusmill.pipeline.document import BATCH_BYTES, split_batch
from corpusmill.pipeline.fingerprint import code_hash, hash_json, versions
from corpusmill.pipeline.parts import PartRef, final_parts, part_inputs, read_part
from corpusmill.pipeline.phases import Desk, TableOutput, Unit
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import Output, RunFolder
from corpusmill.stages.tokens.buckets import VAL, buckets_of, read_edges
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.split import held_out, rows_identity
from corpusmill.stages.tokens.token_order import document_hashes
from corpusmill.stages.tokens.token_settings import TokenSettings
from corpusmill.stages.tokens.token_shards import in_order
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
            desk.parquet(
                "index", f"encoded/{part.name}.parquet", schema, row_group_rows=INDEX_ROWS, compression="lz4"
            ) as index,
        ):
            expected = min(part.num_bytes + 2 * part.documents.num_rows, self.settings.run_tokens + BATCH_BYTES)
            runs = SortedRuns(body, index, schema, encoder, self.settings.run_tokens, expected)
            for rows in read_part(desk.run, part, columns, text=True):
                for batch in split_batch(rows, min(BATCH_BYTES, self.settings.run_tokens)):
                    is_val = np.isin(integers(batch.column("row"), np.uint64), held)
                    names, index_of = buckets_of(batch, self.settings.bucket_by, edges)
                    bucket = np.where(is_val, len(names), index_of)
                    runs.add(batch, [*names, VAL], bucket, document_hashes(batch, self.seed, "order"))
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
    """Collects encoded documents and writes them in sorted runs. Ids wait in one array, rows as Arrow and numpy."""

    body: Output
    index: TableOutput
    schema: pa.Schema
    encoder: Encoder
    run_tokens: int
    expected_tokens: int = 0  # of the first run: room made at once; what is not filled costs nothing
    num_runs: int = 0
    num_tokens: int = 0
    num_not_lossless: int = 0
    _ids: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    _waiting: int = 0  # how many of them are documents, each with its end id
    _given: list[pa.RecordBatch] = field(default_factory=list)  # columns of the part
    _made: list[dict[str, npt.NDArray[Any]]] = field(default_factory=list)  # columns made here; `bucket` in _buckets
    _buckets: dict[str, int] = field(default_factory=dict)  # name -> number

    def add(
        self, batch: pa.RecordBatch, buckets: Sequence[str], bucket: npt.NDArray[np.int64], hashes: npt.NDArray[Any]
    ) -> None:
        """Encode a batch with the columns of the part and `text`; `bucket` [rows] is the number in `buckets`."""
        texts = batch.column("text")
        ids, offsets = self.encoder.encode(texts, self.encoder.card.end_of_document, self._room)
        lossless = self.encoder.lossless(texts, ids, offsets)
        numbers = np.array([self._buckets.setdefault(name, len(self._buckets)) for name in buckets])
        self._made.append(
            {
                "bucket": numbers[bucket],
                "hash": hashes,
                "row": integers(batch.column("row"), np.uint64),
                "token_start": self._waiting + offsets[:-1],
                "num_tokens": np.diff(offsets),
                "num_bytes": lengths(texts),
                "lossless": lossless,
            }
        )
        given = [name for name in batch.schema.names if name in self.schema.names and name not in self._made[-1]]
        self._given.append(batch.select(given))
        self.num_not_lossless += len(lossless) - int(lossless.sum())
        self._waiting += len(ids)
        if self._waiting >= self.run_tokens:
            self.flush()

    def _room(self, count: int) -> npt.NDArray[np.int32]:
        """Room for so many ids behind those that wait."""
        wanted = self._waiting + count
        if wanted > len(self._ids):
            larger = np.empty(max(wanted, self.expected_tokens), dtype=np.int32)
            larger[: self._waiting] = self._ids[: self._waiting]
            self._ids = larger
        return self._ids[self._waiting : wanted]

    def flush(self) -> None:
        """Write what waits as one sorted run."""
        if not self._made:
            return
        made = {name: np.concatenate([rows[name] for rows in self._made]) for name in self._made[0]}
        names = np.array(list(self._buckets), dtype=object)
        order = np.lexsort((made["row"], made["hash"], np.argsort(np.argsort(names))[made["bucket"]]))
        made = {name: values[order] for name, values in made.items()}
        for ids in in_order(self._ids, made["token_start"], made["num_tokens"], self.encoder.card.dtype):
            self.body.write(ids)
        made["bucket"] = names[made["bucket"]]
        made["run"] = np.full(len(order), self.num_runs)
        made["token_start"] = self.num_tokens + np.cumsum(made["num_tokens"]) - made["num_tokens"]
        given = take_rows(pa.Table.from_batches(self._given), order)
        columns: list[Any] = []
        for f in self.schema:
            if f.name in made:
                columns.append(pa.array(made[f.name], f.type))
            else:
                columns.append(
                    given.column(f.name).cast(f.type) if f.name in given.column_names else nulls(len(order), f.type)
                )
        self.index.write(pa.Table.from_arrays(columns, schema=self.schema))
        self.num_runs += 1
        self.num_tokens += self._waiting
        self._made, self._given, self._waiting = [], [], 0


def index_slice(run: RunFolder, path: str, bucket: str, low: int, high: int) -> pa.Table:
    """The index rows of a bucket with low <= hash < high, reading only the row groups that can hold some."""
    with run.parquet(path) as file:
        groups = [
            group
            for group in range(file.num_row_groups)
            if _may_hold(file.metadata.row_group(group), bucket, low, high)
        ]
        table = file.read_row_groups(groups, use_threads=False) if groups else file.schema_arrow.empty_table()
    hashes = integers(one_chunk(table, "hash"), np.uint64)
    inside = (hashes >= np.uint64(low)) & (hashes <= np.uint64(high - 1))
    inside &= flags(cast("Any", pc).equal(one_chunk(table, "bucket"), bucket), null=False)
    return table if inside.all() else take_rows(table, np.flatnonzero(inside))


def _may_hold(group: pq.RowGroupMetaData, bucket: str, low: int, high: int) -> bool:
    """From the statistics of a row group's first two columns, bucket and hash."""
    buckets, hashes = (cast("Any", group.column(index).statistics) for index in (0, 1))
    if buckets is None or hashes is None or not (buckets.has_min_max and hashes.has_min_max):
        return True
    return bool(buckets.min <= bucket <= buckets.max and hashes.min < high and low <= hashes.max)
