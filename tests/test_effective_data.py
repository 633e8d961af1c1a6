"""The power law in effective data, against numbers by hand, slopes by differences, and another solver."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize

from corpusmill.mixtures.laws import effective_data
from corpusmill.mixtures.laws.effective_data import EffectiveData, fit_effective_data
from corpusmill.mixtures.laws.left_out import left_out, root_mean_square
from corpusmill.mixtures.laws.mixing import Floats, LogLinear

LAW = EffectiveData(c=0.9, exponent=0.4, t_M=np.array([-1.0, 0.6, 0.9, 1.4]))


def mixtures_of(num_runs: int, num_sources: int = 4, seed: int = 0) -> Floats:
    drawn = np.random.default_rng(seed).dirichlet(np.full(num_sources, 0.5), size=num_runs - num_sources)
    return np.vstack([np.eye(num_sources), drawn])


def plain(law: EffectiveData, ratios_M: Floats) -> float:
    """The formula as it is written."""
    worth = sum(np.exp(-t / law.exponent) * x for t, x in zip(law.t_M, ratios_M, strict=True))
    return float(law.c + worth**-law.exponent)


def test_values_are_the_formulas() -> None:
    x = mixtures_of(30)
    np.testing.assert_allclose(LAW.predict(x), [plain(LAW, row) for row in x])
    np.testing.assert_allclose(LAW.predict(np.eye(4)), 0.9 + np.exp(LAW.t_M))  # each source alone
    for row in x[4:]:
        slope = approx_fprime(row, partial(plain, LAW), 1e-8)
        np.testing.assert_allclose(LAW.gradient(row), slope, rtol=1e-4)
    assert LAW.parameters(list("abcd")) == {
        "c": 0.9,
        "exponent": 0.4,
        "t": {"a": -1.0, "b": 0.6, "c": 0.9, "d": 1.4},
    }


def test_a_large_exponent_is_the_log_linear_law() -> None:
    x, t_M = mixtures_of(20), np.array([-0.5, 0.3, 0.1, 0.2])
    found = EffectiveData(c=1.0, exponent=1e6, t_M=t_M).predict(x)
    np.testing.assert_allclose(found, LogLinear(c=1.0, t_M=t_M).predict(x), atol=1e-5)


@given(st.integers(0, 10_000), st.floats(0.05, 5), st.floats(0, 1))
def test_it_is_convex(seed: int, exponent: float, share: float) -> None:
    generator = np.random.default_rng(seed)
    law = EffectiveData(c=0.5, exponent=exponent, t_M=generator.normal(0, 2, 5))
    first, second = generator.dirichlet(np.ones(5), size=2)
    between = share * first + (1 - share) * second
    ends = law.predict(np.stack([first, second, between]))
    assert ends[2] <= share * ends[0] + (1 - share) * ends[1] + 1e-9


def test_the_law_that_made_the_losses_is_found() -> None:
    x = mixtures_of(60)
    found = fit_effective_data(x, LAW.predict(x))
    np.testing.assert_allclose(found.predict(mixtures_of(40, seed=1)), LAW.predict(mixtures_of(40, seed=1)), atol=0.01)
    assert found.exponent == pytest.approx(0.4, abs=0.05)


def test_derivatives_are_the_slopes() -> None:
    x = mixtures_of(12)
    problem = effective_data._Problem(x, LAW.predict(x) + 0.3 * np.sin(np.arange(12)), np.linspace(0.5, 2, 12), 0.2)
    point = np.array([-0.3, -0.5, -0.8, 0.5, 0.7, 1.2])
    _, gradient, curvature = problem.at(point)

    def value(at: Floats) -> float:
        return problem.at(at)[0]

    np.testing.assert_allclose(gradient, approx_fprime(point, value, 1e-7), atol=1e-4)
    assert (np.linalg.eigvalsh(curvature) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_another_solver_from_random_starts_finds_nothing_better(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = mixtures_of(24, seed=seed)
    losses = LAW.predict(x) + generator.normal(0, 0.03, 24)
    law = fit_effective_data(x, losses)
    middle = float(np.log(np.median(losses) - effective_data.START_SHARES[0] * losses.min()))
    problem = effective_data._Problem(x, losses, np.ones(24), middle)

    def objective(point: Floats) -> tuple[float, Floats]:
        value, gradient, _ = problem.at(point)
        return value, gradient

    found = []
    for _ in range(8):
        start = np.concatenate([generator.uniform(-1, 0, 1), generator.uniform(-2, 1, 1), generator.normal(0, 1, 4)])
        found.append(minimize(objective, start, jac=True, method="BFGS", options={"maxiter": 2000}).fun)
    mine = problem.at(np.concatenate([[np.log(law.c), np.log(law.exponent)], law.t_M]))[0]
    assert mine <= min(found) * 1.001


def test_a_source_that_no_run_shows_alone_does_not_run_away() -> None:
    """Without its corner, a source's t stays near the others, not at the end of its range."""
    x = mixtures_of(24)[3:]
    law = fit_effective_data(x[1:], LAW.predict(x[1:]))
    assert np.abs(law.predict(np.eye(4)) - LAW.predict(np.eye(4))).max() < 0.6


def test_auto_takes_it_where_a_share_near_zero_costs_much() -> None:
    x = mixtures_of(32)
    steep = EffectiveData(c=2.5, exponent=1.0, t_M=np.array([-2.0, 1.8, 2.0, 2.0]))
    losses = steep.predict(x) + np.random.default_rng(0).normal(0, 0.02, 32)
    found = left_out(x, losses, np.arange(32))
    assert found.law.name == "power"
    other = left_out(x, losses, np.arange(32), "log-linear")
    assert root_mean_square(found.predicted_N - losses) < 0.5 * root_mean_square(other.predicted_N - losses)
