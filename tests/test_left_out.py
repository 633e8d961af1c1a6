import numpy as np
import pytest
from scipy.stats import spearmanr

from corpusmill.mixtures.laws.left_out import left_out, rank_correlation, root_mean_square
from corpusmill.mixtures.laws.mixing import Floats, LogLinear, fit_linear, fit_log_linear
from corpusmill.pipeline.errors import RequestError


def swarm(num_mixtures: int, noise: float, seed: int = 0) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    x = np.vstack([np.eye(3), generator.dirichlet(np.ones(3), size=num_mixtures - 3)])
    return x, LogLinear(0.8, np.array([-0.9, 0.5, 0.1])).predict(x) + generator.normal(0, noise, num_mixtures)


@pytest.mark.parametrize("law", ["linear", "log-linear"])
def test_equals_fitting_without_the_run_from_scratch(law: str) -> None:
    x, losses = swarm(16, 0.02)
    fitter = fit_linear if law == "linear" else fit_log_linear
    found = left_out(x, losses, np.arange(16), law)
    for n in range(16):
        others = np.arange(16) != n
        expected = fitter(x[others], losses[others]).predict(x[n : n + 1])[0]
        assert found.predicted_N[n] == pytest.approx(expected, abs=2e-4)
    np.testing.assert_allclose(found.law.predict(x), fitter(x, losses).predict(x))


def test_linear_equals_the_closed_form() -> None:
    x, losses = swarm(12, 0.05)
    hat = x @ np.linalg.pinv(x)
    expected = losses - (losses - hat @ losses) / (1 - np.diag(hat))  # Allen's PRESS
    np.testing.assert_allclose(left_out(x, losses, np.arange(12), "linear").predicted_N, expected, atol=1e-9)


def test_a_repeat_does_not_give_the_answer_away() -> None:
    x, losses = swarm(12, 0.0)
    x, losses = np.vstack([x, x[5]]), np.append(losses, losses[5])
    losses[[5, 12]] += 0.5  # both seeds of one mixture are far from the law
    together = left_out(x, losses, np.append(np.arange(12), 5), "linear").predicted_N
    apart = left_out(x, losses, np.arange(13), "linear").predicted_N
    assert abs(together[5] - losses[5]) > 0.4 > abs(apart[5] - losses[5])
    assert together[5] == pytest.approx(together[12])


def test_auto_takes_the_law_that_made_the_losses() -> None:
    x, losses = swarm(24, 0.005)
    assert left_out(x, losses, np.arange(24)).law.name == "log-linear"
    straight = x @ [1.0, 2.0, 1.5] + np.random.default_rng(1).normal(0, 0.05, 24)
    found = left_out(x, straight, np.arange(24))
    error = root_mean_square(found.predicted_N - straight)
    assert error < 1.5 * root_mean_square(left_out(x, straight, np.arange(24), "linear").predicted_N - straight)


def test_noise_alone_has_no_rank_correlation() -> None:
    x = np.random.default_rng(0).dirichlet(np.ones(3), size=60)
    losses = np.random.default_rng(1).normal(1.5, 0.1, 60)
    correlation = rank_correlation(left_out(x, losses, np.arange(60)).predicted_N, losses)
    assert correlation is not None
    assert correlation < 0.3


def test_many_mixtures_are_left_out_in_groups() -> None:
    x, losses = swarm(150, 0.01)
    assert root_mean_square(left_out(x, losses, np.arange(150), "log-linear").predicted_N - losses) < 0.02


@pytest.mark.parametrize(
    ("law", "num_mixtures", "message"), [("cubic", 5, "'cubic' is none"), ("auto", 2, "2 different")]
)
def test_impossible_fits_are_refused(law: str, num_mixtures: int, message: str) -> None:
    x = np.random.default_rng(0).dirichlet(np.ones(2), size=num_mixtures)
    with pytest.raises(RequestError, match=message):
        left_out(x, np.ones(num_mixtures), np.arange(num_mixtures), law)


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_is_spearmans(seed: int) -> None:
    first, second = np.random.default_rng(seed).integers(0, 6, size=(2, 30)).astype(np.float64)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_rank_correlation_of_a_constant_is_none() -> None:
    assert rank_correlation(np.ones(4), np.arange(4.0)) is None
