"""ROC-AUC and thresholds against counting by hand and over all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.models.operating_points import (
    evaluate_slice,
    roc_auc,
    threshold_by_kept_share,
    threshold_by_precision,
)


def test_roc_auc_of_hand_counted_pairs() -> None:
    positive = np.array([True, True, False, False])
    assert roc_auc(positive, np.array([0.9, 0.4, 0.5, 0.1])) == 0.75  # three of four pairs in order
    assert roc_auc(positive, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_roc_auc_equals_counting_all_pairs(rows: list[tuple[bool, int]]) -> None:
    positive, scores = np.array([p for p, _ in rows]), np.array([s / 5 for _, s in rows])
    if positive.all() or not positive.any():
        assert evaluate_slice(positive, scores)["auc"] is None
        return
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    assert roc_auc(positive, scores) == pytest.approx(np.mean(pairs))


def test_precision_and_recall_at_a_threshold_counted_by_hand() -> None:
    positive = np.array([True, True, True, False, False])
    made = evaluate_slice(positive, np.array([0.9, 0.6, 0.2, 0.6, 0.0]))
    at = made["thresholds"].index(0.5)
    assert (made["recall"][at], made["precision"][at], made["false_positive_rate"][at]) == (0.6667, 0.6667, 0.5)


labelled = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40)


@given(labelled, st.sampled_from([0.5, 0.75, 0.9]))
def test_the_threshold_of_a_precision_is_the_lowest_that_reaches_it(
    rows: list[tuple[bool, int]], wanted: float
) -> None:
    positive, scores = np.array([p for p, _ in rows]), np.array([s / 8 for _, s in rows])
    reached = [value for value in set(scores.tolist()) if positive[scores >= value].mean() >= wanted]
    if reached:
        assert threshold_by_precision(positive, scores, wanted) == min(reached)
    else:
        with pytest.raises(RequestError, match="is reached at no threshold"):
            threshold_by_precision(positive, scores, wanted)


@given(st.lists(st.integers(0, 10**6), min_size=20, max_size=200, unique=True), st.sampled_from([0.05, 0.1, 0.5, 0.9]))
def test_the_threshold_of_a_share_keeps_it(values: list[int], share: float) -> None:
    pool = np.array(values, dtype=np.float64)
    kept = (pool >= threshold_by_kept_share(pool, share)).sum()
    assert kept == max(1, round(share * len(pool)))


def test_a_share_outside_of_0_to_1_is_refused() -> None:
    with pytest.raises(RequestError, match="kept share is 10"):
        threshold_by_kept_share(np.zeros(3), 10)
