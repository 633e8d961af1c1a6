"""The best ratios for a target, with what is known about them: intervals, error, and whether they can be told apart.

From a swarm's fit: the mixture of least predicted target loss within epoch caps and near the prior (optimum.py); the
error that the laws made on left-out mixtures of several sources, on the target itself; the noise between seeds of one
mixture; intervals of the ratios by a Bayesian bootstrap over runs (Rubin 1981: exponential weights in place of
resampling, so that no draw loses a source's only informative run); and the probability that the choice beats the
natural mixture.

The verdict is "not distinguishable" where the error or the seed noise is not below a third of the spread between the
mixtures: such a swarm cannot say which mixture is better. Cost: num_bootstrap fits per domain, 4 s for a swarm of 28.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.mixtures.capped_simplex import Floats, ratio_limits, within_limits
from corpusmill.mixtures.laws.fitters import FITTERS
from corpusmill.mixtures.laws.left_out import root_mean_square
from corpusmill.mixtures.laws.swarm_fit import SwarmFit, write_json
from corpusmill.mixtures.optimum import best_ratios
from corpusmill.pipeline.errors import RequestError

TRUST = 0.05
"""Weight of KL(ratios ‖ prior) against bits per byte (Olmix: .05 to .1)."""

INTERVAL = (0.05, 0.95)
"""Quantiles of the bootstrap given as low and high."""

SURE = 0.95
"""Probability from which `beats_natural` is said."""

LARGEST_SHARE_OF_SPREAD = 1 / 3


@dataclass(frozen=True)
class Choice:
    """Chosen ratios [M] by source, and what they are worth. Losses, errors and noise in bits per byte of the target."""

    sources: tuple[str, ...]
    target: dict[str, float]  # weights of the domains, summing to one
    ratios_M: Floats
    low_M: Floats
    high_M: Floats
    predicted: float  # of the chosen mixture
    error: float  # root mean square on left-out mixtures of several sources
    seed_noise: float | None  # standard deviation between seeds of one mixture; None: no mixture was repeated
    spread: float  # standard deviation between the same mixtures
    beats_natural_probability: float
    compared: dict[str, float]  # predicted loss of natural and uniform under the same caps
    domains: dict[str, float]  # predicted loss of the chosen mixture on every domain

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the mixtures cannot be told apart; empty where they can."""
        most = LARGEST_SHARE_OF_SPREAD * self.spread
        found = []
        if not self.error < most:
            found.append(f"the error on left-out mixtures, {self.error:.4f}, is not below a third of the spread")
        if self.seed_noise is not None and not self.seed_noise < most:
            found.append(f"the noise between seeds, {self.seed_noise:.4f}, is not below a third of the spread")
        return tuple(f"{reason} between mixtures, {self.spread:.4f}" for reason in found)

    @property
    def distinguishable(self) -> bool:
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """What `choose --json` prints and choice.json holds."""
        numbers = zip(self.sources, self.ratios_M.tolist(), self.low_M.tolist(), self.high_M.tolist(), strict=True)
        return {
            "format": 1,
            "ratios": {name: {"ratio": ratio, "low": low, "high": high} for name, ratio, low, high in numbers},
            "predicted": {"metric": "target", "value": self.predicted, "error": self.error},
            "beats_natural": self.distinguishable and self.beats_natural_probability >= SURE,
            "beats_natural_probability": self.beats_natural_probability,
            "verdict": "distinguishable" if self.distinguishable else "not distinguishable",
            "reasons": list(self.reasons),
            "target": self.target,
            "seed_noise": self.seed_noise,
            "spread": self.spread,
            "compared": self.compared,
            "domains": self.domains,
        }


