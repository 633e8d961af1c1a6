"""From weights, which a user writes, to ratios, which are exact and sum to one; and what epoch caps make of them.

Rules: explicit weights; natural (tokens of each source); temperature (ratio ~ tokens^tau: 1 natural, 0 uniform; mT5,
Xue et al. 2021, section 3.2, alpha there); UniMax (Chung et al. 2023, arXiv 2304.09151, algorithm 1). Water-filling: a
source that would pass its cap is held at the cap, and the rest shares what is free in proportion to its weights.

Ratios are `Fraction`s: two machines get the same plan from the same recipe. A power of a float is rounded to 12 digits
for the same reason. Before rows are counted ratios are rounded to 2^-64 (`on_grid`), less than 10^-9 row in any phase:
with hundreds of sources and stretches exact denominators grow to thousands of digits.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from math import floor

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.settings import nearest

Ratios = dict[str, Fraction]
"""Share of tokens by source, summing to one."""

Weights = Mapping[str, float] | str
"""What a recipe says: {source: weight}, {"temperature": tau}, "natural" or "unimax"."""

GRID = 1 << 64
"""Ratios and held amounts are whole multiples of 1 / GRID."""

RULES = ("natural", "unimax")
NO_RULE = "is no rule. Write natural, unimax, temperature: 0.5, or source: weight."

UNIMAX_EPOCHS = 4
"""UniMax's N where no cap is given: Muennighoff et al. 2023 find four epochs nearly as good as new data."""


def ratios_for(
    weights: Weights,
    num_tokens: Mapping[str, int],
    budget: int,
    max_epochs: Mapping[str, Fraction],
) -> Ratios:
    """The ratios that `weights` ask for, over the sources in `num_tokens`, before caps.

    `budget` (tokens of the whole plan) and `max_epochs` matter to UniMax alone. A name with buckets (`web` for
    `web/q0`, `web/q1`) stands for all of them, in proportion to their tokens. Sources with weight 0 are left out.
    """
    if weights == "natural":
        return normalized({name: Fraction(tokens) for name, tokens in num_tokens.items()})
    if weights == "unimax":
        caps = {name: max_epochs.get(name, Fraction(UNIMAX_EPOCHS)) * tokens for name, tokens in num_tokens.items()}
        return normalized(unimax(caps, budget))
    if isinstance(weights, str):
        raise RequestError(f"weights: {weights!r} {NO_RULE}")
    if is_temperature(weights, num_tokens):
        return temperature(num_tokens, weights["temperature"])
    return explicit(weights, num_tokens)


def is_temperature(weights: Mapping[str, float], sources: Iterable[str]) -> bool:
    """Whether {"temperature": tau} is the rule, not the weight of a source of that name."""
    return set(weights) == {"temperature"} and "temperature" not in sources


def explicit(weights: Mapping[str, float], num_tokens: Mapping[str, int]) -> Ratios:
    """The ratios of the weights that a user wrote, decimal digit by digit."""
    parts: Ratios = {}
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise RequestError(f"weights.{name}: {weight} is no weight. Write a number of at least 0.")
        members = members_of(name, num_tokens)
        if not members:
            known = ", ".join(sorted(num_tokens)) or "none"
            raise RequestError(f"weights.{name}: no such source among the token shards. There are: {known}.")
        tokens = sum(num_tokens[member] for member in members)
        for member in members:
            share = Fraction(num_tokens[member], tokens) if tokens else Fraction(1, len(members))
            parts[member] = parts.get(member, Fraction(0)) + exact(weight) * share
    return normalized(parts)


def members_of(name: str, sources: Iterable[str]) -> list[str]:
    """The sources that a name stands for: itself, its buckets (`web/q0`), and files that came later (`web+1`)."""
    return [key for key in sources if key == name or key.startswith((f"{name}/", f"{name}+"))]


