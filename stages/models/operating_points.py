"""What a classifier's scores are worth on labelled texts: ROC-AUC, and what each threshold buys and costs.

A threshold is chosen by what is wanted of it: a share of a pool of texts that stays above it, or a precision among the
labelled texts. Precision depends on how many of them are positive, so the share of positives stands beside it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.models.labelled_examples import Example

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)

Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


def evaluate(examples: Sequence[Example], scores: Scores) -> list[dict[str, Any]]:
    """Over all, per source, and per language of sources that have several: ROC-AUC, and what each threshold buys."""
    slices: dict[tuple[str, str], list[int]] = {}
    labelled = {e.source for e in examples if e.positive}
    for i, example in enumerate(examples):
        slices.setdefault((example.source, example.lang if example.source in labelled else ""), []).append(i)
    made = []
    for (source, lang), rows in [(("all", ""), list(range(len(examples)))), *sorted(slices.items())]:
        positive = np.array([examples[i].positive for i in rows], dtype=bool)
        made.append({"source": source, "lang": lang, **evaluate_slice(positive, scores[rows])})
    return made


def evaluate_slice(positive: Flags, scores: Scores, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, Any]:
    """ROC-AUC (null with one label) and, per threshold, the share of positives and negatives above, and precision."""
    above = {t: scores > t for t in thresholds}
    return {
        "num_positive": int(positive.sum()),
        "num_negative": int((~positive).sum()),
        "auc": None if positive.all() or not positive.any() else round(roc_auc(positive, scores), 4),
        "thresholds": list(above),
        "recall": [_share(hit[positive]) for hit in above.values()],
        "false_positive_rate": [_share(hit[~positive]) for hit in above.values()],
        "precision": [_share(positive[hit]) for hit in above.values()],
    }


def roc_auc(positive: Flags, scores: Scores) -> float:
    """The probability that a positive scores above a negative, ties counted half (Mann-Whitney)."""
    from scipy.stats import rankdata

    num_positive = int(positive.sum())
    above = float(rankdata(scores)[positive].sum()) - num_positive * (num_positive + 1) / 2
    return above / (num_positive * (len(positive) - num_positive))


def threshold_by_kept_share(pool: Scores, share: float) -> float:
    """The score that `share` of the pool lies at or above: the pool's quantile, itself a score of the pool."""
    if not 0 < share < 1:
        raise RequestError(f"kept share is {share}, expected a number between 0 and 1, such as 0.1.")
    ordered = np.sort(pool)
    return float(ordered[len(ordered) - max(1, round(share * len(ordered)))])


def threshold_by_precision(positive: Flags, scores: Scores, precision: float) -> float:
    """The lowest score such that of the texts at or above it `precision` are positive."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    reached = np.cumsum(positive[order]) / np.arange(1, len(scores) + 1)
    last_of_ties = np.append(ordered[1:] != ordered[:-1], True)
    enough = np.flatnonzero((reached >= precision) & last_of_ties)
    if not len(enough):
        best = float(reached[last_of_ties].max(initial=0.0))
        raise RequestError(
            f"precision {precision} is reached at no threshold on the held-out texts: at most {best:.4f}. Ask for "
            "less, or give more or cleaner examples."
        )
    return float(ordered[enough[-1]])


def describe_threshold(value: float, positive: Flags, scores: Scores) -> dict[str, Any]:
    """The value, and what lies at or above it in the held-out texts: recall, false positive rate and precision."""
    above = scores >= value
    return {
        "value": value,
        "recall": _share(above[positive]),
        "false_positive_rate": _share(above[~positive]),
        "precision": _share(positive[above]),
        "share_positive": _share(positive),
    }


def _share(hits: Flags) -> float | None:
    return round(float(hits.mean()), 4) if len(hits) else None
