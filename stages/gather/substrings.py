"""Finds every run of `min_bytes` or more that stands elsewhere in the corpus too, and cuts, masks or marks it.

Of equal windows of `min_bytes` bytes one stays, that of the document with the least hash of its id, there the first;
all others are repeated, and what they cover together is cut. Lee et al. 2022 (Deduplicating training data makes
language models better) find the same by a suffix array over the whole corpus, 5 to 8 bytes of memory per byte of text.
Here windows are brought together by samples (kernels/winnowing.py), out of core: samples -> shared (those that stand in
several places; runs of a short period are settled) -> windows (texts around shared samples) -> repeats (texts of one
sample, compared byte by byte) -> decide.

Cost: a row of 37 bytes before compression per 34 bytes of text at `min_bytes` 100, and the bytes around shared samples,
four times where all are; text is read three times, 4 MiB at once. Memory follows `gather_memory`, not the text and not
what share of it one sample has (a million lines of dashes): what a unit compares lies in temporary files mapped into
memory, and beside it stand some 40 bytes per text and a table of TOGETHER windows: benchmarks/repeated_substrings.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import integers, one_chunk, take_rows
from corpusmill.pipeline.document import Batch, Column, text_buffers
from corpusmill.pipeline.shuffle import KEYS
from corpusmill.pipeline.stage import Kind, PartRows, PartView, Round, RowStream, StageSettings
from corpusmill.stages.gather.cut_spans import joined_spans, span_lists
from corpusmill.stages.gather.decisions import decide, schema_of
from corpusmill.stages.gather.keep_policy import group_bounds
from corpusmill.stages.gather.spilled_values import spilled_values

SAMPLES = schema_of(
    key=pa.uint64(),
    row=pa.uint64(),
    name=pa.uint64(),  # hash of the id
    period=pa.int8(),  # 0: a sample; else a run of this period
    place=pa.int32(),
    first=pa.int32(),  # window
    count=pa.int32(),  # of windows
)
SHARED = schema_of(
    key=pa.uint64(),  # row
    sample=pa.uint64(),
    place=pa.int32(),
    first=pa.int32(),
    count=pa.int32(),
    repeated=pa.bool_(),  # settled: these windows are repeated
)
WINDOWS = schema_of(
    key=pa.uint64(),  # of the sample
    row=pa.uint64(),
    name=pa.uint64(),
    place=pa.int32(),
    first=pa.int32(),
    text=pa.large_binary(),  # all bytes of the windows, from the first one on
)
REPEATS = schema_of(key=pa.uint64(), first=pa.int32(), count=pa.int32())  # key: row

TEXT_BYTES = 4 << 20
"""Text of windows that is put down together."""


@dataclass(frozen=True, kw_only=True)
class Substrings(StageSettings):
    """How long a repeated run must be, and what happens to it."""

    name: ClassVar[str] = "substrings"
    kind: ClassVar[Kind] = "gather"

    min_bytes: int = 100
    action: Literal["cut", "mask", "mark"] = "cut"
    whole_words: bool = True  # a span begins and ends at the edge of a word (blanks tell words)

    def __post_init__(self) -> None:
        if self.min_bytes < 2:
            raise ValueError(f"min_bytes: {self.min_bytes} is less than 2.")

    def adds(self) -> dict[str, pa.DataType]:
        return {"substrings_repeated_bytes": pa.int64()}

    def rounds(self) -> tuple[Round, ...]:
        return (
            Round("samples", "parts", text=True),
            Round("shared", "ranges", reads=("samples",), streamed=True),
            Round("windows", "parts", reads=("shared",), text=True, streamed=True),
            Round("repeats", "ranges", reads=("windows",), streamed=True),
            Round("decide", "parts", reads=("shared", "repeats"), text=True, streamed=True),
        )

    def open(self) -> "SubstringsWorker":
        return SubstringsWorker(self)


class SubstringsWorker:
    """Holds the kernels."""

    def __init__(self, settings: Substrings) -> None:
        from corpusmill.stages.kernels import hashing, repeated_windows, span_edges, winnowing

        self.settings = settings
        self.hashing, self.winnowing, self.comparing, self.edges = hashing, winnowing, repeated_windows, span_edges

    def samples(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """The samples and periodic runs of every document."""
        yield SAMPLES.empty_table()
        for batch in part.batches:
            keys, found = self.winnowing.sample_windows(*text_buffers(batch.column("text")), self.settings.min_bytes)
            document, period, place, first, count = found.T
            table = {
                "key": keys,
                "row": integers(batch.column("row"), np.uint64)[document],
                "name": self.hashing.hash_identifiers(batch.column("id"))[document],
                "period": period.astype(np.int8),
                "place": place,
                "first": first,
                "count": count,
            }
            del batch  # before the next one is read
            yield pa.table(table, schema=SAMPLES)

    def shared(self, rows: dict[str, RowStream]) -> Iterator[pa.Table]:
        """Samples that stand in several places, and the repeated windows of periodic runs."""
        yield SHARED.empty_table()
        samples = rows.get("samples")
        if samples is None:
            return
        several = repeated_keys(samples)
        periodic = [SAMPLES.empty_table()]
        for table in samples.read():
            key, period = integers(one_chunk(table, "key"), np.uint64), integers(one_chunk(table, "period"), np.int8)
            periodic.append(take_rows(table, np.flatnonzero(period > 0)))
            again = several[np.minimum(np.searchsorted(several, key), len(several) - 1)] == key
            yield shared_rows(take_rows(table, np.flatnonzero(again & (period == 0))))
            del table, key, period, again  # before the next ones are read
        yield self._settled(pa.concat_tables(periodic))

    def _settled(self, runs: pa.Table) -> pa.Table:
        """SHARED of the repeated windows of periodic runs."""
        key, row, name = (integers(one_chunk(runs, column), np.uint64) for column in ("key", "row", "name"))
        period, place, first, count = (
            integers(one_chunk(runs, column)) for column in ("period", "place", "first", "count")
        )
        order = np.lexsort((first, row, name, period, key))
        bounds = group_bounds(key[order], period[order].astype(np.uint64))
        found = self.comparing.repeated_in_runs(bounds, period[order], place[order], first[order], count[order])
        return shared_rows(take_rows(runs, order[found[:, 0]]), found[:, 1], found[:, 2])

    def windows(self, part: PartView, rows: dict[str, PartRows]) -> Iterator[pa.Table]:
        """The texts of shared samples: all bytes of the windows that hold them."""
        yield WINDOWS.empty_table()
        for batch in part.batches:
            numbers = integers(batch.column("row"), np.uint64)
            shared = found_rows(rows, "shared", numbers, SHARED)
            shared = shared.filter(cast("Any", pc).invert(shared.column("repeated")))
            if not shared.num_rows:
                continue
            yield from self._texts(batch, shared)
            del batch, shared  # before the next ones are read

    def _texts(self, batch: Batch, shared: pa.Table) -> Iterator[pa.Table]:
        """WINDOWS of the SHARED rows of a batch, TEXT_BYTES at a time."""
        document = np.searchsorted(
            integers(batch.column("row"), np.uint64), integers(one_chunk(shared, "key"), np.uint64)
        )
        names = self.hashing.hash_identifiers(batch.column("id"))
        text, offsets = text_buffers(batch.column("text"))
        sizes = integers(one_chunk(shared, "count")) + self.settings.min_bytes - 1
        for some in np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(np.cumsum(sizes) // TEXT_BYTES)) + 1):
            mine, bounds = take_rows(shared, some), np.append(0, np.cumsum(sizes[some]))
            first = integers(one_chunk(mine, "first"), np.int32)
            table = {
                "key": one_chunk(mine, "sample"),
                "row": one_chunk(mine, "key"),
                "name": names[document[some]],
                "place": one_chunk(mine, "place"),
                "first": first,
                "text": large_binaries(
                    bounds, self.comparing.window_texts(text, offsets, document[some], first, bounds)
                ),
            }
            yield pa.table(table, schema=WINDOWS)

    def repeats(self, rows: dict[str, RowStream]) -> pa.Table:
        """Windows that equal one that stays, as runs of windows of a document."""
        with spilled_values(rows.get("windows"), WINDOWS, WINDOWS.names) as (_, windows):
            key, row = windows.values["key"], windows.values["row"]
            order = np.argsort(key, kind="stable")
            entry, begin, count = self.comparing.repeated_windows(
                order,
                group_bounds(key[order]),
                windows.values["name"],
                row,
                windows.values["place"],
                windows.values["first"],
                windows.values["text"],
                windows.offsets["text"],
                self.settings.min_bytes,
                self.comparing.TOGETHER,
            ).T
            table = {"key": row[entry], "first": begin.astype(np.int32), "count": count.astype(np.int32)}
        return pa.table(table, schema=REPEATS)

    def decide(self, part: PartView, rows: dict[str, PartRows]) -> Iterator[pa.Table]:
        """Every document stays; spans are what its repeated windows cover, drawn in to characters and words."""
        settings = self.settings
        yield self._decided(np.zeros(0, dtype=np.uint64), *(np.zeros(0, dtype=np.int64) for _ in range(3)))
        for batch in part.batches:
            numbers = integers(batch.column("row"), np.uint64)
            settled = found_rows(rows, "shared", numbers, SHARED, only="repeated").select(REPEATS.names)
            found = pa.concat_tables([settled, found_rows(rows, "repeats", numbers, REPEATS)])
            first, count = (integers(one_chunk(found, name)) for name in ("first", "count"))
            document = np.searchsorted(numbers, integers(one_chunk(found, "key"), np.uint64))
            document, start, end = joined_spans(document, first, first + count - 1 + settings.min_bytes)
            self.edges.draw_in(*text_buffers(batch.column("text")), document, start, end, settings.whole_words)
            some = start < end
            yield self._decided(numbers, document[some], start[some], end[some])
            del batch, settled, found  # before the next ones are read

    def _decided(
        self,
        numbers: npt.NDArray[np.uint64],
        document: npt.NDArray[np.int64],
        start: npt.NDArray[np.int64],
        end: npt.NDArray[np.int64],
    ) -> pa.Table:
        """Decisions on the documents `numbers`, with spans of documents by their place in these."""
        cut, spans, sizes = span_lists(document, start, end, self.settings.action)
        facts = {"key": numbers[cut], "cut": spans, "substrings_repeated_bytes": sizes}
        return decide(
            numbers,
            pa.table(cast("Any", facts)),
            dropped=np.zeros(len(cut), dtype=np.bool_),
            rule="substrings.repeated",
            values=sizes.tolist(),
            threshold=self.settings.min_bytes,
            columns={"substrings_repeated_bytes": 0},
        )


def repeated_keys(samples: RowStream) -> npt.NDArray[np.uint64]:
    """Keys that several rows have, ascending, and at the end the greatest that there can be."""
    keys = [integers(one_chunk(table, "key"), np.uint64) for table in samples.read("key")]
    every = np.sort(np.concatenate([*keys, np.full(2, KEYS - 1, dtype=np.uint64)]))
    return np.unique(every[1:][every[1:] == every[:-1]])


def shared_rows(
    samples: pa.Table, first: npt.NDArray[np.int64] | None = None, count: npt.NDArray[np.int64] | None = None
) -> pa.Table:
    """SHARED of these SAMPLES, or of the windows `first`, `count` of these periodic runs, which are settled."""
    table = {
        "key": one_chunk(samples, "row"),
        "sample": one_chunk(samples, "key"),
        "place": one_chunk(samples, "place"),
        "first": one_chunk(samples, "first") if first is None else first.astype(np.int32),
        "count": one_chunk(samples, "count") if count is None else count.astype(np.int32),
        "repeated": np.full(samples.num_rows, first is not None),
    }
    return pa.table(table, schema=SHARED)


def found_rows(
    rows: dict[str, PartRows], name: str, numbers: npt.NDArray[np.uint64], schema: pa.Schema, only: str | None = None
) -> pa.Table:
    """The rows of an earlier round on these documents; none where that round had no unit at all."""
    found = rows[name].of(numbers, only)
    return schema.empty_table() if found is None else found


def large_binaries(bounds: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> Column:
    """large_binary values data[bounds[i] : bounds[i + 1]], zero-copy."""
    buffers: Any = [None, *(cast("Any", pa).py_buffer(array) for array in (bounds, data))]
    return cast("Column", pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(bounds) - 1, buffers))
