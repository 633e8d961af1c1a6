import csv
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.stats import spearmanr

from corpusmill.mixtures.laws import mixing
from corpusmill.mixtures.laws.fitters import FITTERS
from corpusmill.mixtures.laws.mixing import Floats, Linear, LogLinear, fit_linear, fit_log_linear
from corpusmill.pipeline.errors import CorpusmillError

DATA = os.environ.get("CORPUSMILL_DATA")
REGMIX = Path(DATA or ".").parent / "tables" / "sail-sg-regmix"
needs_tables = pytest.mark.skipif(not (DATA and REGMIX.is_dir()), reason="CORPUSMILL_DATA has no tables beside it")


def mixtures_of(num_runs: int, num_sources: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(num_sources), size=num_runs)


def read(name: str, column: str = "") -> Floats:
    """A published table as numbers, its columns that hold `column`."""
    with (REGMIX / name).open() as file:
        head, *rows = csv.reader(file)
    keep = [i for i, title in enumerate(head) if title != "index" and column in title]
    return np.array([[float(row[i]) for i in keep] for row in rows])


def ratios(name: str) -> Floats:
    table = read(name)
    shares: Floats = table / table.sum(axis=1, keepdims=True)
    return shares


def nth_slope(problem: mixing._HuberSum, n: int, point: Floats) -> float:
    return float(problem.derivatives(point)[0][n])


def test_log_linear_finds_the_law_that_made_the_losses() -> None:
    x = np.vstack([np.eye(4), mixtures_of(26, 4)])
    law = LogLinear(c=0.9, t_M=np.array([-1.0, 0.4, 0.1, -0.3]))
    found = fit_log_linear(x, law.predict(x))
    assert found.c == pytest.approx(0.9, abs=1e-3)
    np.testing.assert_allclose(found.t_M, law.t_M, atol=2e-3)


def test_linear_finds_the_law_that_made_the_losses() -> None:
    x = mixtures_of(12, 3)
    np.testing.assert_allclose(fit_linear(x, x @ [1.0, 2.0, 3.0]).w_M, [1.0, 2.0, 3.0], atol=1e-12)


def test_values_by_hand() -> None:
    law = LogLinear(c=1.0, t_M=np.array([0.0, np.log(3.0)]))
    np.testing.assert_allclose(law.predict(np.eye(2)), [2.0, 4.0])
    np.testing.assert_allclose(law.gradient(np.array([0.0, 1.0])), [0.0, 3 * np.log(3.0)])
    assert law.parameters(["a", "b"]) == {"c": 1.0, "t": {"a": 0.0, "b": pytest.approx(1.0986123)}}
    line = Linear(w_M=np.array([1.0, 3.0]))
    np.testing.assert_allclose(line.predict(np.array([[0.5, 0.5]])), [2.0])
    np.testing.assert_allclose(line.gradient(np.array([0.5, 0.5])), [1.0, 3.0])
    assert line.parameters(["a", "b"]) == {"w": {"a": 1.0, "b": 3.0}}


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_derivatives_are_the_slopes(ridge: float) -> None:
    x, losses, weights = mixtures_of(9, 3), np.linspace(1.0, 3.0, 9), np.linspace(0.5, 2.0, 9)
    problem = mixing._HuberSum(x, losses, weights, ridge)
    point = np.array([-0.2, 0.3, -0.5, 0.1])
    plain = 0.0
    for row, loss, weight in zip(x, losses, weights, strict=True):
        residual = abs(np.exp(point[0]) + np.exp(row @ point[1:]) - loss)
        plain += weight * (0.5 * residual**2 if residual <= 0.02 else 0.02 * (residual - 0.01))
    assert problem.value(point) == pytest.approx(plain + ridge * (point[1:] ** 2).sum())
    gradient, hessian, scale = problem.derivatives(point)
    np.testing.assert_allclose(gradient, approx_fprime(point, problem.value, 1e-7), atol=1e-5)
    for i in range(4):
        slope = approx_fprime(point, partial(nth_slope, problem, i), 1e-7)
        np.testing.assert_allclose(hessian[i], slope, atol=1e-5)
    assert (scale > 0).all()


@pytest.mark.parametrize("name", sorted(FITTERS))
def test_a_run_of_weight_0_has_no_influence(name: str) -> None:
    x = mixtures_of(20, 3)
    losses = 1 + np.exp(x @ [0.1, -0.4, 0.3])
    weights = np.ones(20)
    weights[3] = 0
    spoiled = losses.copy()
    spoiled[3] = 50.0
    keep = weights > 0
    first = FITTERS[name](x, spoiled, weights, None).predict(x)
    np.testing.assert_array_equal(first, FITTERS[name](x[keep], losses[keep], None, None).predict(x))


