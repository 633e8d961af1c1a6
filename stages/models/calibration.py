"""Makes a classifier's scores probabilities: Platt's scaling of its logit, fitted on texts that it did not see.

fastText trains until its scores are near 0 and 1, far more sure than it is right. The calibrated score is the logistic
of slope * logit(score) + offset, fitted by maximum likelihood to labels drawn in a little (Platt 1999, 2.2; Newton's
method as in Lin, Lin and Weng 2007). It holds for the share of positives in the texts that it was fitted to. The order
of the scores stays, so ROC-AUC does too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

EDGE = 1e-6
"""Scores are kept this far from 0 and 1, where the logit has no end."""
NUM_BINS = 10
MIN_SLOPE = 0.01


def fit_platt(positive: Flags, scores: Scores) -> tuple[float, float]:
    """(slope, offset) with slope > 0; (1, 0), which changes nothing, where there is one label only."""
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return 1.0, 0.0
    target = np.where(positive, (num_positive + 1) / (num_positive + 2), 1 / (num_negative + 2))
    x = logit(scores)
    slope, offset = 0.0, float(np.log((num_positive + 1) / (num_negative + 1)))
    loss = _loss(slope * x + offset, target)
    for _ in range(100):
        p = 1 / (1 + np.exp(-(slope * x + offset)))
        gradient = np.array([np.sum((p - target) * x), np.sum(p - target)])
        if np.abs(gradient).max() < 1e-8 * len(x):
            break
        weight = p * (1 - p)
        cross = float(np.sum(weight * x))
        hessian = np.array([[np.sum(weight * x * x), cross], [cross, np.sum(weight)]]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-10:
            tried = (slope - size * step[0], offset - size * step[1])
            if (new := _loss(tried[0] * x + tried[1], target)) < loss - 1e-4 * size * float(gradient @ step):
                slope, offset, loss = float(tried[0]), float(tried[1]), new
                break
            size /= 2
        else:
            break
    return max(slope, MIN_SLOPE), offset


def calibrate(scores: Scores, calibration: Mapping[str, Any]) -> Scores:
    """The scores by the `slope` and `offset` of a card."""
    return np.asarray(1 / (1 + np.exp(-(calibration["slope"] * logit(scores) + calibration["offset"]))))


def calibration_of(positive: Flags, scores: Scores, halves: Flags) -> dict[str, Any]:
    """What goes into the card: slope and offset fitted to all, and the error before and after.

    The error after is measured on each half with what was fitted to the other.
    """
    crossed = scores.copy()
    for half in (halves, ~halves):
        slope, offset = fit_platt(positive[~half], scores[~half])
        crossed[half] = calibrate(scores[half], {"slope": slope, "offset": offset})
    slope, offset = fit_platt(positive, scores)
    return {
        "method": "platt",
        "slope": round(slope, 6),
        "offset": round(offset, 6),
        "share_positive": round(float(positive.mean()), 4),
        "expected_error": {"before": _error(positive, scores), "after": _error(positive, crossed)},
        "brier": {"before": _brier(positive, scores), "after": _brier(positive, crossed)},
    }


def expected_calibration_error(positive: Flags, scores: Scores) -> float:
    """Over NUM_BINS bins of equal width: the mean distance between score and share of positives, weighted by texts."""
    bins = np.minimum((scores * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    gaps = np.bincount(bins, scores, NUM_BINS) - np.bincount(bins, positive.astype(np.float64), NUM_BINS)
    return float(np.abs(gaps).sum() / counts.sum())


def logit(scores: Scores) -> Scores:
    """ln(p / (1 - p)), with p kept EDGE away from 0 and 1."""
    p = np.clip(scores, EDGE, 1 - EDGE)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def _loss(z: Scores, target: Scores) -> float:
    return float(np.sum(np.logaddexp(0.0, z) - target * z))


def _error(positive: Flags, scores: Scores) -> float:
    return round(expected_calibration_error(positive, scores), 4)


def _brier(positive: Flags, scores: Scores) -> float:
    return round(float(np.mean((scores - positive) ** 2)), 4)
