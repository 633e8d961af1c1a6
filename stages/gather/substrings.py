"""Finds every run of `min_bytes` or more that stands elsewhere in the corpus too, and cuts, masks or marks it.

Of equal windows of `min_bytes` bytes one stays, that of the document with the least hash of its id, there the first;
all others are repeated, and what they cover together is cut. Lee et al. 2022 (Deduplicating training data makes
language models better) find the same by a suffix array over the whole corpus, 5 to 8 bytes of memory per byte of text.
Here windows are brought together by samples (kernels/winnowing.py), out of core: samples -> shared (those that stand in
several places; runs of a short period are settled) -> windows (64-bit hashes of the windows of shared samples) ->
repeats -> decide. Windows are equal when the hashes of their samples, their places in the window and their own hashes
are: 128 bits; bytes are not compared again.

Cost: a row of 37 bytes before compression per 34 bytes of text at `min_bytes` 100, and 8 bytes per byte of text around
shared samples; text is read three times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk, take_rows
from corpusmill.pipeline.document import Batch, text_buffers
from corpusmill.pipeline.stage import SPANS, Kind, PartView, Round, StageSettings
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
    name=pa.uint64(),
    place=pa.int64(),
    first=pa.int64(),
    count=pa.int64(),
    repeated=pa.bool_(),  # settled: these windows are repeated
)
WINDOWS = schema_of(
    key=pa.uint64(),  # of the sample
    row=pa.uint64(),
    name=pa.uint64(),
    place=pa.int64(),
    first=pa.int64(),
    hashes=pa.large_list(pa.uint64()),
)
REPEATS = schema_of(key=pa.uint64(), first=pa.int64(), count=pa.int64())  # key: row

CHUNK_WINDOWS = 1 << 19
"""Windows compared at once, 4 MiB of hashes, unless one sample has more."""


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
            Round("windows", "parts", reads=("shared",), text=True),
            Round("repeats", "ranges", reads=("windows",)),
            Round("decide", "parts", reads=("shared", "repeats"), text=True),
        )

    def open(self) -> "SubstringsWorker":
        return SubstringsWorker(self)


class SubstringsWorker:
    """Holds the kernels."""

    def __init__(self, settings: Substrings) -> None:
        from corpusmill.stages.kernels import hashing, winnowing

        self.settings = settings
        self.hashing, self.winnowing = hashing, winnowing

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
                "place": place.astype(np.int32),
                "first": first.astype(np.int32),
                "count": count.astype(np.int32),
            }
            yield pa.table(table, schema=SAMPLES)

    def shared(self, rows: dict[str, pa.Table]) -> pa.Table:
        """Samples that stand in several places, and the repeated windows of periodic runs."""
        samples = rows_of(rows, "samples", SAMPLES)
        key, row, name = (integers(one_chunk(samples, column), np.uint64) for column in ("key", "row", "name"))
        period, place, first, count = (
            integers(one_chunk(samples, column)) for column in ("period", "place", "first", "count")
        )
        again = np.zeros(len(key), dtype=np.bool_)  # keys come sorted
        again[1:] = key[1:] == key[:-1]
        again[:-1] |= again[1:]
        chosen = np.flatnonzero(again | (period > 0))
        order = chosen[np.lexsort([column[chosen] for column in (first, row, name, period, key)])]
        bounds = group_bounds(key[order], period[order].astype(np.uint64))
        sizes = np.repeat(np.diff(bounds), np.diff(bounds))
        several = order[(sizes > 1) & (period[order] == 0)]
        runs = order[period[order] > 0]
        run_bounds = group_bounds(key[runs], period[runs].astype(np.uint64))
        found = self.winnowing.repeated_in_runs(run_bounds, period[runs], place[runs], first[runs], count[runs])
        at = np.concatenate([several, runs[found[:, 0]]])
        table = {
            "key": row[at],
            "sample": key[at],
            "name": name[at],
            "place": place[at],
            "first": np.concatenate([first[several], found[:, 1]]),
            "count": np.concatenate([count[several], found[:, 2]]),
            "repeated": np.arange(len(at)) >= len(several),
        }
        return pa.table(table, schema=SHARED).sort_by([("key", "ascending"), ("first", "ascending")])

    def windows(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """The hashes of all windows of shared samples."""
        yield WINDOWS.empty_table()
        shared = rows_of(rows, "shared", SHARED)
        shared_rows = integers(one_chunk(shared, "key"), np.uint64)
        for batch in part.batches:
            numbers = integers(batch.column("row"), np.uint64)
            low, high = (
                np.searchsorted(shared_rows, numbers[[0, -1]] + np.array([0, 1], np.uint64)) if len(numbers) else (0, 0)
            )
            mine = shared.slice(low, high - low)
            mine = mine.filter(cast("Any", pa).compute.invert(mine.column("repeated")))
            if not mine.num_rows:
                continue
            first, count = (integers(one_chunk(mine, column)) for column in ("first", "count"))
            document = np.searchsorted(numbers, integers(one_chunk(mine, "key"), np.uint64))
            order = np.argsort(integers(one_chunk(mine, "sample"), np.uint64), kind="stable")  # as they are stored
            bounds = np.concatenate([[0], np.cumsum(count[order])])
            starts = np.empty(len(order), dtype=np.int64)
            starts[order] = bounds[:-1]
            hashes = self.winnowing.window_hashes(
                *text_buffers(batch.column("text")), self.settings.min_bytes, document, first, count, starts
            )
            mine = take_rows(mine, order)
            table = {
                "key": one_chunk(mine, "sample"),
                "row": one_chunk(mine, "key"),
                "name": one_chunk(mine, "name"),
                "place": one_chunk(mine, "place"),
                "first": one_chunk(mine, "first"),
                "hashes": cast("Any", pa).LargeListArray.from_arrays(bounds, hashes),
            }
            yield pa.table(table, schema=WINDOWS)

    def repeats(self, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """Windows that equal one that stays, as runs of windows of a document; some samples at a time."""
        yield REPEATS.empty_table()
        windows = rows_of(rows, "windows", WINDOWS)
        key = integers(one_chunk(windows, "key"), np.uint64)
        lists = cast("Any", one_chunk(windows, "hashes"))
        ends = lists.offsets.to_numpy()
        bounds = group_bounds(key)
        low = 0
        while low < len(bounds) - 1:
            high = int(np.searchsorted(ends[bounds], ends[bounds[low]] + CHUNK_WINDOWS, side="right")) - 1
            high = min(max(high, low + 1), len(bounds) - 1)
            yield self._repeated(windows.slice(bounds[low], bounds[high] - bounds[low]).combine_chunks())
            low = high

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        """Every document stays; spans are what its repeated windows cover, drawn in to characters and words."""
        shared = rows_of(rows, "shared", SHARED)
        settled = shared.filter(shared.column("repeated")).select(REPEATS.names)
        del shared
        found = pa.concat_tables([settled, rows_of(rows, "repeats", REPEATS)]).sort_by(
            [("key", "ascending"), ("first", "ascending")]
        )
        rows.clear()  # once in memory
        found_rows, first, count = (
            integers(one_chunk(found, name), dtype)
            for name, dtype in (("key", np.uint64), ("first", np.int64), ("count", np.int64))
        )
        stop = first + count - 1 + self.settings.min_bytes
        seen: list[npt.NDArray[np.uint64]] = [np.zeros(0, dtype=np.uint64)]
        cut_rows: list[int] = []
        spans: list[list[dict[str, int | str]]] = []
        for batch in part.batches:
            numbers = integers(batch.column("row"), np.uint64)
            seen.append(numbers)
            for row, low, high in document_bounds(numbers, found_rows):
                text = document_text(batch, row)
                drawn = self._spans(text, first[low:high].tolist(), stop[low:high].tolist())
                if drawn:
                    cut_rows.append(int(numbers[row]))
                    spans.append(drawn)
        sizes = [sum(int(span["end"]) - int(span["start"]) for span in drawn) for drawn in spans]
        facts = {
            "key": pa.array(cut_rows, pa.uint64()),
            "cut": pa.array(spans, cast("Any", SPANS)),
            "substrings_repeated_bytes": pa.array(sizes, pa.int64()),
        }
        return decide(
            np.concatenate(seen),
            pa.table(facts),
            dropped=np.zeros(len(spans), dtype=np.bool_),
            rule="substrings.repeated",
            values=sizes,
            threshold=self.settings.min_bytes,
            columns={"substrings_repeated_bytes": 0},
        )

    def _repeated(self, windows: pa.Table) -> pa.Table:
        """REPEATS of all entries of some samples."""
        key, row, name = (integers(one_chunk(windows, column), np.uint64) for column in ("key", "row", "name"))
        place, first = (integers(one_chunk(windows, column)) for column in ("place", "first"))
        lists = cast("Any", one_chunk(windows, "hashes"))
        ends = lists.offsets.to_numpy()
        hashes = lists.values.to_numpy()[ends[0] : ends[-1]]
        entry, begin, count = self.winnowing.repeated_windows(
            group_bounds(key), name, row, place, first, ends - ends[0], hashes.copy()
        ).T
        return pa.table({"key": row[entry], "first": begin, "count": count}, schema=REPEATS)

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
