"""A mixture's phases written out as stretches, one after the other: exact ratios at both ends of each.

Here a phase in steps, one with a curriculum, replay and the warm-up of the sequence length become plain stretches with
a straight line of ratios in each, which is all that a plan knows. So repetition, caps and the table cover them alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from corpusmill.mixtures.curriculum import Curriculum, paced_ratios
from corpusmill.mixtures.weights import Ratios, Weights, exact, normalized
from corpusmill.pipeline.errors import RequestError

if TYPE_CHECKING:
    from corpusmill.mixtures.mixture import Mixture, Phase, SequenceWarmup

ONE = Fraction(1)


@dataclass(frozen=True)
class Stretch:
    """A part of training in which ratios, which are shares of tokens, run in a straight line."""

    name: str
    share: Fraction  # of the plan's rows; those of all stretches sum to 1
    start: Ratios
    end: Ratios
    sequence_length: int
    learning_rate: tuple[float, float] | None  # at both ends, relative to the peak

    def part(self, low: Fraction, high: Fraction) -> "Stretch":
        """From `low` to `high` of the way, both from 0 to 1."""
        rates = self.learning_rate and (
            _between(*self.learning_rate, float(low)),
            _between(*self.learning_rate, float(high)),
        )
        return replace(
            self,
            share=self.share * (high - low),
            start=blend(self.start, self.end, low),
            end=blend(self.start, self.end, high),
            learning_rate=rates,
        )


def timeline(mixture: "Mixture", ratios_of: Callable[[Weights], Ratios]) -> list[Stretch]:
    """The stretches of a mixture. `ratios_of` gives the shares of tokens that weights ask for.

    Raises RequestError for a curriculum over sources that have no weight.
    """
    phases = mixture.all_phases()
    total = sum((exact(phase.share) for phase in phases), Fraction(0))
    made: list[Stretch] = []
    for phase in phases:
        start = ratios_of(phase.weights)
        end = start if phase.to is None else ratios_of(phase.to)
        if phase.replay:
            before, replay = mean_ratios(made), exact(phase.replay)
            start, end = blend(start, before, replay), blend(end, before, replay)
        length = phase.sequence_length or mixture.sequence_length
        whole = Stretch(phase.name, exact(phase.share) / total, start, end, length, _rates(phase))
        if phase.curriculum is not None:
            made += in_order(whole, phase.curriculum)
        elif phase.steps is not None:
            made += in_steps(whole, phase.steps)
        else:
            made.append(whole)
    if mixture.sequence_warmup is not None:
        made = warmed_up(made, mixture.sequence_warmup, mixture.sequence_length)
    return made


def in_steps(whole: Stretch, num_steps: int) -> list[Stretch]:
    """Equal steps, each constant: the first at the start's ratios, the last at the end's."""
    return [
        replace(_named(whole, step, num_steps), start=ratios, end=ratios)
        for step in range(num_steps)
        for ratios in [blend(whole.start, whole.end, Fraction(step, num_steps - 1))]
    ]


def in_order(whole: Stretch, curriculum: Curriculum) -> list[Stretch]:
    """The steps of a curriculum inside a stretch of constant ratios."""
    steps = paced_ratios(curriculum, whole.start)
    return [replace(_named(whole, step, len(steps)), start=ratios, end=ratios) for step, ratios in enumerate(steps)]


def warmed_up(stretches: list[Stretch], warmup: "SequenceWarmup", longest: int) -> list[Stretch]:
    """The same with short sequences in the first part of training: their length doubles in steps of equal tokens."""
    lengths = warmup.lengths(longest)
    step = exact(warmup.share) / len(lengths)
    made, begin = [], Fraction(0)
    for stretch in stretches:
        end = begin + stretch.share
        edges = [step * number for number in range(1, len(lengths) + 1)]
        cuts = [begin, *(edge for edge in edges if begin < edge < end), end]
        for low, high in pairwise(cuts):
            number = low // step
            part = stretch.part((low - begin) / stretch.share, (high - begin) / stretch.share)
            if number < len(lengths):
                length = min(lengths[number], stretch.sequence_length)
                part = replace(part, name=f"{stretch.name}@{length}", sequence_length=length)
            made.append(part)
        begin = end
    return made


def with_budgets(stretches: Sequence[Stretch], budgets: Mapping[str, Fraction]) -> list[Stretch]:
    """The same with some sources at a fixed share of the whole plan, here in shares of rows.

    A source with weights keeps its proportions between stretches, one without comes evenly; the other sources share
    what is left of each stretch by their weights. Raises RequestError where that cannot be.
    """
    if not budgets:
        return list(stretches)
    weight: Ratios = {}
    for stretch in stretches:
        for name in budgets:
            both = stretch.start.get(name, Fraction(0)) + stretch.end.get(name, Fraction(0))
            weight[name] = weight.get(name, Fraction(0)) + stretch.share * both / 2

    def at(ratios: Ratios, where: str) -> Ratios:
        fixed = {
            name: ratios.get(name, Fraction(0)) * budget / weight[name] if weight[name] else budget
            for name, budget in budgets.items()
        }
        left = ONE - sum(fixed.values())
        others = {name: ratio for name, ratio in ratios.items() if name not in budgets}
        if left < 0:
            raise RequestError(
                f"budgets: in phase {where} they come to {float(ONE - left):.4g} of its tokens. Lower them, ask for "
                "more tokens, or spread them over more phases."
            )
        if left and not others:
            raise RequestError(
                f"budgets: in phase {where} they leave {float(left):.4g} of its tokens to no source. Give another "
                "source a weight there, or ask for fewer tokens."
            )
        total = sum(others.values(), Fraction(0))
        return {name: part for name, part in fixed.items() if part} | {
            name: ratio * left / total for name, ratio in others.items() if left
        }

    return [
        replace(stretch, start=at(stretch.start, stretch.name), end=at(stretch.end, stretch.name))
        for stretch in stretches
    ]


def mean_ratios(stretches: Sequence[Stretch]) -> Ratios:
    """The ratios over all of some stretches."""
    parts: Ratios = {}
    for stretch in stretches:
        for ratios in (stretch.start, stretch.end):
            for name, ratio in ratios.items():
                parts[name] = parts.get(name, Fraction(0)) + ratio * stretch.share
    return normalized(parts)


def blend(first: Ratios, second: Ratios, share: Fraction) -> Ratios:
    """(1 - share) x first + share x second, zeros left out."""
    mixed = {
        name: (1 - share) * first.get(name, Fraction(0)) + share * second.get(name, Fraction(0))
        for name in {**first, **second}
    }
    return {name: ratio for name, ratio in mixed.items() if ratio}


def _named(whole: Stretch, step: int, num_steps: int) -> Stretch:
    part = whole.part(Fraction(step, num_steps), Fraction(step + 1, num_steps))
    return replace(part, name=f"{whole.name}-{step + 1}")


def _rates(phase: "Phase") -> tuple[float, float] | None:
    if phase.learning_rate is None:
        return None
    return phase.learning_rate, phase.learning_rate if phase.learning_rate_to is None else phase.learning_rate_to


def _between(first: float, last: float, share: float) -> float:
    return first if first == last else first + (last - first) * share
