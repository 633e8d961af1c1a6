"""A mixture resolved against sources: exact ratios by stretch, then whole rows under caps and budgets.

Ratios are shares of tokens until here. A row that is cut holds as many tokens whatever its source; a packed one holds
fewer, and how many depends on the source. So shares of tokens become shares of rows before anything is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from corpusmill.mixtures.apportion import apportion, endpoints
from corpusmill.mixtures.plan import PlannedPhase, Rows
from corpusmill.mixtures.schedule import MAX_PHASE_ROWS, Segment, block_rows_for
from corpusmill.mixtures.sources import Source
from corpusmill.mixtures.timeline import Stretch, mean_ratios, timeline, with_budgets
from corpusmill.mixtures.weights import (
    Ratios,
    Weights,
    exact,
    is_temperature,
    members_of,
    normalized,
    on_grid,
    ratios_for,
    water_fill,
)
from corpusmill.pipeline.errors import RequestError

if TYPE_CHECKING:
    from corpusmill.mixtures.mixture import Mixture


@dataclass(frozen=True)
class Wish:
    """What a mixture asks of sources."""

    mixture: "Mixture"
    stretches: tuple[Stretch, ...]  # ratios are shares of rows
    row_tokens: dict[str, Fraction]  # mean tokens in a row of each source
    caps: dict[str, int]  # the most rows of each capped source in the whole plan
    budgets: dict[str, int]  # rows of each source with a budget in the whole plan

    @classmethod
    def of(cls, mixture: "Mixture", sources: Mapping[str, Source], rows: Mapping[str, Rows]) -> "Wish":
        """Raises RequestError for names that are no source, and for weights on a source without a whole row."""
        sizes = {name: source.num_tokens for name, source in sources.items()}
        epochs = epoch_caps(mixture.max_epochs, sizes)
        usable = {name: sources[name].weighted_tokens for name in sizes if rows[name].num_rows}
        row_tokens = {name: Fraction(rows[name].num_tokens, rows[name].num_rows) for name in usable}

        def ratios_of(weights: Weights) -> Ratios:
            """Shares of tokens. Rules such as natural are in tokens already."""
            if isinstance(weights, str) or is_temperature(weights, sizes):
                return ratios_for(weights, usable, mixture.tokens, epochs)
            _check_size(weights, sizes, rows, mixture.sequence_length)
            ratios = ratios_for(weights, usable, mixture.tokens, epochs)
            if mixture.weights_in == "tokens":
                return ratios
            means = row_tokens
            if mixture.weights_in == "documents":
                means = {name: Fraction(sizes[name], max(sources[name].num_documents, 1)) for name in ratios}
            return normalized({name: ratio * means[name] for name, ratio in ratios.items()})

        def in_rows(ratios: Ratios) -> Ratios:
            return normalized({name: ratio / row_tokens[name] for name, ratio in ratios.items()})

        stretches = tuple(
            replace(stretch, start=in_rows(stretch.start), end=in_rows(stretch.end))
            for stretch in timeline(mixture, ratios_of)
        )
        caps = {name: floor(cap * rows[name].num_rows) for name, cap in epochs.items()}
        return cls(mixture, stretches, row_tokens, caps, _budget_rows(mixture.budgets, sizes, row_tokens, rows, caps))

    @property
    def names(self) -> set[str]:
        """The sources with a weight in some stretch, or a budget."""
        weighted = {name for stretch in self.stretches for name in (*stretch.start, *stretch.end)}
        return weighted | {name for name, rows in self.budgets.items() if rows}

    def planned_phases(
        self, num_rows: int, names: list[str], caps: Mapping[str, int], budgets: Mapping[str, int]
    ) -> tuple[PlannedPhase, ...]:
        """Whole rows of each source, in the order of `names`, for stretches that share `num_rows`; `caps` and `budgets`
        are in rows. Raises RequestError where the caps make it impossible."""
        stretches = self._with(budgets, num_rows)
        lengths = stretch_rows(stretches, num_rows)
        limits = dict(caps) | {name: min(rows, caps.get(name, rows)) for name, rows in budgets.items()}
        filled, unfilled = _fill(stretches, [Fraction(length) for length in lengths], limits)
        if unfilled:
            raise self._impossible(num_rows, limits, budgets, stretches[unfilled[0]].name)
        shares = [_sum(filled[2 * index], filled[2 * index + 1]) for index in range(len(stretches))]
        planned = []
        for index, (stretch, totals) in enumerate(zip(stretches, apportion(shares, limits), strict=True)):
            first, last = totals, totals
            if stretch.start != stretch.end:
                first, last = endpoints(_doubled(filled[2 * index]), _doubled(filled[2 * index + 1]), totals)
            segment = Segment(
                rows=lengths[index],
                block_rows=block_rows_for(lengths[index], self.mixture.block_rows),
                start=tuple(first.get(name, 0) for name in names),
                end=tuple(last.get(name, 0) for name in names),
            )
            wanted = self._in_tokens(mean_ratios([stretch]))
            ratios = tuple(float(wanted.get(name, Fraction(0))) for name in names)
            planned.append(PlannedPhase(stretch.name, stretch.sequence_length, ratios, segment, stretch.learning_rate))
        return tuple(planned)

    def _with(self, budgets: Mapping[str, int], num_rows: int) -> list[Stretch]:
        budgeted = with_budgets(self.stretches, {name: Fraction(rows, num_rows) for name, rows in budgets.items()})
        return [replace(each, start=on_grid(each.start), end=on_grid(each.end)) for each in budgeted]

    def _in_tokens(self, ratios: Ratios) -> Ratios:
        return normalized({name: ratio * self.row_tokens[name] for name, ratio in ratios.items()})

    def _impossible(
        self, num_rows: int, caps: Mapping[str, int], budgets: Mapping[str, int], where: str
    ) -> RequestError:
        """The error with the most tokens for which the same mixture is possible, by bisection."""
        low, high = 0, num_rows
        while high - low > 1:
            middle = (low + high) // 2
            try:
                stretches = self._with(budgets, middle)
                unfilled = _fill(stretches, [middle * stretch.share for stretch in stretches], caps)[1]
            except RequestError:  # the budgets alone are more than that
                unfilled = []
            if unfilled:
                high = middle
            else:
                low = middle
        wanted, most = num_rows * self.mixture.sequence_length, low * self.mixture.sequence_length
        return RequestError(
            f"phases.{where}: max_epochs leaves too few tokens: {wanted} wanted, at most {most} with these weights and "
            f"caps. Ask for {most} tokens, raise max_epochs, or give weight to more sources."
        )


def epoch_caps(max_epochs: float | Mapping[str, float] | None, sizes: Mapping[str, int]) -> dict[str, Fraction]:
    """The cap of each capped source; a name with buckets stands for all of them."""
    if max_epochs is None:
        return {}
    if not isinstance(max_epochs, Mapping):
        max_epochs = dict.fromkeys(sizes, max_epochs)
    caps = {}
    for name, cap in max_epochs.items():
        members = members_of(name, sizes)
        if not members:
            raise RequestError(f"max_epochs.{name}: no such source among the shards. There are: {', '.join(sizes)}.")
        if not 0 <= cap < float("inf"):
            raise RequestError(f"max_epochs.{name}: {cap} is no cap. Write a number of at least 0.")
        caps.update({member: exact(cap) for member in members})
    return caps


def stretch_rows(stretches: list[Stretch], num_rows: int) -> list[int]:
    """Whole rows of each stretch by its share. Raises RequestError for one with none or too many."""
    (rows,) = apportion([{stretch.name: stretch.share * num_rows for stretch in stretches}], {})
    for stretch in stretches:
        if rows[stretch.name] == 0:
            raise RequestError(
                f"phases.{stretch.name}: a share of {float(stretch.share):.3g} of {num_rows} rows is no row: ask for "
                "more tokens, or for fewer phases or steps."
            )
        if rows[stretch.name] > MAX_PHASE_ROWS:
            raise RequestError(
                f"phases.{stretch.name}: {rows[stretch.name]} rows, at most {MAX_PHASE_ROWS} in a phase: "
                "split it into several with the same weights, or take a longer sequence_length."
            )
    return [rows[stretch.name] for stretch in stretches]


def _fill(stretches: list[Stretch], lengths: list[Fraction], caps: Mapping[str, int]) -> tuple[list[Ratios], list[int]]:
    """Water-filling over the two halves of each stretch, one at its start's ratios and one at its end's: their sum is
    the stretch's mean. Gives the halves, and the stretches that cannot be filled."""
    halves = [ratios for stretch in stretches for ratios in (stretch.start, stretch.end)]
    filled, unfilled = water_fill(halves, [length / 2 for length in lengths for _ in range(2)], caps)
    return filled, [index // 2 for index in unfilled]


def _budget_rows(
    budgets: Mapping[str, int],
    sizes: Mapping[str, int],
    row_tokens: Mapping[str, Fraction],
    rows: Mapping[str, Rows],
    caps: Mapping[str, int],
) -> dict[str, int]:
    """Budgets in whole rows; one for a source with buckets is shared by their tokens."""
    found = {}
    for name, budget in budgets.items():
        members = [member for member in members_of(name, sizes) if rows[member].num_rows]
        if not members:
            raise RequestError(f"budgets.{name}: no such source with a whole row. There are: {', '.join(row_tokens)}.")
        total = sum(sizes[member] for member in members)
        for member in members:
            found[member] = floor(Fraction(budget * sizes[member], total) / row_tokens[member])
            if found[member] > caps.get(member, found[member]):
                raise RequestError(
                    f"budgets.{name}: {budget} tokens are {found[member] / rows[member].num_rows:.3g} epochs of "
                    f"{member}, and max_epochs allows {caps[member] / rows[member].num_rows:.3g}: at most "
                    f"{floor(caps[member] * row_tokens[member] * total / sizes[member])} tokens."
                )
    return found


def _check_size(
    weights: Mapping[str, float], sizes: Mapping[str, int], rows: Mapping[str, Rows], sequence_length: int
) -> None:
    """Rules such as `natural` pass over a source without one whole row; a weight written for it is a mistake."""
    for name, weight in weights.items():
        if weight and name in rows and not rows[name].num_rows:
            raise RequestError(
                f"weights.{name}: the source has {sizes[name]} tokens, less than one row of {sequence_length} + 1: "
                "leave it out, or take a shorter sequence_length."
            )


def _sum(first: Ratios, second: Ratios) -> Ratios:
    return {name: first.get(name, Fraction(0)) + second.get(name, Fraction(0)) for name in {**first, **second}}


def _doubled(shares: Ratios) -> Ratios:
    return {name: 2 * share for name, share in shares.items()}
