"""Orders of difficulty or quality as schedules over buckets: which part of the ordered data is open at which time.

    mixture:
      weights: {web: 3, books: 1}
      curriculum: {order: [web], pacing: quadratic, replay: 0.1}

`order` goes from what comes first to what comes last; a source with buckets stands for them in the order of their
numbers (`web/b0`, `web/b1`, …). Its sources keep, together, the share that the weights give them, and the others keep
theirs. Pacing functions (Hacohen and Weinshall 2019, arXiv 1904.03626; arXiv 2506.11300): with `linear`, `quadratic`,
`inverse-quadratic` pacing the first f(t) of the ordered data is open at time t, f(0) = `open_at_start` and f(1) = 1,
and drawn in proportion to its weights; `sequential` moves through the data once without coming back; `interleaved` does
so `cycles` times. `replay` is the share drawn from all of the ordered data at any time. We follow a pacing function in
`steps` steps of equal tokens, at the middle of each; all shares are exact.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from corpusmill.mixtures.weights import Ratios, exact, members_of
from corpusmill.pipeline.errors import RequestError

Pacing = Literal["linear", "quadratic", "inverse-quadratic", "sequential", "interleaved"]
Window = tuple[Fraction, Fraction]

OPEN: dict[str, Callable[[Fraction], Fraction]] = {
    "linear": lambda time: time,
    "quadratic": lambda time: time**2,
    "inverse-quadratic": lambda time: 1 - (1 - time) ** 2,
}
"""How much of what is closed at the start is open at time 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Settings of an ordering."""

    order: tuple[str, ...]  # sources, first to last; a source with buckets stands for them by number
    pacing: Pacing = "linear"
    steps: int = 20  # of each cycle
    cycles: int = 4  # of interleaved pacing
    open_at_start: float = 0.1
    replay: float = 0.0
    descending: bool = False  # last to first: from high values of the bucketed measure to low ones

    def __post_init__(self) -> None:
        if len(set(self.order)) < max(len(self.order), 1):
            raise ValueError(
                f"order needs different sources, or one with buckets, got {', '.join(self.order) or 'none'}"
            )
        if self.steps < 1 or self.cycles < 1:
            raise ValueError(f"steps and cycles must be at least 1, got {self.steps} and {self.cycles}")
        if not 0 <= self.replay <= 1 or not 0 < self.open_at_start <= 1:
            raise ValueError(f"replay {self.replay} and open_at_start {self.open_at_start} are shares of 1")


def paced_ratios(curriculum: Curriculum, ratios: Ratios) -> list[Ratios]:
    """Ratios of all sources for each step, steps of equal tokens. `ratios` are those of the whole mixture.

    Raises RequestError for a source in `order` that has no weight, and for an order of one source without buckets.
    """
    order = ordered_sources(curriculum, ratios)
    ordered = sum((ratios[name] for name in order), Fraction(0))
    shares = [ratios[name] / ordered for name in order]
    replay = exact(curriculum.replay)
    steps = []
    for low, high in windows(curriculum):
        step = dict(ratios)
        for name, share, part in zip(order, shares, _overlaps(shares, low, high), strict=True):
            step[name] = ordered * ((1 - replay) * part / (high - low) + replay * share)
        steps.append({name: ratio for name, ratio in step.items() if ratio})
    return steps


def ordered_sources(curriculum: Curriculum, names: Iterable[str]) -> list[str]:
    """The order with sources that have buckets written out; documents without a value (`none`) stay out of it."""
    known = list(names)
    found: list[str] = []
    for name in curriculum.order:
        members = [each for each in members_of(name, known) if each == name or not each.endswith("/none")]
        if not members:
            raise RequestError(f"curriculum.order: {name} has no weight. With a weight: {', '.join(known)}.")
        found += sorted(members, key=_by_number)
    if len(found) < 2:
        raise RequestError(
            f"curriculum.order: {', '.join(found)} is one source without buckets, so there is nothing to order: name "
            "two or more, or set tokens.bucket_by and build again."
        )
    return found[::-1] if curriculum.descending else found


def windows(curriculum: Curriculum) -> list[Window]:
    """The part of the ordered data, from 0 to 1, that is open in each step."""
    steps = curriculum.steps
    if curriculum.pacing in OPEN:
        start, grow = exact(curriculum.open_at_start), OPEN[curriculum.pacing]
        return [(Fraction(0), start + (1 - start) * grow(Fraction(2 * step + 1, 2 * steps))) for step in range(steps)]
    cycles = curriculum.cycles if curriculum.pacing == "interleaved" else 1
    return [(Fraction(step, steps), Fraction(step + 1, steps)) for _ in range(cycles) for step in range(steps)]


def _overlaps(shares: list[Fraction], low: Fraction, high: Fraction) -> list[Fraction]:
    """How much of each share, laid end to end from 0 to 1, lies between low and high."""
    overlaps, start = [], Fraction(0)
    for share in shares:
        overlaps.append(max(Fraction(0), min(high, start + share) - max(low, start)))
        start += share
    return overlaps


def _by_number(name: str) -> list[tuple[int, str]]:
    """b2 before b10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", name) if part]
