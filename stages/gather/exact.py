"""Drops exact duplicates: documents whose normalised text, or canonical URL, equals that of one which stays.

Texts are compared by two independent 64-bit hashes, together 128 bits: among 10^10 different documents the chance of a
single wrong match is 10^-19. Hashes are grouped by ranges of the first, so memory is bounded by the number of ranges.
Documents whose normalised text is empty, or that have no URL, are left alone. Cost: one pass over the text, about 60
bytes and the id per document; URLs are read in Python, without the text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.columns import flags, integers, one_chunk, take
from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.pipeline.stage import Kind, PartView, Round, RowStream
from corpusmill.stages.gather.alarms import AlarmSettings, part_totals, raise_alarms
from corpusmill.stages.gather.canonical_url import canonical_url
from corpusmill.stages.gather.decisions import decide, part_rows, rows_of, schema_of
from corpusmill.stages.gather.keep_policy import (
    ORDER,
    Keep,
    KeepSettings,
    best_first,
    group_bounds,
)

if TYPE_CHECKING:
    import numpy.typing as npt

HASHES = pa.unify_schemas([schema_of(key=pa.uint64(), second=pa.uint64()), ORDER])
GROUPS = schema_of(
    key=pa.uint64(),  # row
    id=pa.string(),
    winner=pa.uint64(),  # null for the one that stays
    winner_id=pa.string(),
    group=pa.uint64(),
    exact_cluster_size=pa.int64(),
)


@dataclass(frozen=True, kw_only=True)
class Exact(KeepSettings, AlarmSettings):
    """What counts as the same text, and which of the copies stays."""

    name: ClassVar[str] = "exact"
    kind: ClassVar[Kind] = "gather"

    compare: Literal["text", "url"] = "text"
    normalize: Literal["none", "whitespace", "words"] = "whitespace"
    """none: every byte counts; whitespace: runs of blanks are one and the ends do not count; words: letters and digits
    alone count, folded as `minhash` folds them."""
    keep: Keep = "first"

    def adds(self) -> dict[str, pa.DataType]:
        return {"exact_cluster_size": pa.int64()}  # copies of the text, itself included

    def rounds(self) -> tuple[Round, ...]:
        return (
            Round("hashes", "parts", text=self.compare == "text"),
            Round("groups", "ranges", reads=("hashes",), evidence=True),
            Round("totals", "parts"),
            Round("alarms", "whole", reads=("totals", "groups"), evidence=True, streamed=True),
            Round("decide", "parts", reads=("groups",)),
        )

    def open(self) -> "ExactWorker":
        return ExactWorker(self)


class ExactWorker:
    """Holds the folding table."""

    def __init__(self, settings: Exact) -> None:
        from corpusmill.stages.kernels import folding, hashing

        self.settings = settings
        self.hashing = hashing
        self.table = folding.folding_table()

    def hashes(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        settings = self.settings
        yield HASHES.empty_table()
        for batch in part.batches:
            if settings.compare == "text":
                first, second, lengths = self._hash(batch.column("text"), settings.normalize)
            else:
                urls = [canonical_url(url) for url in batch.column("url").to_pylist()]
                first, second, lengths = self._hash(pa.array(urls, pa.large_string()), "none")
            table = pa.table({"key": first, "second": second, **settings.order_columns(batch)}, schema=HASHES)
            yield table.filter(pa.array(lengths > 0))

    def groups(self, rows: dict[str, pa.Table]) -> pa.Table:
        """Documents of groups of two and more; the first of each group stays."""
        hashes = rows_of(rows, "hashes", HASHES)
        order = best_first(hashes, ("key", "second"))
        key, second = (integers(one_chunk(hashes, name), np.uint64)[order] for name in ("key", "second"))
        bounds = group_bounds(key, second)
        sizes = np.diff(bounds)
        size = np.repeat(sizes, sizes)
        first = np.repeat(order[bounds[:-1]], sizes)
        several = size > 1
        order, first, size = order[several], first[several], size[several]
        row, ids = one_chunk(hashes, "row"), one_chunk(hashes, "id")
        winner = np.where(order == first, -1, first)
        return pa.table(
            {
                "key": take(row, order),
                "id": take(ids, order),
                "winner": take(row, winner),
                "winner_id": take(ids, winner),
                "group": pa.array(key[several]),
                "exact_cluster_size": pa.array(size),
            },
            schema=GROUPS,
        ).sort_by("key")

    def totals(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        return part_totals(part)

    def alarms(self, rows: dict[str, RowStream]) -> pa.Table:
        """Raised before `decide`, so that nothing is dropped where they stop the build."""
        totals, groups = rows.get("totals"), rows.get("groups")
        return raise_alarms(self.settings.name, self.settings, totals, groups, "exact_cluster_size")

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        found = rows_of(rows, "groups", GROUPS)
        return decide(
            part_rows(part.batches),
            found,
            dropped=flags(one_chunk(found, "winner").is_valid(), False),
            rule="exact.duplicate" if self.settings.compare == "text" else "exact.duplicate_url",
            values=found.column("exact_cluster_size").to_pylist(),
            threshold=1,
            columns={"exact_cluster_size": 1},
        )

    def _hash(
        self, text: Column, normalize: str
    ) -> "tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.int64]]":
        """Two independent hashes of each text and how much was hashed."""
        data, offsets = text_buffers(text)
        seeds = np.uint64(1), np.uint64(0x5DEECE66D)
        if normalize == "none":
            first, second = (self.hashing.hash_bytes(data, offsets, seed) for seed in seeds)
            return first, second, np.diff(offsets)
        hash_text = self.hashing.hash_spaced if normalize == "whitespace" else self.hashing.hash_folded
        first, lengths = hash_text(data, offsets, self.table, seeds[0])
        second, _ = hash_text(data, offsets, self.table, seeds[1])
        return first, second, lengths
