"""How well a mixing law predicts mixtures that it has not seen, and which law does it best.

Every mixture is left out once, with all its seeds (a repeat that stays in would give the answer away), the law is
fitted again without it, and its loss predicted. With `auto` the choice between laws is made inside as well, from other
mixtures alone, so that the error of the chosen law is not flattered by the choosing (nested cross-validation, Varma and
Simon 2006): mixtures are dealt into NUM_CHOICES groups, and for each group the law is chosen without it.

Cost: one fit per mixture, begun at the law of all runs, which changes where the search starts and not what it looks
for; `auto` makes (NUM_CHOICES + 1) x NUM_INNER_FOLDS fits of each law more. Above MAX_FOLDS mixtures, they are left out
in groups.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.laws.fitters import FITTERS
from corpusmill.mixtures.laws.mixing import Floats, Law
from corpusmill.pipeline.errors import RequestError

Integers: TypeAlias = npt.NDArray[np.int64]

AUTO = "auto"
MAX_FOLDS = 64
NUM_CHOICES = 8
NUM_INNER_FOLDS = 5


@dataclass(frozen=True)
class LeftOut:
    """A law for one domain, fitted to all runs, and what it predicts of each run [N] when that mixture is left out."""

    law: Law
    predicted_N: Floats


def left_out(ratios_NM: Floats, losses_N: Floats, mixture_N: Integers, law: str = AUTO) -> LeftOut:
    """Fits and leaves out. `mixture_N` are mixture numbers from 0. Raises RequestError below three mixtures."""
    if law != AUTO and law not in FITTERS:
        raise RequestError(f"law: {law!r} is none. There are: {AUTO}, {', '.join(FITTERS)}.")
    num_mixtures = int(mixture_N.max()) + 1
    if num_mixtures < 3:
        raise RequestError(
            f"law: {num_mixtures} different mixtures cannot tell a law: train at least 3, better 5 a source."
        )
    names = list(FITTERS) if law == AUTO else [law]
    laws = {name: FITTERS[name](ratios_NM, losses_N, None, None) for name in names}
    chosen, group_N = names[0], np.zeros_like(mixture_N)
    chosen_without = {0: chosen}
    if law == AUTO:
        chosen, group_N = _best(laws, ratios_NM, losses_N, mixture_N), _folds(mixture_N, NUM_CHOICES)
        for group in range(int(group_N.max()) + 1):
            others = group_N != group
            chosen_without[group] = _best(laws, ratios_NM[others], losses_N[others], mixture_N[others])
    fold_N = _folds(mixture_N, MAX_FOLDS)
    predicted_N = np.empty_like(losses_N)
    for fold in range(int(fold_N.max()) + 1):
        kept = (fold_N != fold).astype(np.float64)
        for group in np.unique(group_N[fold_N == fold]):
            name = chosen_without[int(group)]
            out = (fold_N == fold) & (group_N == group)
            predicted_N[out] = FITTERS[name](ratios_NM, losses_N, kept, laws[name]).predict(ratios_NM[out])
    return LeftOut(law=laws[chosen], predicted_N=predicted_N)


def rank_correlation(first_N: Floats, second_N: Floats) -> float | None:
    """Spearman's, with mean ranks for ties; None where one side is constant."""
    from scipy.stats import rankdata

    ranks, others = rankdata(first_N), rankdata(second_N)
    if np.ptp(ranks) == 0 or np.ptp(others) == 0:
        return None
    return float(np.corrcoef(ranks, others)[0, 1])


def root_mean_square(errors_N: Floats) -> float:
    return float(np.sqrt(np.mean(errors_N**2)))


def _best(laws: dict[str, Law], ratios_NM: Floats, losses_N: Floats, mixture_N: Integers) -> str:
    """The law with the least squared error on NUM_INNER_FOLDS left-out folds; the first of equals."""
    fold_N = _folds(np.unique(mixture_N, return_inverse=True)[1], NUM_INNER_FOLDS)
    errors = {}
    for name, law in laws.items():
        total = 0.0
        for fold in range(int(fold_N.max()) + 1):
            out = fold_N == fold
            without = FITTERS[name](ratios_NM, losses_N, (~out).astype(np.float64), law)
            total += float(((without.predict(ratios_NM[out]) - losses_N[out]) ** 2).sum())
        errors[name] = total
    return min(errors, key=lambda name: errors[name])


def _folds(mixture_N: Integers, most: int) -> Integers:
    """The fold of each run: one per mixture, or `most` folds of whole mixtures, dealt out in a fixed random order."""
    num_mixtures = int(mixture_N.max()) + 1
    fold_of_mixture = np.arange(num_mixtures)
    if num_mixtures > most:
        fold_of_mixture = np.random.default_rng(0).permutation(num_mixtures) % most
    return fold_of_mixture[mixture_N]
