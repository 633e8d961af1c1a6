"""Ratios that sum to one with each at most its limit: what epoch caps leave of the simplex.

`within_limits` is water-filling: what passes its limit is held there and the rest grows in proportion. That is also the
projection in Kullback-Leibler divergence, because away from the limits the projection multiplies by one constant; so
mirror descent with it needs nothing else. Cost: one sort of M numbers.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.errors import RequestError

Floats: TypeAlias = npt.NDArray[np.float64]


def ratio_limits(num_tokens: Mapping[str, int], max_epochs: Mapping[str, float], budget: int) -> Floats:
    """The highest ratio [M] of each source in `budget` tokens: epochs · tokens / budget, at most 1; 1 without a cap.

    Raises RequestError, naming the largest budget, where the caps together cannot fill it.
    """
    unknown = sorted(set(max_epochs) - set(num_tokens))
    if unknown:
        raise RequestError(f"max_epochs.{unknown[0]}: no such source. There are: {', '.join(sorted(num_tokens))}.")
    most = [max_epochs[name] * n if name in max_epochs else np.inf * n if n else 0.0 for name, n in num_tokens.items()]
    if sum(most) < budget:
        raise RequestError(
            f"max_epochs: {budget} tokens are wanted and the caps allow {int(sum(most))}. "
            f"Ask for at most {int(sum(most))} tokens, or raise max_epochs."
        )
    return np.minimum(np.array(most, dtype=np.float64) / budget, 1.0)


def within_limits(ratios_M: Floats, limits_M: Floats) -> Floats:
    """The ratios nearest to `ratios_M` (in KL) that sum to one and keep the limits; a ratio of 0 stays 0.

    Raises RequestError where the sources with a positive ratio cannot fill the whole under their limits.
    """
    used = ratios_M > 0
    if limits_M[used].sum() < 1 - 1e-12:
        raise RequestError(
            f"ratios: the {int(used.sum())} sources in use may hold {limits_M[used].sum():.4f} of the tokens under "
            "max_epochs, less than all of them: give weight to more sources, or raise max_epochs."
        )
    filled_M: Floats = np.zeros(len(ratios_M))
    # Held first are the sources whose limit is lowest against what they want.
    order = [int(i) for i in np.argsort(np.where(used, limits_M / np.where(used, ratios_M, 1.0), np.inf)) if used[i]]
    free, wanted = 1.0, float(ratios_M[used].sum())
    for position, source in enumerate(order):
        if ratios_M[source] * free <= limits_M[source] * wanted:
            rest = order[position:]
            filled_M[rest] = ratios_M[rest] * (free / wanted)
            break
        filled_M[source] = limits_M[source]
        free = max(free - float(limits_M[source]), 0.0)
        wanted = float(ratios_M[order[position + 1 :]].sum())
    filled_M /= filled_M.sum()
    return filled_M
