"""What of a sweep's losses is noise: differences between seeds, and between the last checkpoints of one run.

For each held-out domain, in bits per byte: the standard deviation between mixtures (the signal); between seeds of one
mixture, pooled; between the last evaluations of a run around their straight line, pooled over runs, since the loss is
still falling there (Heineman et al. 2025, "Signal and Noise", takes the last checkpoints as they are). The ratio
of signal to the larger noise says whether the domain can tell mixtures apart: below 3 the verdict of `choose` is no.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from corpusmill.mixtures.laws.swarm_results import BITS_PER_BYTE, read_ledger

LAST_SHARE = 0.1
"""Evaluations in this last part of a run count as its last checkpoints."""

Floats = npt.NDArray[np.float64]


def noise_of(ledger: Path) -> list[dict[str, Any]]:
    """{domain, mixtures, seeds, checkpoints, signal_to_noise} of each; None where nothing was repeated."""
    results = read_ledger(ledger)
    points = pq.read_table(ledger.with_name("evaluations.parquet")).to_pylist()
    rows = []
    for k, domain in enumerate(results.domains):
        by_mixture = [results.losses_NK[results.mixture_N == m, k] for m in np.unique(results.mixture_N)]
        seeds = pooled_deviation((group, 1) for group in by_mixture)
        last = (last_evaluations(points, run, f"{BITS_PER_BYTE}{domain}") for run in results.runs)
        checkpoints = pooled_deviation((without_line(losses), 2) for losses in last)
        mixtures = float(np.std([group.mean() for group in by_mixture], ddof=1)) if len(by_mixture) > 1 else None
        noise = max((value for value in (seeds, checkpoints) if value is not None), default=None)
        ratio = mixtures / noise if mixtures is not None and noise else None
        rows.append(
            {
                "domain": domain,
                "mixtures": mixtures,
                "seeds": seeds,
                "checkpoints": checkpoints,
                "signal_to_noise": ratio,
            }
        )
    return rows


def pooled_deviation(groups: Iterable[tuple[Floats, int]]) -> float | None:
    """The standard deviation within groups, of (values, how many numbers were fitted to them); None without repeats."""
    squares, freedom = 0.0, 0
    for values, num_fitted in groups:
        if len(values) > num_fitted:
            squares += float(((values - values.mean()) ** 2).sum())
            freedom += len(values) - num_fitted
    return float(np.sqrt(squares / freedom)) if freedom else None


def last_evaluations(points: list[dict[str, Any]], run: str, column: str) -> Floats:
    """A run's losses [n, 2] in the last part of its steps: (step, bits per byte)."""
    mine = [(point["step"], point[column]) for point in points if point["run"] == run and point[column] is not None]
    end = max((step for step, _ in mine), default=0)
    return np.array([each for each in mine if each[0] >= end * (1 - LAST_SHARE)], dtype=np.float64).reshape(-1, 2)


def without_line(points: Floats) -> Floats:
    """What is left of the losses without their straight line."""
    if len(points) < 3:
        return np.zeros(0)
    slope, start = np.polyfit(points[:, 0] - points[:, 0].mean(), points[:, 1], 1)
    rest: Floats = points[:, 1] - (start + slope * (points[:, 0] - points[:, 0].mean()))
    return rest