def unknown_sources(key: str, names: object, sources: Collection[str]) -> list[tuple[str, str]]:
    """(key, message) for each name under `key` that is no source, nor a bucket of one. `names` is what a recipe says
    there: names, a mapping from names, a rule, or nothing."""
    if isinstance(names, str):
        return [] if names in RULES else [(key, f"{names!r} {NO_RULE}")]
    if not isinstance(names, Collection) or (isinstance(names, Mapping) and is_temperature(names, sources)):
        return []
    unknown = [name for name in names if re.split(r"[/+]", name)[0] not in sources]
    return [(f"{key}.{name}", f"no such source; {nearest(name, sources)}") for name in unknown]


def temperature(num_tokens: Mapping[str, int], tau: float) -> Ratios:
    """Ratio ~ tokens^tau. Empty sources get nothing, also at tau = 0."""
    if not 0 <= tau <= 1:
        raise RequestError(f"weights.temperature: {tau} is outside 0 (uniform) to 1 (natural).")
    largest = max(num_tokens.values(), default=0)
    powers = {name: Fraction(f"{(n / largest) ** tau:.11e}") for name, n in num_tokens.items() if n}
    return normalized(powers)


def unimax(caps: Mapping[str, Fraction], budget: int) -> dict[str, Fraction]:
    """Tokens of each source: as even as the caps (in tokens) allow. Smallest first, each takes an equal part of what
    is left or its cap. Where all caps together are below the budget, all are taken."""
    left, taken = Fraction(budget), {}
    for position, name in enumerate(sorted(caps, key=lambda name: (caps[name], name))):
        taken[name] = min(left / (len(caps) - position), caps[name])
        left -= taken[name]
    return taken


def normalized(parts: Mapping[str, Fraction]) -> Ratios:
    """Parts divided by their sum, zeros left out."""
    total = sum(parts.values(), Fraction(0))
    if not total:
        raise RequestError("weights: all are 0, or the sources are empty. Give at least one source a weight.")
    return {name: part / total for name, part in parts.items() if part}


def on_grid(ratios: Ratios) -> Ratios:
    """The ratios rounded down to multiples of 2^-64; what is left goes to the largest, so that they sum to one."""
    parts = {name: floor(ratio * GRID) for name, ratio in ratios.items()}
    parts[max(parts, key=lambda name: (parts[name], name))] += GRID - sum(parts.values())
    return {name: Fraction(part, GRID) for name, part in parts.items() if part}


def exact(number: float | Fraction) -> Fraction:
    """The number as it was written: 0.1 is 1/10."""
    return number if isinstance(number, Fraction) else Fraction(repr(number))


def water_fill(wanted: list[Ratios], rows: list[Fraction], caps: Mapping[str, int]) -> tuple[list[Ratios], list[int]]:
    """Rows of each source in each stretch of a plan, at most `caps` of each over all stretches.

    `wanted` are ratios by stretch, `rows` its length. A source over its cap keeps its proportions between stretches;
    what it leaves is shared by the sources of the same stretch that are free. Returns the rows by stretch, and the
    stretches that cannot be filled (empty where the plan is possible).
    """
    filled = [
        {name: ratio * length for name, ratio in ratios.items()} for ratios, length in zip(wanted, rows, strict=True)
    ]
    held: set[str] = set()
    while True:
        totals: Ratios = {}
        for stretch in filled:
            for name, amount in stretch.items():
                totals[name] = totals.get(name, Fraction(0)) + amount
        over = [name for name, total in totals.items() if name not in held and name in caps and total > caps[name]]
        if not over:
            return filled, []
        held.update(over)
        for name in over:
            for stretch in filled:
                if name in stretch:
                    stretch[name] = Fraction(floor(stretch[name] * caps[name] / totals[name] * GRID), GRID)
        unfilled = []
        for index, (stretch, ratios) in enumerate(zip(filled, wanted, strict=True)):
            free = rows[index] - sum((stretch[name] for name in stretch if name in held), Fraction(0))
            open_weight = sum((ratio for name, ratio in ratios.items() if name not in held), Fraction(0))
            if open_weight:
                stretch.update({name: ratio * free / open_weight for name, ratio in ratios.items() if name not in held})
            elif free:
                unfilled.append(index)
        if unfilled:
            return filled, unfilled
