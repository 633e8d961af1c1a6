"""From a token of a source back to its document, through docs.parquet beside each shard.

Also the other way: the token ranges of documents given by id, to take them out of a run that is under way.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.mixtures.sources import Source, TokenReader
from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.run_folder import RunFolder

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Document:
    """The document behind a token, as its row in docs.parquet says."""

    id: str
    source: str
    url: str | None
    shard: str  # path of the shard under the run folder, without an ending
    token_start: int  # where the document starts in the shard
    num_tokens: int
    token: int  # which of the document's tokens; the last is its end token


def document_of(reader: TokenReader, token: int) -> Document:
    """The document that holds token number `token` of a source."""
    source = reader.source
    file = int(np.searchsorted(np.array(source.starts), token, side="right")) - 1
    if not 0 <= token < source.num_tokens:
        raise IndexError(f"{source.name}: token {token} of {source.num_tokens}")
    shard = source.shards[file]
    table, starts = documents_of(reader.run, shard.path)
    inside = token - source.starts[file]
    index = int(np.searchsorted(starts, inside, side="right")) - 1
    row = table.slice(index, 1).to_pylist()[0]
    return Document(
        id=row["id"],
        source=row["source"],
        url=row["url"],
        shard=shard.path,
        token_start=row["token_start"],
        num_tokens=row["num_tokens"],
        token=inside - row["token_start"],
    )


def document_ranges(source: Source, run: RunFolder) -> tuple[Ints, Ints]:
    """First token in the source and tokens of every document, two arrays [documents] in the order of the source."""
    starts = [np.zeros(0, dtype=np.int64)]
    lengths = [np.zeros(0, dtype=np.int64)]
    for shard, start in zip(source.shards, source.starts, strict=False):
        table = _read(run, shard.path, ["token_start", "num_tokens"])
        starts.append(table["token_start"].to_numpy().astype(np.int64) + start)
        lengths.append(table["num_tokens"].to_numpy().astype(np.int64))
    return np.concatenate(starts), np.concatenate(lengths)


def ranges_of_ids(source: Source, run: RunFolder, ids: Collection[str]) -> tuple[Ints, Ints]:
    """The same, of the documents with these ids. Reads the ids of the whole source."""
    wanted = pa.array(sorted(ids), type=pa.string())
    starts = [np.zeros(0, dtype=np.int64)]
    lengths = [np.zeros(0, dtype=np.int64)]
    for shard, start in zip(source.shards, source.starts, strict=False):
        table = _read(run, shard.path, ["id", "token_start", "num_tokens"])
        found = table.filter(pc.is_in(table["id"], value_set=wanted))
        starts.append(found["token_start"].to_numpy().astype(np.int64) + start)
        lengths.append(found["num_tokens"].to_numpy().astype(np.int64))
    return np.concatenate(starts), np.concatenate(lengths)


def measure_of(source: Source, run: RunFolder, column: str) -> npt.NDArray[np.float64]:
    """A measure of every document, float64 [documents] in the order of the source; NaN where it was not measured.

    Raises RequestError where the shards do not keep the measure, or it is no number.
    """
    parts: list[npt.NDArray[np.float64]] = [np.zeros(0)]
    for shard in source.shards:
        values = _read(run, shard.path, [column])[column]
        if not (pa.types.is_null(values.type) or pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise RequestError(f"{source.name}: measure {column} is {values.type}, not a number.")
        parts.append(values.cast(pa.float64()).to_numpy())  # NULL becomes NaN
    return np.concatenate(parts)


@lru_cache(maxsize=8)
def documents_of(run: RunFolder, shard: str) -> tuple[pa.RecordBatch, Ints]:
    """docs.parquet of one shard (id, source, url, token_start, num_tokens; rows in the order of the tokens), and the
    documents' first tokens [documents]."""
    table = _read(run, shard, ["id", "source", "url", "token_start", "num_tokens"]).combine_chunks()
    batch = table.to_batches()[0]
    return batch, batch["token_start"].to_numpy().astype(np.int64)


def _read(run: RunFolder, shard: str, columns: list[str]) -> pa.Table:
    name = f"{shard}.docs.parquet"
    if run.size(name) is None:
        raise DamagedFileError(f"{run.url}/{name} is missing: without it no token leads to its document; build again.")
    with run.parquet(name) as file:
        absent = [column for column in columns if column not in file.schema_arrow.names]
        if absent:
            raise RequestError(f"{run.url}/{name}: no column {absent[0]}; tokens.measures: [{absent[0]}] keeps it.")
        return file.read(columns=columns, use_threads=False)
