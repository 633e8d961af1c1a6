"""Finds lines, paragraphs or runs of three sentences that stand elsewhere in the corpus too; cuts, masks or marks them.

`unit: line` is what CCNet (Wenzek et al. 2020, section 3.1) and Dolma drop, `paragraph` needs a blank line between, and
`sentences` is C4's rule: all but one of any three consecutive sentences that occur more than once (Raffel et al. 2020,
section 2.2). One copy stays (or none, with `keep: none`): that of the document with the least hash of its id, there the
first. Pieces under `min_bytes` are left alone: a closing brace is no boilerplate.

`filter: exact` brings pieces together by two 64-bit hashes, out of core, about 40 bytes per piece: pieces -> repeats
(ranges of keys) -> decide. `filter: bloom` passes 8 bytes per piece through one Bloom filter in one unit, part by part
in the order of their names; the first in that order stays, and a new piece seems repeated with `error_rate`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.document import Batch, text_buffers
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.stage import Kind, PartView, Round, RowStream, StageSettings
from corpusmill.stages.gather.cut_spans import joined_spans, span_lists
from corpusmill.stages.gather.decisions import decide, rows_of, schema_of
from corpusmill.stages.gather.keep_policy import group_bounds

PIECES = schema_of(
    key=pa.uint64(),
    second=pa.uint64(),
    row=pa.uint64(),
    name=pa.uint64(),  # hash of the id
    start=pa.int64(),
    end=pa.int64(),
)
ORDERED = schema_of(key=pa.uint64(), hash=pa.uint64(), start=pa.int64(), end=pa.int64())  # key: row
REPEATS = schema_of(key=pa.uint64(), start=pa.int64(), end=pa.int64())  # key: row

TRIPLE = 3


@dataclass(frozen=True, kw_only=True)
class Passages(StageSettings):
    """What a piece is, when two are the same, and what happens to the second."""

    name: ClassVar[str] = "passages"
    kind: ClassVar[Kind] = "gather"

    unit: Literal["line", "paragraph", "sentences"] = "line"
    min_bytes: int = 30
    normalize: Literal["none", "whitespace", "words"] = "whitespace"  # as in `exact`
    keep: Literal["first", "none"] = "first"
    min_copies: int = 2  # pieces that occur less often stay
    action: Literal["cut", "mask", "mark"] = "cut"
    filter: Literal["exact", "bloom"] = "exact"
    capacity: int = 100_000_000  # pieces that the Bloom filter is made for: 2.9 bytes each at an error of 1e-5
    error_rate: float = 1e-5

    def __post_init__(self) -> None:
        for name, value, least in (
            ("min_bytes", self.min_bytes, 1),
            ("min_copies", self.min_copies, 2),
            ("capacity", self.capacity, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: {value} is less than {least}.")
        if not 0 < self.error_rate < 1:
            raise ValueError(f"error_rate: {self.error_rate} is not between 0 and 1.")
        if self.filter == "bloom" and (self.keep, self.min_copies) != ("first", 2):
            raise ValueError("filter: bloom cannot count: it goes with keep: first and min_copies: 2.")

    def adds(self) -> dict[str, pa.DataType]:
        return {"passages_repeated_bytes": pa.int64()}

    def rounds(self) -> tuple[Round, ...]:
        if self.filter == "bloom":
            return (
                Round("ordered", "parts", text=True),
                Round("seen", "whole", reads=("ordered",), streamed=True),
                Round("decide", "parts", reads=("seen",), text=True),
            )
        return (
            Round("pieces", "parts", text=True),
            Round("repeats", "ranges", reads=("pieces",)),
            Round("decide", "parts", reads=("repeats",), text=True),
        )

    def open(self) -> "PassagesWorker":
        return PassagesWorker(self)


class PassagesWorker:
    """Holds the tables of characters."""

    def __init__(self, settings: Passages) -> None:
        from corpusmill.stages.kernels import bloom, characters, folding, hashing, passage_edges, span_edges

        self.settings = settings
        self.bloom, self.hashing, self.cutting, self.edges = bloom, hashing, passage_edges, span_edges
        self.classes, self.table = characters.character_classes(), folding.folding_table()
        units = {"line": passage_edges.LINE, "paragraph": passage_edges.PARAGRAPH, "sentences": passage_edges.SENTENCE}
        self.unit = units[settings.unit]

    def pieces(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """A row for every piece of at least `min_bytes`."""
        yield PIECES.empty_table()
        for batch in part.batches:
            document, key, second, start, end = self._pieces(batch)
            table = {
                "key": key,
                "second": second,
                "row": integers(batch.column("row"), np.uint64)[document],
                "name": self.hashing.hash_identifiers(batch.column("id"))[document],
                "start": start,
                "end": end,
            }
            yield pa.table(table, schema=PIECES)

    def repeats(self, rows: dict[str, pa.Table]) -> pa.Table:
        """The pieces that occur `min_copies` times and more, without the one that stays."""
        pieces = rows_of(rows, "pieces", PIECES)
        key, second, row, name = (
            integers(one_chunk(pieces, column), np.uint64) for column in ("key", "second", "row", "name")
        )
        start = integers(one_chunk(pieces, "start"))
        again = np.zeros(len(key), dtype=np.bool_)  # keys come sorted
        again[1:] = key[1:] == key[:-1]
        again[:-1] |= again[1:]
        chosen = np.flatnonzero(again)
        order = chosen[np.lexsort([column[chosen] for column in (start, row, name, second, key)])]
        bounds = group_bounds(key[order], second[order])
        sizes = np.repeat(np.diff(bounds), np.diff(bounds))
        lost = sizes >= self.settings.min_copies
        if self.settings.keep == "first":
            lost[bounds[:-1]] = False
        at = order[lost]
        table = {"key": row[at], "start": start[at], "end": integers(one_chunk(pieces, "end"))[at]}
        return pa.table(table, schema=REPEATS).sort_by([("key", "ascending"), ("start", "ascending")])

    def ordered(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """A row for every piece, in the order of the part."""
        yield ORDERED.empty_table()
        for batch in part.batches:
            document, key, _, start, end = self._pieces(batch)
            row = integers(batch.column("row"), np.uint64)[document]
            yield pa.table({"key": row, "hash": key, "start": start, "end": end}, schema=ORDERED)

    def seen(self, rows: dict[str, RowStream]) -> Iterator[pa.Table]:
        """The pieces that the Bloom filter seems to have when they come."""
        yield REPEATS.empty_table()
        settings = self.settings
        num_bytes, num_hashes = self.bloom.filter_shape(settings.capacity, settings.error_rate)
        bits, count = np.zeros(num_bytes, dtype=np.uint8), 0
        for table in rows["ordered"].read() if "ordered" in rows else ():
            count += table.num_rows
            if count > settings.capacity:
                raise CorpusmillError(
                    f"passages: more than capacity: {settings.capacity:,} pieces, so the Bloom filter would err more "
                    f"often than error_rate: {settings.error_rate}. Raise capacity, or set filter: exact."
                )
            again = self.bloom.add_keys(bits, integers(one_chunk(table, "hash"), np.uint64), num_hashes)
            yield table.filter(pa.array(again)).select(REPEATS.names)

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        """Every document stays; what is repeated of it goes."""
        settings = self.settings
        found = rows_of(rows, "seen" if settings.filter == "bloom" else "repeats", REPEATS)
        found_rows = integers(one_chunk(found, "key"), np.uint64)
        starts, ends = integers(one_chunk(found, "start")), integers(one_chunk(found, "end"))
        numbers: list[npt.NDArray[np.uint64]] = [np.zeros(0, dtype=np.uint64)]
        made = [np.zeros((0, 3), dtype=np.int64)]  # document, start and end of spans
        for batch in part.batches:
            rows_here = integers(batch.column("row"), np.uint64)
            low, high = np.searchsorted(found_rows, [rows_here[0], rows_here[-1] + np.uint64(1)])
            document, start, end = np.searchsorted(rows_here, found_rows[low:high]), starts[low:high], ends[low:high]
            if settings.action == "cut":  # the white space behind a piece goes along
                end = end.copy()
                self.edges.pass_blanks(*text_buffers(batch.column("text")), document, end)
            document, start, end = joined_spans(document, start, end)
            made.append(np.stack([document + sum(map(len, numbers)), start, end], axis=1))
            numbers.append(rows_here)
        rows_seen = np.concatenate(numbers)
        document, start, end = np.concatenate(made).T
        cut, spans, sizes = span_lists(document, start, end, settings.action)
        facts = {"key": rows_seen[cut], "cut": spans, "passages_repeated_bytes": sizes}
        return decide(
            rows_seen,
            pa.table(cast("Any", facts)),
            dropped=np.zeros(len(cut), dtype=np.bool_),
            rule="passages.repeated",
            values=sizes.tolist(),
            threshold=settings.min_copies,
            columns={"passages_repeated_bytes": 0},
        )

    def _pieces(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        """Document, two hashes, first byte and byte after the last of every piece long enough."""
        settings = self.settings
        data, offsets = text_buffers(batch.column("text"))
        edges, document = self.cutting.piece_edges(data, offsets, self.classes, self.unit)
        key, second = (self._hashes(data, edges, np.uint64(seed)) for seed in (1, 0x5DEECE66D))
        start, end = edges[::2] - offsets[document], edges[1::2] - offsets[document]
        if settings.unit == "sentences":
            (key, first), (second, _) = (self.cutting.joined_hashes(each, document, TRIPLE) for each in (key, second))
            document, start, end = document[first], start[first], end[first + TRIPLE - 1]
        long = end - start >= settings.min_bytes
        return document[long], key[long], second[long], start[long], end[long]

    def _hashes(
        self, data: npt.NDArray[np.uint8], edges: npt.NDArray[np.int64], seed: np.uint64
    ) -> npt.NDArray[np.uint64]:
        """Of every piece; what lies between two of them is hashed along, and left out."""
        if not len(edges):
            return np.zeros(0, dtype=np.uint64)
        if self.settings.normalize == "none":
            return self.hashing.hash_bytes(data, edges, seed)[::2].copy()
        folded = self.settings.normalize == "words"
        hash_text = self.hashing.hash_folded if folded else self.hashing.hash_spaced
        return hash_text(data, edges, self.table, seed)[0][::2].copy()