def test_one_diverged_run_does_not_bend_the_law() -> None:
    x = mixtures_of(40, 3)
    losses = 1 + np.exp(x @ [0.1, -0.4, 0.3])
    spoiled = losses.copy()
    spoiled[7] += 3.0
    near = np.abs(fit_log_linear(x, spoiled).predict(x) - losses).max()
    assert near < 0.02 < np.abs(fit_linear(x, spoiled).predict(x) - losses).max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_a_loss_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(CorpusmillError, match="positive number"):
        fit_log_linear(mixtures_of(4, 2), np.array([1.0, 2.0, bad, 1.0]))


def test_no_runs_are_refused() -> None:
    with pytest.raises(CorpusmillError, match="0 runs"):
        fit_linear(np.zeros((0, 2)), np.zeros(0))


@needs_tables
def test_two_starts_are_as_good_as_another_solver_from_random_ones() -> None:
    x, losses = ratios("train_mixture_1m.csv")[:128], read("train_pile_loss_1m.csv", "pile_cc")[:128, 0]

    problem = mixing._HuberSum(x, losses, np.ones(128), 0.0)

    def objective(point: Floats) -> tuple[float, Floats]:
        return problem.value(point), problem.derivatives(point)[0]

    generator = np.random.default_rng(0)
    best = min(
        minimize(
            objective,
            np.concatenate([[generator.uniform(-2, 1.5)], generator.normal(0, 0.3, 17)]),
            jac=True,
            method="BFGS",
            options={"maxiter": 500},
        ).fun
        for _ in range(5)
    )
    law = fit_log_linear(x, losses)
    assert problem.value(np.concatenate([[np.log(law.c)], law.t_M])) <= best * 1.0001


@needs_tables
@pytest.mark.parametrize(
    ("law", "num_runs", "size", "published"),
    [  # refits of the published tables, rank correlation of pile_cc on the 256 test runs
        ("linear", 512, "1m", 0.902),
        ("linear", 512, "60m", 0.893),
        ("log-linear", 512, "1m", 0.963),
        ("log-linear", 512, "60m", 0.958),
        ("log-linear", 256, "1m", 0.957),
        ("log-linear", 128, "1m", 0.954),
    ],
)
def test_regmix_ranks(law: str, num_runs: int, size: str, published: float) -> None:
    x, losses = ratios("train_mixture_1m.csv"), read("train_pile_loss_1m.csv", "pile_cc")[:, 0]
    fit = FITTERS[law](x[:num_runs], losses[:num_runs], None, None)
    truth = read(f"test_pile_loss_{size}.csv", "pile_cc")[:, 0]
    found = spearmanr(fit.predict(ratios(f"test_mixture_{size}.csv")), truth).statistic
    assert found >= published - 0.001


@needs_tables
def test_regmix_linear_error() -> None:
    x, losses = ratios("train_mixture_1m.csv"), read("train_pile_loss_1m.csv", "pile_cc")[:, 0]
    errors = (
        fit_linear(x, losses).predict(ratios("test_mixture_1m.csv")) - read("test_pile_loss_1m.csv", "pile_cc")[:, 0]
    )
    assert np.mean(errors**2) == pytest.approx(0.023, abs=0.001)


@needs_tables
def test_regmix_choice_among_unseen_mixtures() -> None:
    """From 64 runs, the mixture that the law calls best of 256 unseen ones is within .005 of the best (trees: .041)."""
    x, losses = ratios("train_mixture_1m.csv"), read("train_pile_loss_1m.csv", "pile_cc")[:, 0]
    new, truth = ratios("test_mixture_1m.csv"), read("test_pile_loss_1m.csv", "pile_cc")[:, 0]
    for seed in range(5):
        drawn = np.random.default_rng(seed).permutation(512)[:64]
        best = fit_log_linear(x[drawn], losses[drawn]).predict(new).argmin()
        assert truth[best] - truth.min() < 0.005


@needs_tables
def test_regmix_ranks_over_all_domains() -> None:
    """The same 256 mixtures rank alike at 1M and 60M (mean over domains .9937), and the law ranks them nearly so."""
    small, large = read("test_pile_loss_1m.csv"), read("test_pile_loss_60m.csv")
    alike = [spearmanr(a, b).statistic for a, b in zip(small.T, large.T, strict=True)]
    assert np.mean(alike) == pytest.approx(0.9937, abs=5e-4)
    x, new = ratios("train_mixture_1m.csv"), ratios("test_mixture_1m.csv")
    losses = read("train_pile_loss_1m.csv")
    fits = [fit_log_linear(x, losses_N).predict(new) for losses_N in losses.T]
    found = [spearmanr(fit, loss).statistic for fit, loss in zip(fits, small.T, strict=True)]
    assert np.mean(found) > 0.96
