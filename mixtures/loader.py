"""Serves the rows of a plan as arrays of token ids, from memory-mapped shards.

    loader = PlanLoader.open(run, Plan.load(run / "plans" / "main.json"))   # a folder, or s3://bucket/run
    tokens_BT = loader.rows(start, stop)                # positions [start, stop) of the plan, T + 1 tokens each
    inputs_BT, targets_BT = loader.pairs(start, stop)   # the same as two contiguous arrays

The state of a training run is one whole number, the position. A rank takes its slice of each global batch
(`rank_slice`), so the number of ranks may change between any two steps. Every token leads back to its document
(`document_at`), every position to the rows drawn so far from each source (`rows_drawn`).

Positions are resolved a few thousand at a time and kept, so the arithmetic costs little beside the copy of the row.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.block_cache import BlockCache, CacheSettings
from corpusmill.mixtures.exclusions import Exclusions
from corpusmill.mixtures.packing import PackedRows, Packing
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.positions import Located, PositionMap
from corpusmill.mixtures.provenance import Document, document_of
from corpusmill.mixtures.read_ahead import DiskWatch
from corpusmill.mixtures.sources import Place, TokenManifest, TokenReader, read_manifest
from corpusmill.pipeline.errors import RequestError

CHUNK_POSITIONS = 4096
"""Positions resolved at a time: 0.5 µs each, against 300 µs for one alone."""

BATCHES_AHEAD, ROWS_AHEAD = 2, 64
"""Batches, and the fewest rows, that are asked from the disk behind the batch that is read: 64 rows keep a cloud disk
busy, more gain nothing."""

Ints = npt.NDArray[np.int64]


class SourceRows(Protocol):
    """How the rows of one source are read: cut from its tokens, or packed."""

    reader: TokenReader

    def fill(self, row: int, inputs: Ints, targets: Ints) -> None:
        """Writes row number `row` to `inputs` [T] and `targets` [T]."""

    def tokens_of(self, row: int) -> Ints:
        """Number in the source of each input token of the row, int64 [T]; -1 for padding."""

    def ranges(self, row: int) -> list[tuple[int, int]]:
        """The tokens [start, stop) of the source that `fill` reads."""


RowPlace = tuple[SourceRows, int]
"""The rows of a source, and which of them."""


class PlanLoader:
    """Rows of one plan over one run's shards. Threads may share it."""

    def __init__(
        self, plan: Plan, manifest: TokenManifest, cache: CacheSettings | None = None, verify: bool = False
    ) -> None:
        """Raises RequestError where the shards or the tokenizer are not the plan's. With `verify` every block is
        compared with its checksum when it is first read: DamagedFileError names file and MiB."""
        self.plan = plan
        self.manifest = manifest
        self.positions = PositionMap(plan)
        self._settings, self._verify = cache or CacheSettings(), verify
        self.cache = BlockCache(manifest.run, self._settings) if manifest.run.local is None else None
        self.sources: list[SourceRows] = []
        for planned, source in zip(plan.sources, plan.sources_in(manifest), strict=True):
            reader = TokenReader(source, manifest.run, manifest.dtype, self.cache, verify)
            if planned.packing is None:
                self.sources.append(CutRows(reader, plan.sequence_length))
            else:
                packing = Packing.load(manifest.run, planned.packing)
                self.sources.append(PackedRows(packing, reader, plan.end_of_document))
        self._disk = DiskWatch()
        self._index = {id(rows): index for index, rows in enumerate(self.sources)}
        self._exclusions = Exclusions(plan, self.sources, manifest.run) if plan.excluded else None
        self._chunk = lru_cache(maxsize=16)(self._resolve)
        self._begun, self._asked = False, 0  # whether a batch was read, and until which position the disk was asked

    @classmethod
    def open(cls, run: Place, plan: Plan, cache: CacheSettings | None = None, verify: bool = False) -> "PlanLoader":
        """`cache` is for runs on an object store. Raises RequestError where the shards or tokenizer are not the
        plan's."""
        return cls(plan, read_manifest(run), cache, verify)

    def __reduce__(self) -> tuple[type["PlanLoader"], tuple[Plan, TokenManifest, CacheSettings, bool]]:
        """Workers in other processes map the shards themselves."""
        return PlanLoader, (self.plan, self.manifest, self._settings, self._verify)

    def __len__(self) -> int:
        """Positions in the plan."""
        return self.plan.num_rows

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        """Tokens of positions [start, stop): [stop - start, T + 1], inputs and targets overlap by T - 1.

        Raises IndexError outside the plan, RequestError for packed sources and exclusions: use `pairs` there.
        """
        with self._disk.batch():
            return self._rows(self._batch(start, stop), stop - start, dtype)

    def rows_at(self, positions: Ints, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        """Tokens of any positions [n], in the order given: [n, T + 1]."""
        places = self._places_at(positions)
        with self._disk.batch():
            self._ask(places)
            return self._rows(places, len(positions), dtype)

    def pairs(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Inputs and targets of positions [start, stop): two contiguous arrays [stop - start, T]."""
        with self._disk.batch():
            inputs, targets = self._pairs(self._batch(start, stop), stop - start)
        if self._exclusions is not None:
            self._exclude(range(start, stop), self._places(start, stop), inputs, targets)
        return inputs, targets

    def pairs_at(self, positions: Ints) -> tuple[Ints, Ints]:
        """The same for any positions [n], in the order given."""
        places = self._places_at(positions)
        with self._disk.batch():
            self._ask(places)
            inputs, targets = self._pairs(places, len(positions))
        if self._exclusions is not None:
            self._exclude(positions.tolist(), places, inputs, targets)
        return inputs, targets

    def _pairs(self, places: Iterable[RowPlace], count: int) -> tuple[Ints, Ints]:
        shape = count, self.plan.sequence_length
        inputs, targets = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        for slot, (rows, row) in enumerate(self._fetched(places)):
            rows.fill(row, inputs[slot], targets[slot])
        return inputs, targets

    def _rows(self, places: Iterable[RowPlace], count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        if self._exclusions is not None:
            raise RequestError("the plan excludes documents, whose targets have no loss: read it with pairs.")
        out: npt.NDArray[Any] = np.empty((count, self.plan.sequence_length + 1), dtype=dtype)
        for slot, (rows, row) in enumerate(self._fetched(places)):
            _cut(rows).read_into(out[slot], row * self.plan.sequence_length)
        return out

    def _batch(self, start: int, stop: int) -> Iterable[RowPlace]:
        """The places of positions [start, stop). From a disk that is being read they are asked for, and so are those of
        the batches behind them, each once."""
        if not self._begun:  # the first batch waits for no other position, and likely comes from the disk
            self._begun = True
            self._check(start, stop)
            places = self._places_at(np.arange(start, stop))
            self._ask(places, always=True)
            return places
        if self._disk.reads_disk:
            end = min(stop + max(BATCHES_AHEAD * (stop - start), ROWS_AHEAD), self.plan.num_rows)
            self._ask(self._places(self._asked if start < self._asked <= end else start, end))
            self._asked = end
        return self._places(start, stop)

    def _ask(self, places: Iterable[RowPlace], always: bool = False) -> None:
        """Asks a local disk for some rows, if it is being read or `always`."""
        if self.cache is None and (always or self._disk.reads_disk):
            for rows, row in places:
                for start, stop in rows.ranges(row):
                    rows.reader.will_need(start, stop)

    def _fetched(self, places: Iterable[RowPlace]) -> Iterable[RowPlace]:
        """The same places; on an object store the bytes of all of them are asked for at once."""
        if self.cache is None:
            return places
        places = list(places)
        ranges = (
            place
            for rows, row in places
            for start, stop in rows.ranges(row)
            for place in rows.reader.places(start, stop)
        )
        self.cache.fetch(list(ranges), keep=False)
        return places

    def _exclude(self, positions: Iterable[int], places: Iterable[RowPlace], inputs: Ints, targets: Ints) -> None:
        assert self._exclusions is not None
        for slot, (position, (rows, row)) in enumerate(zip(positions, places, strict=True)):
            source = self._index[id(rows)]
            if source in self._exclusions.ranges:
                self._exclusions.apply(position, source, rows.tokens_of(row), inputs[slot], targets[slot])

    def sequence_length_at(self, position: int) -> int:
        """The length of the sequences in the phase of `position`."""
        return self.positions.phase_of(position).sequence_length

    def learning_rate_at(self, position: int) -> float | None:
        """The phase's hint for the learning rate at a position, relative to the peak; None where it has none."""
        return self.positions.learning_rate_at(position)

    def locate(self, positions: Ints) -> Located:
        """(source, draw, epoch, row) of any positions [n]."""
        return self.positions.locate(positions)

    def rows_drawn(self, position: int) -> dict[str, int]:
        """Rows drawn from each source before `position`."""
        drawn = self.positions.drawn_by(position).tolist()
        return {source.name: rows for source, rows in zip(self.plan.sources, drawn, strict=True)}

    def document_at(self, position: int, token: int) -> Document | None:
        """The document of input `token` (0 .. T - 1) of the row at `position`; None for padding."""
        if not 0 <= token < self.plan.sequence_length:
            raise IndexError(f"token {token} of a row of {self.plan.sequence_length}")
        located = self.positions.locate(np.array([position], dtype=np.int64))
        rows = self.sources[int(located.source[0])]
        number = int(rows.tokens_of(int(located.row[0]))[token])
        return None if number < 0 else document_of(rows.reader, number)

    def _places(self, start: int, stop: int) -> Iterator[RowPlace]:
        """(rows of the source, row) of positions [start, stop)."""
        self._check(start, stop)
        chunks = range(start // CHUNK_POSITIONS * CHUNK_POSITIONS, stop, CHUNK_POSITIONS)
        return chain.from_iterable(
            islice(self._chunk(first), max(start - first, 0), min(stop - first, CHUNK_POSITIONS)) for first in chunks
        )

    def _check(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.plan.num_rows:
            raise IndexError(f"positions [{start}, {stop}) of a plan with {self.plan.num_rows} rows")

    def _resolve(self, first: int) -> list[RowPlace]:
        return self._places_at(np.arange(first, min(first + CHUNK_POSITIONS, self.plan.num_rows)))

    def _places_at(self, positions: Ints) -> list[RowPlace]:
        located = self.positions.locate(positions)
        sources = [self.sources[source] for source in located.source.tolist()]
        return list(zip(sources, located.row.tolist(), strict=True))


class CutRows:
    """Rows as runs of a source's tokens: row j is tokens [j T, j T + T], both ends included."""

    def __init__(self, reader: TokenReader, sequence_length: int) -> None:
        self.reader = reader
        self.sequence_length = sequence_length

    def fill(self, row: int, inputs: Ints, targets: Ints) -> None:
        start = row * self.sequence_length
        tokens = self.reader.read(start, start + self.sequence_length + 1)
        inputs[:] = tokens[:-1]
        targets[:] = tokens[1:]

    def tokens_of(self, row: int) -> Ints:
        return np.arange(row * self.sequence_length, (row + 1) * self.sequence_length, dtype=np.int64)

    def ranges(self, row: int) -> list[tuple[int, int]]:
        return [(row * self.sequence_length, (row + 1) * self.sequence_length + 1)]


def _cut(rows: SourceRows) -> TokenReader:
    if not isinstance(rows, CutRows):
        raise RequestError(f"{rows.reader.source.name} is packed, its rows are no run of tokens: read them with pairs.")
    return rows.reader


def rank_slice(start: int, batch_rows: int, rank: int, num_ranks: int) -> tuple[int, int]:
    """Positions [first, last) of one rank in the global batch of `batch_rows` positions from `start` on.

    Slices of all ranks are disjoint and cover the batch, whatever the number of ranks; sizes differ by at most one.
    """
    if not 0 <= rank < num_ranks:
        raise ValueError(f"rank {rank} of {num_ranks}")
    return start + batch_rows * rank // num_ranks, start + batch_rows * (rank + 1) // num_ranks
