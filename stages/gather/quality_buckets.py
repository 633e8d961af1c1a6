"""Combines several quality scores into one bucket per document, by ranks that are weighted by tokens.

As Nemotron-CC does it (Su et al. 2024, arXiv:2412.02595, section 2.2): scores of different classifiers mean different
things, so each is replaced by its rank first. A classifier's bucket of a document is floor(B * W(s) / W), where W(s) is
the weight of the documents with a lower score and W that of all: B buckets of equal weight, documents of equal score
together. The document's bucket is the largest of them (`max`: good for one classifier is good) or their mean, rounded
down. Buckets may be named: `levels: {low: 0, medium: 12, high: 19}` gives every document the level with the highest
start not above its bucket, and `tokens: {bucket_by: quality_bucket_level}` cuts the shards by it.

The weight is `num_bytes`, since tokens are not counted yet when gathers run, or a measured count such as
`words_num_words`. Scores are compared to 2^-16 of their size. Nothing is dropped here: a `drop` stage behind it can say
`when: "quality_bucket < 5"`. Documents without any of the scores have no bucket.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, PartView, Round, StageSettings
from corpusmill.stages.gather.decisions import decide, rows_of, schema_of

WEIGHTS = schema_of(key=pa.uint64(), column=pa.int32(), score=pa.uint32(), weight=pa.float64())
EDGES = schema_of(key=pa.uint64(), column=pa.int32(), score=pa.uint32())
DROPPED_BITS = 8  # of a score's 32


@dataclass(frozen=True, kw_only=True)
class QualityBuckets(StageSettings):
    """`quality_bucket` from 0, the worst, to num_buckets - 1, and `quality_bucket_level` where levels are named."""

    name: ClassVar[str] = "quality_buckets"
    kind: ClassVar[Kind] = "gather"

    scores: tuple[str, ...]  # measured columns, higher is better
    combine: Literal["max", "mean"] = "max"
    num_buckets: int = 20
    weight: str = "num_bytes"
    levels: Mapping[str, int] = field(default_factory=dict)  # name → its lowest bucket

    def __post_init__(self) -> None:
        if not self.scores:
            raise RequestError("quality_buckets.scores: no column is given, expected one such as quality.")
        if not 2 <= self.num_buckets <= 10_000:
            raise RequestError(f"quality_buckets.num_buckets: {self.num_buckets}; between 2 and 10,000.")
        if self.levels and (min(self.levels.values()) != 0 or max(self.levels.values()) >= self.num_buckets):
            raise RequestError(
                f"quality_buckets.levels: {dict(self.levels)}; one must begin at 0, none above {self.num_buckets - 1}."
            )

    def adds(self) -> dict[str, pa.DataType]:
        level = {"quality_bucket_level": pa.string()} if self.levels else {}
        return {"quality_bucket": pa.int32(), **level}

    def reads(self) -> tuple[str, ...]:
        return self.scores if self.weight == "num_bytes" else (*self.scores, self.weight)

    def rounds(self) -> tuple[Round, ...]:
        return (
            Round("weights", "parts"),
            Round("edges", "whole", reads=("weights",)),
            Round("decide", "parts", reads=("edges",)),
        )

    def open(self) -> "QualityBucketsWorker":
        return QualityBucketsWorker(self)


class QualityBucketsWorker:
    """Has nothing to load."""

    def __init__(self, settings: QualityBuckets) -> None:
        self.settings = settings

    def weights(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """The weight of each distinct score of the part, under the part's first row."""
        yield WEIGHTS.empty_table()
        found: list[list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]]] = [[] for _ in self.settings.scores]
        for batch in part.batches:
            weight = _numbers(batch, self.settings.weight)
            for column, name in enumerate(self.settings.scores):
                score = _numbers(batch, name)
                defined = ~np.isnan(score) & ~np.isnan(weight)
                found[column].append(_summed(sortable(score[defined]), weight[defined]))
        for column, pairs in enumerate(found):
            if pairs:
                scores, weights = zip(*pairs, strict=True)
                distinct, summed = _summed(np.concatenate(scores), np.concatenate(weights))
                yield _table(WEIGHTS, part.first_row, column, distinct, weight=summed)

    def edges(self, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """For every part, the scores at which buckets 1, 2, … begin; the same for all."""
        table = rows_of(rows, "weights", WEIGHTS)
        of = integers(one_chunk(table, "column"), np.int32)
        score, weight = integers(one_chunk(table, "score"), np.uint32), one_chunk(table, "weight").to_numpy()
        yield EDGES.empty_table()
        for part in np.unique(integers(one_chunk(table, "key"), np.uint64)):
            for column in range(len(self.settings.scores)):
                mine = of == column
                begins = bucket_edges(*_summed(score[mine], np.asarray(weight[mine])), self.settings.num_buckets)
                yield _table(EDGES, int(part), column, begins)

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        settings = self.settings
        edges = rows_of(rows, "edges", EDGES)
        of, begins = integers(one_chunk(edges, "column"), np.int32), integers(one_chunk(edges, "score"), np.uint32)
        numbers: list[npt.NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        buckets: list[npt.NDArray[np.float64]] = [np.zeros(0, np.float64)]
        for batch in part.batches:
            ranks = np.full((len(settings.scores), batch.num_rows), np.nan)
            for column, name in enumerate(settings.scores):
                score = _numbers(batch, name)
                rank = np.searchsorted(begins[of == column], sortable(np.nan_to_num(score)), side="right")
                ranks[column] = np.where(np.isnan(score), np.nan, rank)
            buckets.append(combined(ranks, settings.combine))
            numbers.append(integers(batch.column("row"), np.uint64))
        bucket, row = np.concatenate(buckets), np.concatenate(numbers)
        undefined = np.isnan(bucket)
        whole = np.nan_to_num(bucket).astype(np.int32)
        facts = {"key": pa.array(row, pa.uint64()), "quality_bucket": pa.array(whole, mask=undefined)}
        if settings.levels:
            names = sorted(settings.levels, key=lambda name: settings.levels[name])
            starts = np.array([settings.levels[name] for name in names])
            level = np.array(names, dtype=object)[np.searchsorted(starts, whole, side="right") - 1]
            facts["quality_bucket_level"] = pa.array(level, pa.string(), mask=undefined)
        kept = np.zeros(len(row), dtype=bool)
        added = dict.fromkeys(settings.adds())
        return decide(row, pa.table(facts), dropped=kept, rule="", values=row, threshold=None, columns=added)


def bucket_edges(
    score: npt.NDArray[np.uint32], weight: npt.NDArray[np.float64], num_buckets: int
) -> npt.NDArray[np.uint32]:
    """The num_buckets - 1 scores from which on a document is in bucket 1, 2, …; `score` ascends, without repetition."""
    if not len(score):
        return np.zeros(0, dtype=np.uint32)
    total = weight.sum()
    below = np.concatenate([[0.0], np.cumsum(weight)[:-1]])
    bucket = np.minimum((below * num_buckets / total).astype(np.int64), num_buckets - 1)
    first = np.searchsorted(bucket, np.arange(1, num_buckets))
    return np.where(first < len(score), score[np.minimum(first, len(score) - 1)], np.uint32(0xFFFFFFFF)).astype(
        np.uint32
    )


def combined(ranks: npt.NDArray[np.float64], combine: str) -> npt.NDArray[np.float64]:
    """[documents] the largest or the mean rank, of those that are defined, rounded down; NaN without any."""
    defined = ~np.isnan(ranks)
    if combine == "max":
        highest = np.where(defined, ranks, -1).max(axis=0)
        return np.where(highest < 0, np.nan, highest)
    count = defined.sum(axis=0)
    mean = np.floor(np.where(defined, ranks, 0).sum(axis=0) / np.maximum(count, 1))
    return np.where(count == 0, np.nan, mean)


def sortable(score: npt.NDArray[np.float64]) -> npt.NDArray[np.uint32]:
    """The scores as whole numbers in the same order, without the last DROPPED_BITS of their float32."""
    bits = (score.astype(np.float32) + np.float32(0.0)).view(np.uint32)  # + 0: minus zero is zero
    negative = bits >> 31 == 1
    return np.where(negative, ~bits, bits | np.uint32(1 << 31)).astype(np.uint32) >> np.uint32(DROPPED_BITS)


def _summed(
    score: npt.NDArray[np.uint32], weight: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
    """Distinct scores, ascending, and the weight of each."""
    distinct, place = np.unique(score, return_inverse=True)
    return distinct, np.bincount(place, weight, len(distinct)).astype(np.float64)


def _numbers(batch: Batch, name: str) -> npt.NDArray[np.float64]:
    column = batch.column(name).cast(pa.float64())
    return np.asarray(column.fill_null(float("nan")).to_numpy(zero_copy_only=False), dtype=np.float64)


def _table(
    schema: pa.Schema,
    key: int,
    column: int,
    score: npt.NDArray[np.uint32],
    weight: npt.NDArray[np.float64] | None = None,
) -> pa.Table:
    columns: dict[str, Any] = {
        "key": np.full(len(score), key, dtype=np.uint64),
        "column": np.full(len(score), column, dtype=np.int32),
        "score": score,
        **({} if weight is None else {"weight": weight}),
    }
    return pa.table(columns, schema=schema)
