"""Serves the rows of a plan as arrays of token ids, from memory-mapped shards.

    loader = PlanLoader.open(run, Plan.load(run / "plans" / "main.json"))
    tokens_BT = loader.rows(start, stop)                # positions [start, stop) of the plan
    inputs, targets = tokens_BT[:, :-1], tokens_BT[:, 1:]

The state of a training run is one whole number, the position. A rank takes its slice of each global batch
(`rank_slice`), so the number of ranks may change between any two steps. Every token leads back to its document
(`document_at`), every position to the rows drawn so far from each source (`rows_drawn`).

Positions are resolved a few thousand at a time and kept, so the arithmetic costs little beside the copy of the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.positions import Located, PositionMap
from corpusmill.mixtures.sources import TokenManifest, TokenReader, read_manifest
from corpusmill.pipeline.errors import DamagedFileError

CHUNK_POSITIONS = 4096
"""Positions resolved at a time: 0.5 µs each, against 60 µs for one alone."""

IndexArray = npt.NDArray[np.int64]


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


class PlanLoader:
    """Rows of one plan over one run's shards. Threads may share it."""

    def __init__(self, plan: Plan, manifest: TokenManifest) -> None:
        sources = plan.sources_in(manifest)
        self.plan = plan
        self.manifest = manifest
        self.positions = PositionMap(plan)
        self.readers = [TokenReader(source, manifest.run, manifest.dtype) for source in sources]
        self.chunk = lru_cache(maxsize=16)(self._resolve)

    @classmethod
    def open(cls, run: Path, plan: Plan) -> "PlanLoader":
        """Raises RequestError where the run's shards or tokenizer are not the plan's."""
        return cls(plan, read_manifest(run))

    def __len__(self) -> int:
        """Positions in the plan."""
        return self.plan.num_rows

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        """Tokens of positions [start, stop): [stop - start, T + 1], inputs and targets overlap by T - 1.

        Raises IndexError outside the plan.
        """
        places = self._places(start, stop)
        out: npt.NDArray[Any] = np.empty((stop - start, self.plan.sequence_length + 1), dtype=dtype)
        for slot, (reader, token) in enumerate(places):
            reader.read_into(out[slot], token)
        return out

    def pairs(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Inputs and targets of positions [start, stop): two contiguous arrays [stop - start, T]."""
        length, places = self.plan.sequence_length, self._places(start, stop)
        inputs = np.empty((stop - start, length), dtype=np.int64)
        targets = np.empty((stop - start, length), dtype=np.int64)
        for slot, (reader, token) in enumerate(places):
            tokens = reader.read(token, token + length + 1)
            inputs[slot] = tokens[:-1]
            targets[slot] = tokens[1:]
        return inputs, targets

    def sequence_length_at(self, position: int) -> int:
        """The length of the sequences in the phase of `position`."""
        return self.positions.phase_of(position).sequence_length

    def _places(self, start: int, stop: int) -> Iterator[tuple[TokenReader, int]]:
        """(reader, first token) of positions [start, stop)."""
        if not 0 <= start <= stop <= self.plan.num_rows:
            raise IndexError(f"positions [{start}, {stop}) of a plan with {self.plan.num_rows} rows")
        chunks = range(start // CHUNK_POSITIONS * CHUNK_POSITIONS, stop, CHUNK_POSITIONS)
        return chain.from_iterable(
            islice(self.chunk(first), max(start - first, 0), min(stop - first, CHUNK_POSITIONS)) for first in chunks
        )

    def rows_at(self, positions: IndexArray, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        """Tokens of any positions [n], in the order given: [n, T + 1]."""
        out: npt.NDArray[Any] = np.empty((len(positions), self.plan.sequence_length + 1), dtype=dtype)
        located = self.positions.locate(positions)
        for slot, (source, row) in enumerate(zip(located.source.tolist(), located.row.tolist(), strict=True)):
            self.readers[source].read_into(out[slot], row * self.plan.sequence_length)
        return out

    def locate(self, positions: IndexArray) -> Located:
        """(source, draw, epoch, row) of any positions [n]."""
        return self.positions.locate(positions)

    def rows_drawn(self, position: int) -> dict[str, int]:
        """Rows drawn from each source before `position`."""
        drawn = self.positions.drawn_by(position).tolist()
        return {source.name: rows for source, rows in zip(self.plan.sources, drawn, strict=True)}

    def document_at(self, position: int, token: int) -> Document:
        """The document of token `token` (0 .. T) of the row at `position`."""
        if not 0 <= token <= self.plan.sequence_length:
            raise IndexError(f"token {token} of a row of {self.plan.sequence_length} + 1")
        located = self.positions.locate(np.array([position], dtype=np.int64))
        reader = self.readers[int(located.source[0])]
        return document_of(reader, int(located.row[0]) * self.plan.sequence_length + token)

    def _resolve(self, first: int) -> list[tuple[TokenReader, int]]:
        located = self.positions.locate(np.arange(first, min(first + CHUNK_POSITIONS, self.plan.num_rows)))
        readers = [self.readers[source] for source in located.source.tolist()]
        return list(zip(readers, (located.row * self.plan.sequence_length).tolist(), strict=True))


def rank_slice(start: int, batch_rows: int, rank: int, num_ranks: int) -> tuple[int, int]:
    """Positions [first, last) of one rank in the global batch of `batch_rows` positions from `start` on.

    Slices of all ranks are disjoint and cover the batch, whatever the number of ranks; sizes differ by at most one.
    """
    if not 0 <= rank < num_ranks:
        raise ValueError(f"rank {rank} of {num_ranks}")
    return start + batch_rows * rank // num_ranks, start + batch_rows * (rank + 1) // num_ranks


def document_of(reader: TokenReader, token: int) -> Document:
    """The document that holds token number `token` of a source."""
    source = reader.source
    file = int(np.searchsorted(np.array(source.starts), token, side="right")) - 1
    if not 0 <= token < source.num_tokens:
        raise IndexError(f"{source.name}: token {token} of {source.num_tokens}")
    shard = source.shards[file]
    table = documents_of(reader.run, shard.path)
    starts = table["token_start"].to_numpy()
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


@lru_cache(maxsize=8)
def documents_of(run: Path, shard: str) -> pa.Table:
    """docs.parquet of one shard: id, source, url, token_start, num_tokens; rows in the order of the tokens."""
    path = run / f"{shard}.docs.parquet"
    try:
        return pq.read_table(path, columns=["id", "source", "url", "token_start", "num_tokens"], partitioning=None)
    except FileNotFoundError:
        raise DamagedFileError(f"{path} is missing: without it no token leads to its document; build again.") from None
