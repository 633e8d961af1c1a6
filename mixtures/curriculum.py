"""Orders of difficulty or quality as schedules over buckets: which part of the ordered data is open at which time.

    mixture:
      weights: {web: 3, books: 1}
      curriculum: {order: [web/q0, web/q1, web/q2, web/q3], pacing: quadratic, replay: 0.1}

`order` goes from what comes first to what comes last; its sources keep, together, the share that the weights give them,
and the others keep theirs. Pacing functions (Hacohen and Weinshall 2019, arXiv 1904.03626; arXiv 2506.11300): with
`linear`, `quadratic` and `inverse-quadratic` pacing the first f(t) of the ordered
data is open at time t, f(0) = `open_at_start` and f(1) = 1, and drawn in proportion to its weights; `sequential` moves
through the data once without coming back; `interleaved` does so `cycles` times. `replay` is the share drawn from all of
the ordered data at any time. We follow a pacing function in `steps` steps of equal tokens, at the middle of each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from corpusmill.mixtures.weights import Ratios
from corpusmill.pipeline.errors import RequestError

Pacing = Literal["linear", "quadratic", "inverse-quadratic", "sequential", "interleaved"]

OPEN: dict[str, Callable[[float], float]] = {
    "linear": lambda time: time,
    "quadratic": lambda time: time**2,
    "inverse-quadratic": lambda time: 1 - (1 - time) ** 2,
}
"""How much of what is closed at the start is open at time 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Settings of an ordering."""

    order: tuple[str, ...]  # sources, first to last
    pacing: Pacing = "linear"
    steps: int = 20  # of each cycle
    cycles: int = 4  # of interleaved pacing
    open_at_start: float = 0.1
    replay: float = 0.0

    def __post_init__(self) -> None:
        if len(set(self.order)) < max(len(self.order), 2):
            raise ValueError(f"order needs two or more different sources, got {', '.join(self.order) or 'none'}")
        if self.steps < 1 or self.cycles < 1:
            raise ValueError(f"steps and cycles must be at least 1, got {self.steps} and {self.cycles}")
        if not 0 <= self.replay <= 1 or not 0 < self.open_at_start <= 1:
            raise ValueError(f"replay {self.replay} and open_at_start {self.open_at_start} are shares of 1")


def paced_weights(curriculum: Curriculum, ratios: Ratios) -> list[dict[str, float]]:
    """Weights of all sources for each step, steps of equal tokens. `ratios` are those of the whole mixture.

    Raises RequestError for a source in `order` that has no weight.
    """
    missing = [name for name in curriculum.order if name not in ratios]
    if missing:
        raise RequestError(f"curriculum.order: {', '.join(missing)} has no weight. With a weight: {', '.join(ratios)}.")
    ordered = sum(float(ratios[name]) for name in curriculum.order)
    shares = [float(ratios[name]) / ordered for name in curriculum.order]
    weights = []
    for low, high in windows(curriculum):
        opened = _overlaps(shares, low, high)
        step = {name: float(ratio) for name, ratio in ratios.items()}
        for name, share, part in zip(curriculum.order, shares, opened, strict=True):
            paced = (1 - curriculum.replay) * part / (high - low) + curriculum.replay * share
            step[name] = round(ordered * paced, 12)
        weights.append(step)
    return weights


def windows(curriculum: Curriculum) -> list[tuple[float, float]]:
    """The part of the ordered data, from 0 to 1, that is open in each step."""
    steps = curriculum.steps
    if curriculum.pacing in OPEN:
        start, grow = curriculum.open_at_start, OPEN[curriculum.pacing]
        return [(0.0, start + (1 - start) * grow((step + 0.5) / steps)) for step in range(steps)]
    cycles = curriculum.cycles if curriculum.pacing == "interleaved" else 1
    return [(step / steps, (step + 1) / steps) for _ in range(cycles) for step in range(steps)]


def _overlaps(shares: list[float], low: float, high: float) -> list[float]:
    """How much of each share, laid end to end from 0 to 1, lies between low and high."""
    overlaps, start = [], 0.0
    for share in shares:
        overlaps.append(max(0.0, min(high, start + share) - max(low, start)))
        start += share
    return overlaps
