"""Quality buckets: against ranks counted document by document, whatever the parts."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gather_rounds import documents, run_gather
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import ROW_BITS, Batch
from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.gather.quality_buckets import QualityBuckets, combined, sortable

Row = tuple[int, float | None, float | None]  # bytes, two scores


def batch_of(rows: list[Row], first_row: int) -> Batch:
    columns: dict[str, Any] = {
        "quality": pa.array([row[1] for row in rows], pa.float32()),
        "classifier": pa.array([row[2] for row in rows], pa.float32()),
    }
    return documents(["x" * row[0] for row in rows], first_row=first_row, **columns)


def buckets(stage: QualityBuckets, parts: list[list[Row]]) -> list[list[int | None]]:
    batches = [[batch_of(rows, number << ROW_BITS)] if rows else [] for number, rows in enumerate(parts)]
    decisions, _ = run_gather(stage, batches)
    assert all(table.column("keep").to_pylist() == [True] * table.num_rows for table in decisions)
    return [table.column("quality_bucket").to_pylist() for table in decisions]


def by_counting(rows: list[Row], column: int, num_buckets: int) -> list[int | None]:
    scored = [(row[0], row[column]) for row in rows if row[column] is not None]
    total = sum(size for size, _ in scored)
    made: list[int | None] = []
    for row in rows:
        own = row[column]
        below = sum(size for size, score in scored if own is not None and score is not None and score < own)
        made.append(None if own is None else min(num_buckets * below // max(total, 1), num_buckets - 1))
    return made


def test_weights_and_ties_by_hand() -> None:
    rows: list[Row] = [(50, 0.1, None), (25, 0.5, None), (15, 0.5, None), (10, 0.9, None), (7, None, None)]
    stage = QualityBuckets(scores=("quality",), num_buckets=10, levels={"low": 0, "high": 5})
    assert buckets(stage, [rows]) == [[0, 5, 5, 9, None]]
    decisions, _ = run_gather(stage, [[batch_of(rows, 0)]])
    assert decisions[0].column("quality_bucket_level").to_pylist() == ["low", "high", "high", "high", None]
    assert set(stage.adds()) <= set(decisions[0].column_names)


scores = st.one_of(st.none(), st.integers(0, 16).map(lambda n: n / 16))
rows_of_a_part = st.lists(st.tuples(st.integers(1, 30), scores, scores), max_size=8)


@given(st.lists(rows_of_a_part, min_size=1, max_size=3), st.sampled_from(["max", "mean"]), st.sampled_from([2, 5, 20]))
def test_buckets_equal_counting(parts: list[list[Row]], combine: str, num_buckets: int) -> None:
    stage = QualityBuckets(scores=("quality", "classifier"), combine=combine, num_buckets=num_buckets)  # type: ignore[arg-type]  # sampled
    everything = [row for rows in parts for row in rows]
    ranks = [by_counting(everything, column, num_buckets) for column in (1, 2)]
    expected: list[int | None] = []
    for pair in zip(*ranks, strict=True):
        known = [rank for rank in pair if rank is not None]
        expected.append((max(known) if combine == "max" else sum(known) // len(known)) if known else None)
    assert [bucket for part in buckets(stage, parts) for bucket in part] == expected


def test_a_measured_count_as_weight() -> None:
    batch = batch_of([(1, 0.1, None), (1, 0.2, None), (1, 0.3, None)], 0).append_column("tokens", pa.array([8, 1, 1]))
    decisions, _ = run_gather(QualityBuckets(scores=("quality",), num_buckets=10, weight="tokens"), [[batch]])
    assert decisions[0].column("quality_bucket").to_pylist() == [0, 8, 9]
    assert QualityBuckets(scores=("quality",), weight="tokens").reads() == ("quality", "tokens")


def test_scores_keep_their_order_as_numbers() -> None:
    values = np.array([-2.0, -0.5, -0.0, 0.0, 1e-6, 0.5, 0.5001, 1.0])
    assert (np.diff(sortable(values).astype(np.int64)) >= 0).all()
    assert len(set(sortable(values).tolist())) == len(values) - 1  # 0 and -0
    assert np.isnan(combined(np.array([[np.nan]]), "mean"))[0]


def test_wrong_settings_are_refused() -> None:
    for settings, message in (
        ({"scores": ()}, "no column is given"),
        ({"num_buckets": 1}, "between 2 and"),
        ({"levels": {"low": 1}}, "one must begin at 0"),
    ):
        with pytest.raises(RequestError, match=message):
            QualityBuckets(**{"scores": ("quality",), **settings})  # type: ignore[arg-type]
