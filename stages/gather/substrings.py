"""Finds every run of `min_bytes` or more that stands elsewhere in the corpus too, and cuts, masks or marks it.

Of equal windows of `min_bytes` bytes one stays, that of the document with the least hash of its id, there the first;
all others are repeated, and what they cover together is cut. Lee et al. 2022 (Deduplicating training data makes
language models better) find the same by a suffix array over the whole corpus, 5 to 8 bytes of memory per byte of text.
Here windows are brought together by samples (kernels/winnowing.py), out of core: samples -> shared (those that stand in
several places; runs of a short period are settled) -> windows (texts around shared samples) -> repeats (texts of one
sample, compared byte by byte) -> decide.

Cost: a row of 37 bytes before compression per 34 bytes of text at `min_bytes` 100, and the bytes around shared samples,
four times where all are; text is read three times, 4 MiB at once. Memory follows `gather_memory`, not the text:
benchmarks/repeated_substrings.py.
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
from corpusmill.pipeline.stage import SPANS, Kind, PartRows, PartView, Round, StageSettings
from corpusmill.stages.gather.decisions import decide, rows_of, schema_of
from corpusmill.stages.gather.keep_policy import group_bounds

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
            Round("shared", "ranges", reads=("samples",)),
            Round("windows", "parts", reads=("shared",), text=True, streamed=True),
            Round("repeats", "ranges", reads=("windows",)),
            Round("decide", "parts", reads=("shared", "repeats"), text=True, streamed=True),
        )

    def open(self) -> "SubstringsWorker":
        return SubstringsWorker(self)


class SubstringsWorker:
    """Holds the kernels."""

    def __init__(self, settings: Substrings) -> None:
        from corpusmill.stages.kernels import hashing, repeated_windows, winnowing

        self.settings = settings
        self.hashing, self.winnowing, self.comparing = hashing, winnowing, repeated_windows

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

    def shared(self, rows: dict[str, pa.Table]) -> pa.Table:
        """Samples that stand in several places, and the repeated windows of periodic runs."""
        samples = rows_of(rows, "samples", SAMPLES)
        rows.clear()  # once in memory
        key, period = integers(one_chunk(samples, "key"), np.uint64), integers(one_chunk(samples, "period"), np.int8)
        again = np.zeros(len(key), dtype=np.bool_)  # keys come sorted
        again[1:] = key[1:] == key[:-1]
        again[:-1] |= again[1:]
        samples = take_rows(samples, np.flatnonzero(again | (period > 0)))
        key, row, name = (integers(one_chunk(samples, column), np.uint64) for column in ("key", "row", "name"))
        period, place, first, count = (
            integers(one_chunk(samples, column)) for column in ("period", "place", "first", "count")
        )
        order = np.lexsort((first, row, name, period, key))
        bounds = group_bounds(key[order], period[order].astype(np.uint64))
        sizes = np.repeat(np.diff(bounds), np.diff(bounds))
        several = order[(sizes > 1) & (period[order] == 0)]
        runs = order[period[order] > 0]
        run_bounds = group_bounds(key[runs], period[runs].astype(np.uint64))
        found = self.comparing.repeated_in_runs(run_bounds, period[runs], place[runs], first[runs], count[runs])
        at = np.concatenate([several, runs[found[:, 0]]])
        table = {
            "key": row[at],
            "sample": key[at],
            "place": place[at].astype(np.int32),
            "first": np.concatenate([first[several], found[:, 1]]).astype(np.int32),
            "count": np.concatenate([count[several], found[:, 2]]).astype(np.int32),
            "repeated": np.arange(len(at)) >= len(several),
        }
        return pa.table(table, schema=SHARED).sort_by([("key", "ascending"), ("first", "ascending")])

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

    def repeats(self, rows: dict[str, pa.Table]) -> pa.Table:
        """Windows that equal one that stays, as runs of windows of a document."""
        windows = rows_of(rows, "windows", WINDOWS)
        key, row, name = (integers(one_chunk(windows, column), np.uint64) for column in ("key", "row", "name"))
        place, first = (integers(one_chunk(windows, column), np.int32) for column in ("place", "first"))
        entry, begin, count = self.comparing.repeated_windows(
            group_bounds(key),
            name,
            row,
            place,
            first,
            *text_buffers(one_chunk(windows, "text")),
            self.settings.min_bytes,
        ).T
        table = {"key": row[entry], "first": begin.astype(np.int32), "count": count.astype(np.int32)}
        return pa.table(table, schema=REPEATS)

    def decide(self, part: PartView, rows: dict[str, PartRows]) -> Iterator[pa.Table]:
        """Every document stays; spans are what its repeated windows cover, drawn in to characters and words."""
        yield self._decided(np.zeros(0, dtype=np.uint64), [], [])
        for batch in part.batches:
            numbers = integers(batch.column("row"), np.uint64)
            settled = found_rows(rows, "shared", numbers, SHARED)
            settled = settled.filter(settled.column("repeated")).select(REPEATS.names)
            found = pa.concat_tables([settled, found_rows(rows, "repeats", numbers, REPEATS)]).sort_by(
                [("key", "ascending"), ("first", "ascending")]
            )
            first, count = (integers(one_chunk(found, name)) for name in ("first", "count"))
            stop = first + count - 1 + self.settings.min_bytes
            cut_rows: list[int] = []
            spans: list[list[dict[str, int | str]]] = []
            for row, low, high in document_bounds(numbers, integers(one_chunk(found, "key"), np.uint64)):
                text = document_text(batch, row)
                drawn = self._spans(text, first[low:high].tolist(), stop[low:high].tolist())
                if drawn:
                    cut_rows.append(int(numbers[row]))
                    spans.append(drawn)
            yield self._decided(numbers, cut_rows, spans)

    def _decided(
        self, numbers: npt.NDArray[np.uint64], cut_rows: list[int], spans: list[list[dict[str, int | str]]]
    ) -> pa.Table:
        """Decisions on the documents `numbers`, of which `cut_rows` have `spans`."""
        sizes = [sum(int(span["end"]) - int(span["start"]) for span in drawn) for drawn in spans]
        facts = {
            "key": pa.array(cut_rows, pa.uint64()),
            "cut": pa.array(spans, cast("Any", SPANS)),
            "substrings_repeated_bytes": pa.array(sizes, pa.int64()),
        }
        return decide(
            numbers,
            pa.table(facts),
            dropped=np.zeros(len(spans), dtype=np.bool_),
            rule="substrings.repeated",
            values=sizes,
            threshold=self.settings.min_bytes,
            columns={"substrings_repeated_bytes": 0},
        )

    def _spans(self, text: bytes, starts: list[int], stops: list[int]) -> list[dict[str, int | str]]:
        """What the runs start..stop (ascending starts) cover, each drawn in to characters, and words where asked."""
        spans: list[dict[str, int | str]] = []
        joined: list[list[int]] = []
        for start, stop in zip(starts, stops, strict=True):
            if joined and start <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], stop)
            else:
                joined.append([start, stop])
        for start, stop in joined:
            low, high = draw_in(text, start, stop, self.settings.whole_words)
            if low < high:
                spans.append({"start": low, "end": high, "how": self.settings.action})
        return spans


def found_rows(rows: dict[str, PartRows], name: str, numbers: npt.NDArray[np.uint64], schema: pa.Schema) -> pa.Table:
    """The rows of an earlier round on these documents; none where that round had no unit at all."""
    found = rows[name].of(numbers)
    return schema.empty_table() if found is None else found


def large_binaries(bounds: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> Column:
    """large_binary values data[bounds[i] : bounds[i + 1]], zero-copy."""
    buffers: Any = [None, *(cast("Any", pa).py_buffer(array) for array in (bounds, data))]
    return cast("Column", pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(bounds) - 1, buffers))


def document_bounds(
    numbers: npt.NDArray[np.uint64], found_rows: npt.NDArray[np.uint64]
) -> Iterator[tuple[int, int, int]]:
    """(index in the batch, first and last + 1 entry of `found_rows`) of the documents that have entries."""
    low = np.searchsorted(found_rows, numbers, side="left")
    high = np.searchsorted(found_rows, numbers, side="right")
    for index in np.flatnonzero(high > low):
        yield int(index), int(low[index]), int(high[index])


def document_text(batch: Batch, row: int) -> bytes:
    """The UTF-8 of one document."""
    data, offsets = text_buffers(batch.column("text"))
    return data[offsets[row] : offsets[row + 1]].tobytes()


def draw_in(text: bytes, start: int, stop: int, whole_words: bool) -> tuple[int, int]:
    """The largest part of start..stop that begins and ends between characters, and between words where asked.

    Only ASCII blanks and the ends of the text part words here; text without any is cut at characters.
    """
    while start < stop and text[start] & 0xC0 == 0x80:
        start += 1
    while stop > start and stop < len(text) and text[stop] & 0xC0 == 0x80:
        stop -= 1
    if not whole_words:
        return start, stop
    low, high = start, stop
    if low > 0:
        while low < high and text[low - 1] not in BLANKS and text[low] < 0x80:
            low += 1
    if high < len(text):
        while high > low and text[high] not in BLANKS and text[high - 1] < 0x80:
            high -= 1
    return low, high


BLANKS = b" \t\n\r\x0b\x0c"
