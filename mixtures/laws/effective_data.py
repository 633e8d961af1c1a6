"""Loss on one domain as a power law in effective data: what each source's tokens are worth for the domain, summed.

    L(x) = c + (Σ_j b_j x_j)^-α,   b_j = exp(-t_j / α)

A token of source j is worth b_j tokens of the domain itself (effective data transferred: Hernandez et al., "Scaling
Laws for Transfer", arXiv 2102.01293), and loss falls with data as a power. As the additive law of Shukor et al. (arXiv
2507.09404), c + 1/Σ_j C_j x_j^γ_j, but with one exponent outside the sum, so that M + 2 numbers are fitted and not
2M + 1. `t_j` is the log of the reducible loss of source j alone, as in the log-linear law, which is the limit of this
one for α → ∞. Convex in x, so the best mixture is unique. It describes what the log-linear law cannot: small proxies
lose steeply on a domain whose share goes to 0. On the quickstart's 24 proxies the errors on left-out mixtures of code,
docs, licences and sample were .14, .11, .18, .62 bits per byte, those of the log-linear law .30, .23, .27, .62.

The sum of Huber losses is minimised by damped Gauss-Newton steps from several α. A weak pull of all t_j towards their
middle (`RIDGE`) keeps a source that no run shows alone from running away. Cost: about as the log-linear law.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusmill.mixtures.laws.mixing import HUBER_DELTA, MAX_STEPS, Floats, Law, used_runs

START_EXPONENTS = (0.3, 1.0, 3.0)
START_SHARES = (0.5, 0.95)
"""Starting values of α, and of c as a share of the lowest loss."""

RIDGE = 5e-4
"""Weight of the squared distance of each t_j from the log of the median reducible loss at the start."""

EXPONENT_RIDGE = 1e-4
"""Weight of (log α)²: with losses that any α fits, α is near 1."""

LIMITS = {"c": (-50.0, 30.0), "α": (np.log(0.02), np.log(50.0)), "t": (-50.0, 30.0)}
"""Of log c, log α and t."""

SMALLEST_GAIN = 1e-7


@dataclass(frozen=True)
class EffectiveData:
    """L(x) = c + (Σ_j exp(-t_j / α) x_j)^-α."""

    c: float
    exponent: float  # α
    t_M: Floats

    name = "power"

    def predict(self, ratios_NM: Floats) -> Floats:
        reducible_N, _ = _reducible(ratios_NM, self.exponent, self.t_M)
        return self.c + reducible_N

    def gradient(self, ratios_M: Floats) -> Floats:
        reducible_N, log_data_N = _reducible(ratios_M[None], self.exponent, self.t_M)
        slope_M: Floats = -self.exponent * reducible_N[0] * np.exp(-self.t_M / self.exponent - log_data_N[0])
        return slope_M

    def parameters(self, sources: Sequence[str]) -> dict[str, Any]:
        return {"c": self.c, "exponent": self.exponent, "t": dict(zip(sources, self.t_M.tolist(), strict=True))}


def fit_effective_data(
    ratios_NM: Floats, losses_N: Floats, weights_N: Floats | None = None, near: Law | None = None
) -> EffectiveData:
    """The power law of least weighted Huber loss. `near`, a law fitted to almost the same runs, is the only start."""
    ratios_NM, losses_N, weights_N = used_runs(ratios_NM, losses_N, weights_N)
    if isinstance(near, EffectiveData):
        starts = [np.concatenate([[np.log(near.c), np.log(near.exponent)], near.t_M])]
    else:
        starts = [
            _start(ratios_NM, losses_N, share, exponent) for exponent in START_EXPONENTS for share in START_SHARES
        ]
    middle = float(np.log(np.median(losses_N) - START_SHARES[0] * losses_N.min()))
    problem = _Problem(ratios_NM, losses_N, weights_N, middle)
    _, best = min((problem.minimize(start) for start in starts), key=lambda found: found[0])
    return EffectiveData(c=float(np.exp(best[0])), exponent=float(np.exp(best[1])), t_M=best[2:])


def _reducible(ratios_NM: Floats, exponent: float, t_M: Floats) -> tuple[Floats, Floats]:
    """(Σ_j b_j x_j)^-α [N] and log Σ_j b_j x_j [N]; sums of logs, so that no b_j overflows."""
    log_b_M = -t_M / exponent
    largest = log_b_M.max()
    log_data_N = largest + np.log(np.maximum(ratios_NM @ np.exp(log_b_M - largest), 1e-300))
    reducible_N: Floats = np.exp(np.clip(-exponent * log_data_N, -690.0, 30.0))
    return reducible_N, log_data_N


def _start(ratios_NM: Floats, losses_N: Floats, share: float, exponent: float) -> Floats:
    """[log c, log α, t] with b the least-squares answer of (L - c)^(-1/α) = b·x, made positive."""
    c = share * float(losses_N.min())
    data_N = (losses_N - c) ** (-1 / exponent)
    b_M, *_ = np.linalg.lstsq(ratios_NM, data_N, rcond=1e-10)
    t_M = -exponent * np.log(np.clip(b_M, 1e-3 * data_N.max(), None))
    return np.concatenate([[np.log(c), np.log(exponent)], t_M])


@dataclass(frozen=True)
class _Problem:
    """The weighted sum of Huber losses and the ridges, as a function of the point [log c, log α, t]."""

    ratios_NM: Floats
    losses_N: Floats
    weights_N: Floats
    middle: float

    def minimize(self, point: Floats) -> tuple[float, Floats]:
        """The least value found from `point` and where it is: Gauss-Newton steps, damped until each one gains."""
        (c_low, c_high), (low, high), (t_low, t_high) = LIMITS.values()
        lowest = np.array([c_low, low] + [t_low] * (len(point) - 2))
        highest = np.array([min(c_high, float(np.log(self.losses_N.max()))), high] + [t_high] * (len(point) - 2))
        point, damping = np.clip(point, lowest, highest), 1e-3
        value, gradient, curvature = self.at(point)
        for _ in range(MAX_STEPS):
            scale = np.maximum(np.diag(curvature), 1e-8)
            tried = np.clip(point - np.linalg.solve(curvature + np.diag(damping * scale), gradient), lowest, highest)
            found = self.at(tried)
            if found[0] < value:
                gain, point = value - found[0], tried
                value, gradient, curvature = found
                damping = max(damping / 5, 1e-10)
                if gain <= SMALLEST_GAIN * value:
                    break
            else:
                damping *= 4
                if damping > 1e10:
                    break
        return value, point

    def at(self, point: Floats) -> tuple[float, Floats, Floats]:
        """Value, gradient [2 + M] and Gauss-Newton curvature [2 + M, 2 + M]; a large residual counts by its slope."""
        c, exponent, t_M = float(np.exp(point[0])), float(np.exp(point[1])), point[2:]
        reducible_N, log_data_N = _reducible(self.ratios_NM, exponent, t_M)
        residual_N = c + reducible_N - self.losses_N
        size_N = np.abs(residual_N)
        huber_N = np.where(size_N <= HUBER_DELTA, 0.5 * size_N**2, HUBER_DELTA * (size_N - 0.5 * HUBER_DELTA))
        far_M = t_M - self.middle
        value = float(self.weights_N @ huber_N) + RIDGE * float(far_M @ far_M) + EXPONENT_RIDGE * point[1] ** 2

        share_NM = self.ratios_NM * np.exp(-t_M / exponent - log_data_N[:, None])  # of the effective data; sums to 1
        by_exponent_N = -reducible_N * (exponent * log_data_N + share_NM @ t_M)
        jacobian = np.column_stack([np.full(len(residual_N), c), by_exponent_N, share_NM * reducible_N[:, None]])
        pull_N = self.weights_N * np.minimum(1.0, HUBER_DELTA / np.maximum(size_N, 1e-12))
        gradient: Floats = jacobian.T @ (pull_N * residual_N)
        gradient[1] += 2 * EXPONENT_RIDGE * point[1]
        gradient[2:] += 2 * RIDGE * far_M
        curvature: Floats = (jacobian.T * pull_N) @ jacobian
        curvature[np.arange(1, len(point)), np.arange(1, len(point))] += 2 * RIDGE
        curvature[1, 1] += 2 * (EXPONENT_RIDGE - RIDGE)
        return value, gradient, curvature
