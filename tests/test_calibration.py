"""Platt's scaling: found parameters are those that made the labels, and the likelihood has no better ones nearby."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.stages.models.calibration import (
    MIN_SLOPE,
    calibrate,
    calibration_of,
    expected_calibration_error,
    fit_platt,
    logit,
)
from corpusmill.stages.models.operating_points import roc_auc

RNG = np.random.default_rng(1)
SCORES = RNG.uniform(0.001, 0.999, 50_000)
TRUE = 1 / (1 + np.exp(-(0.4 * logit(SCORES) - 1.0)))  # over-confident scores, and too many positives
POSITIVE = RNG.uniform(size=len(SCORES)) < TRUE


def test_the_parameters_that_made_the_labels_are_found() -> None:
    slope, offset = fit_platt(POSITIVE, SCORES)
    assert slope == pytest.approx(0.4, abs=0.03)
    assert offset == pytest.approx(-1.0, abs=0.05)


def test_calibrated_scores_are_probabilities_and_keep_their_order() -> None:
    halves = RNG.uniform(size=len(SCORES)) < 0.5
    card = calibration_of(POSITIVE, SCORES, halves)
    assert card["expected_error"]["before"] > 0.15
    assert card["expected_error"]["after"] < 0.01
    assert card["brier"]["after"] < card["brier"]["before"]
    made = calibrate(SCORES, card)
    assert roc_auc(POSITIVE, made) == pytest.approx(roc_auc(POSITIVE, SCORES))


def test_the_error_counted_by_hand() -> None:
    positive, scores = np.array([True, False, True, True]), np.array([0.85, 0.85, 0.25, 1.0])
    # bins 8: |1.7 - 1| = 0.7; 2: |0.25 - 1| = 0.75; 9: 0
    assert expected_calibration_error(positive, scores) == pytest.approx((0.7 + 0.75) / 4)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100)), min_size=2, max_size=50))
def test_no_parameters_nearby_are_likelier(rows: list[tuple[bool, int]]) -> None:
    positive, scores = np.array([p for p, _ in rows]), np.array([s / 100 for _, s in rows])
    slope, offset = fit_platt(positive, scores)
    if positive.all() or not positive.any():
        assert (slope, offset) == (1.0, 0.0)
        return
    if slope == MIN_SLOPE:  # the likelihood would have it lower, which would turn the order around
        return
    num_positive, num_negative = positive.sum(), (~positive).sum()
    target = np.where(positive, (num_positive + 1) / (num_positive + 2), 1 / (num_negative + 2))

    def loss(a: float, b: float) -> float:
        z = a * logit(scores) + b
        return float(np.sum(np.logaddexp(0, z) - target * z))

    best = loss(slope, offset)
    for da, db in ((0.05, 0), (0, 0.05), (0, -0.05), (-0.05, 0)):
        if slope + da > 0:
            assert loss(slope + da, offset + db) >= best - 1e-6