def choose(
    fit: SwarmFit,
    target: Mapping[str, float],
    num_tokens: Mapping[str, int],
    *,
    budget: int,
    max_epochs: Mapping[str, float] | None = None,
    prior: Mapping[str, float] | None = None,
    trust: float = TRUST,
    num_bootstrap: int = 200,
    seed: int = 0,
) -> Choice:
    """The best ratios for `target` ({domain: weight}) when `budget` tokens are trained on sources of `num_tokens`.

    `prior` ({source: weight}) is what the choice stays near; the natural ratios by default. Raises RequestError for an
    unknown domain or source, and where the caps cannot fill the budget.
    """
    results = fit.results
    sources = results.sources
    if missing := sorted(set(sources) - set(num_tokens)):
        raise RequestError(f"choose: no token count for source {missing[0]} of the sweep. Give one for each source.")
    sizes = {name: num_tokens[name] for name in sources}
    limits_M = ratio_limits(sizes, max_epochs or {}, budget)
    natural_M = np.array(list(sizes.values()), dtype=np.float64)
    natural_M /= natural_M.sum()
    prior_M = natural_M if prior is None else _prior(prior, sources)
    weights_K = fit.target_weights(target)
    best_M = best_ratios(fit.laws, weights_K, prior_M, limits_M, trust)
    natural_M = within_limits(natural_M, limits_M)
    uniform_M = within_limits(np.full(len(sources), 1 / len(sources)), limits_M)
    domains = {name: float(law.predict(best_M[None])[0]) for name, law in zip(results.domains, fit.laws, strict=True)}
    error = root_mean_square(((fit.left_out_NK - results.losses_NK) @ weights_K)[results.mixed_N])

    draws_BM, gains_B = [], []
    for weights_N in np.random.default_rng(seed).exponential(size=(num_bootstrap, len(results.runs))):
        laws = [
            FITTERS[law.name](results.ratios_NM, losses_N, weights_N, law) if weight > 0 else law
            for law, losses_N, weight in zip(fit.laws, results.losses_NK.T, weights_K, strict=True)
        ]
        draws_BM.append(best_ratios(laws, weights_K, prior_M, limits_M, trust))
        both = np.stack([law.predict(np.stack([natural_M, best_M])) for law in laws], axis=1) @ weights_K
        gains_B.append(both[0] - both[1])
    low_M, high_M = np.quantile(np.array(draws_BM), INTERVAL, axis=0) if draws_BM else (best_M, best_M)
    return Choice(
        sources=sources,
        target={name: float(w) for name, w in zip(results.domains, weights_K, strict=True) if w > 0},
        ratios_M=best_M,
        low_M=np.minimum(low_M, best_M),
        high_M=np.maximum(high_M, best_M),
        predicted=fit_loss(fit, weights_K, best_M),
        error=error,
        seed_noise=_seed_noise(fit, weights_K),
        spread=_spread(fit, weights_K),
        beats_natural_probability=_probability(np.array(gains_B), error),
        compared={"natural": fit_loss(fit, weights_K, natural_M), "uniform": fit_loss(fit, weights_K, uniform_M)},
        domains=domains,
    )


def write_choice(choice: Choice, path: Path) -> None:
    """Writes choice.json."""
    write_json(path, choice.as_json())


def fit_loss(fit: SwarmFit, weights_K: Floats, ratios_M: Floats) -> float:
    """The target loss that the laws predict for one mixture."""
    return float(sum(w * law.predict(ratios_M[None])[0] for w, law in zip(weights_K, fit.laws, strict=True)))


def _prior(prior: Mapping[str, float], sources: tuple[str, ...]) -> Floats:
    """The prior's ratios; every source of the sweep needs a weight above 0, or it could never be chosen."""
    for name in (*prior, *sources):
        if name not in sources or not 0 < prior.get(name, 0) < float("inf"):
            raise RequestError(f"prior.{name}: expected a weight above 0 for each of {', '.join(sources)}.")
    weights_M: Floats = np.array([prior[name] for name in sources], dtype=np.float64)
    weights_M /= weights_M.sum()
    return weights_M


def _seed_noise(fit: SwarmFit, weights_K: Floats) -> float | None:
    """Pooled standard deviation of the target loss between runs of one mixture; None without repeats."""
    losses_N, mixture_N = fit.results.losses_NK @ weights_K, fit.results.mixture_N
    groups = [losses_N[mixture_N == mixture] for mixture in np.unique(mixture_N)]
    freedom = sum(len(group) - 1 for group in groups)
    if freedom == 0:
        return None
    return float(np.sqrt(sum(((group - group.mean()) ** 2).sum() for group in groups) / freedom))


def _spread(fit: SwarmFit, weights_K: Floats) -> float:
    """Standard deviation of the target loss between mixtures of several sources, seeds averaged."""
    mixed_N = fit.results.mixed_N
    losses_N, mixture_N = (fit.results.losses_NK @ weights_K)[mixed_N], fit.results.mixture_N[mixed_N]
    means = [float(losses_N[mixture_N == mixture].mean()) for mixture in np.unique(mixture_N)]
    return float(np.std(means, ddof=1))


def _probability(gains_B: Floats, error: float) -> float:
    """Of a lower loss than natural: over the bootstrapped laws, each with the laws' error on both mixtures."""
    scale = max(error, 1e-12) * 2  # erf's sqrt(2), and the sqrt(2) of two independent errors
    return float(np.mean([0.5 + 0.5 * erf(gain / scale) for gain in gains_B])) if len(gains_B) else 0.5
