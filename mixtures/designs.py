"""Which mixtures a swarm trains: what a mixing law needs to be identified, then draws around a prior.

In this order: the natural ratios once per seed, every source alone (without these corners a law's t cannot be told
apart for rare sources), UniMax, uniform, then draws. Draws are Dirichlet around the tempered prior as in RegMix (arXiv
2407.01492, section 3.1) and Olmix: concentrations spread evenly in the log from 0.1 to 5, ratios too small to matter
set to zero, near-copies left out. Departures: a draw over an epoch cap is water-filled down to it, where RegMix and
Olmix throw it away, which under tight caps throws away nearly all and never shows the law the edge at which the best
mixture often lies; a concentration is the mean over sources, not their sum, because with the sum half of the draws of
four sources are single sources again; concentrations are taken in turn, not at random, so that a small swarm has both
broad and narrow draws. Sobol draws fill the simplex evenly instead, without a prior.

A design depends on its arguments alone, and a longer one begins with the draws of a shorter one. Cost: microseconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from corpusmill.mixtures.capped_simplex import Floats, ratio_limits, within_limits
from corpusmill.mixtures.weights import ratios_for
from corpusmill.pipeline.errors import RequestError

CONCENTRATIONS = np.logspace(np.log10(0.1), np.log10(5), 15)
SMALLEST_RATIO = 0.002
"""Smaller ratios become zero (Olmix): a proxy sees too little of them to tell."""

SMALLEST_DISTANCE = 0.01
"""Draws nearer than this (sum of absolute differences) to an earlier mixture are left out."""

MAX_MISSES = 200
"""Near-copies in a row after which Dirichlet draws give way to Sobol draws (a prior that is nearly one source), and
Sobol draws to an error."""


@dataclass(frozen=True)
class SwarmMixture:
    """One mixture of a swarm. `ratios` has every source, in the order given, and sums to one."""

    name: str
    ratios: dict[str, float]
    seed: int = 0  # of the proxy's initial weights and data order; natural is repeated with others


def swarm_design(
    num_tokens: Mapping[str, int],
    num_mixtures: int,
    *,
    budget: int,
    max_epochs: Mapping[str, float] | None = None,
    draws: Literal["dirichlet", "sobol"] = "dirichlet",
    temperature: float = 0.5,
    num_natural: int = 2,
    seed: int = 0,
) -> list[SwarmMixture]:
    """`num_mixtures` mixtures over the sources of `num_tokens`, all keeping `max_epochs` within `budget` tokens.

    `temperature` flattens the prior (natural ratios to that power) around which Dirichlet draws lie. `num_natural`
    proxies train on the natural mixture with different seeds: they measure the noise. Raises RequestError where
    `num_mixtures` leaves no room for the fixed mixtures, or the caps make `budget` impossible.
    """
    if not num_tokens or min(num_tokens.values()) <= 0:
        empty = next((name for name, n in num_tokens.items() if n <= 0), "none")
        raise RequestError(f"swarm: source {empty} has no tokens; a swarm needs at least one source, and none empty.")
    names = list(num_tokens)
    limits_M = ratio_limits(num_tokens, max_epochs or {}, budget)
    fixed = _fixed(num_tokens, max_epochs or {}, budget, limits_M, num_natural)
    if num_mixtures < len(fixed):
        raise RequestError(
            f"runs: {num_mixtures} is less than the {len(fixed)} that a design needs ({len(names)} sources alone, "
            f"natural {num_natural} times, UniMax, uniform). Ask for at least {len(fixed)}, better "
            f"{5 * len(names) + len(fixed)}."
        )
    natural_M = np.array(list(num_tokens.values()), dtype=np.float64)
    prior_M = (natural_M / natural_M.max()) ** temperature
    points = _sobol(len(names), seed) if draws == "sobol" else _dirichlet(prior_M / prior_M.sum(), seed)
    made = list(fixed)
    while len(made) < num_mixtures:
        point_M = _next(points, made, limits_M)
        if point_M is None and draws == "dirichlet":
            draws, points = "sobol", _sobol(len(names), seed)
        elif point_M is None:
            raise RequestError(
                f"runs: only {len(made)} different mixtures of {len(names)} sources found under max_epochs, "
                f"{num_mixtures} wanted. Ask for {len(made)}, or raise max_epochs."
            )
        else:
            made.append(SwarmMixture(f"{draws}-{len(made) - len(fixed):04d}", _named(names, point_M)))
    return made


def draws_around(
    center: Mapping[str, float],
    num_mixtures: int,
    before: Sequence[SwarmMixture],
    *,
    round_number: int,
    num_tokens: Mapping[str, int],
    budget: int,
    max_epochs: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[SwarmMixture]:
    """A later round of a swarm: Dirichlet draws with mean `center`, twice as concentrated in each round (Olmix).

    None is a near-copy of one in `before`. Raises RequestError where the caps leave no more.
    """
    names = list(num_tokens)
    limits_M = ratio_limits(num_tokens, max_epochs or {}, budget)
    center_M = np.maximum([center.get(name, 0.0) for name in names], SMALLEST_RATIO)
    points = _dirichlet(center_M / center_M.sum(), seed + round_number, 2.0**round_number)
    made = list(before)
    while len(made) < len(before) + num_mixtures:
        point_M = _next(points, made, limits_M)
        if point_M is None:
            raise RequestError(f"--add {num_mixtures}: only {len(made) - len(before)} mixtures differ from the others.")
        name = f"round-{round_number}-{len(made) - len(before):04d}"
        made.append(SwarmMixture(name, _named(names, point_M)))
    return made[len(before) :]


def _next(points: Iterator[Floats], made: Sequence[SwarmMixture], limits_M: Floats) -> Floats | None:
    """The next point, under the limits, that is no near-copy; None after MAX_MISSES copies."""
    seen = [np.array(list(mixture.ratios.values())) for mixture in made]
    for _ in range(MAX_MISSES):
        point_M = _capped(next(points), limits_M)
        if all(np.abs(point_M - other_M).sum() > SMALLEST_DISTANCE for other_M in seen):
            return point_M
    return None


def _fixed(
    num_tokens: Mapping[str, int], max_epochs: Mapping[str, float], budget: int, limits_M: Floats, num_natural: int
) -> list[SwarmMixture]:
    """Natural, corners, UniMax, uniform, under the caps, which may make some equal: then the first stands for all.

    A capped corner is filled up with the natural rest.
    """
    names = list(num_tokens)
    natural_M = np.array(list(num_tokens.values()), dtype=np.float64)
    natural_M /= natural_M.sum()
    caps = {name: Fraction(str(cap)) for name, cap in max_epochs.items()}
    unimax = ratios_for("unimax", num_tokens, budget, caps)
    corners = {
        f"only-{name}": np.where(np.arange(len(names)) == i, 1.0, natural_M * 1e-9) for i, name in enumerate(names)
    }
    wanted = [(f"natural-{repeat}", natural_M, repeat) for repeat in range(max(num_natural, 1))]
    wanted += [(name, corner_M, 0) for name, corner_M in corners.items()]
    wanted += [("unimax", np.array([float(unimax.get(name, 0)) for name in names]), 0)]
    wanted += [("uniform", np.full(len(names), 1 / len(names)), 0)]
    mixtures: dict[tuple[int, bytes], SwarmMixture] = {}
    for name, point_M, seed in wanted:
        ratios_M = within_limits(point_M, limits_M) if name.startswith("natural-") else _capped(point_M, limits_M)
        mixtures.setdefault((seed, ratios_M.round(9).tobytes()), SwarmMixture(name, _named(names, ratios_M), seed))
    return list(mixtures.values())


def _dirichlet(prior_M: Floats, seed: int, times: float = 1.0) -> Iterator[Floats]:
    """Draws with mean `prior_M`; the concentrations, `times` more, in turn, from both ends of the range inwards."""
    generator = np.random.default_rng(seed)
    order = [index for pair in zip(range(15), reversed(range(15)), strict=True) for index in pair][:15]
    while True:
        for index in order:
            yield generator.dirichlet(prior_M * len(prior_M) * CONCENTRATIONS[index] * times)


def _sobol(num_sources: int, seed: int) -> Iterator[Floats]:
    """Scrambled Sobol points made uniform on the simplex: gaps between the sorted coordinates."""
    from scipy.stats import qmc

    sampler = qmc.Sobol(max(num_sources - 1, 1), scramble=True, rng=np.random.default_rng(seed))
    while True:
        for point in sampler.random(64):
            yield np.diff(np.concatenate([[0.0], np.sort(point[: num_sources - 1]), [1.0]]))


def _capped(point_M: Floats, limits_M: Floats) -> Floats:
    """The point without its smallest ratios, under the limits; where what is left cannot fill, with a little of all."""
    kept_M = np.where(point_M < SMALLEST_RATIO * point_M.sum(), 0.0, point_M)
    if limits_M[kept_M > 0].sum() < 1:
        kept_M = np.maximum(point_M, 1e-12)
    return within_limits(kept_M, limits_M)


def _named(names: list[str], ratios_M: Floats) -> dict[str, float]:
    return dict(zip(names, ratios_M.tolist(), strict=True))
