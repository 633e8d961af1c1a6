from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, minimize

from corpusmill.mixtures.laws.mixing import Floats, Law, Linear, LogLinear
from corpusmill.mixtures.optimum import best_ratios, divergence


def objective(x: Floats, laws: list[Law], weights: Floats, prior: Floats, trust: float) -> float:
    loss = sum(w * law.predict(x[None])[0] for w, law in zip(weights, laws, strict=True))
    return float(loss + trust * (x * np.log(np.maximum(x, 1e-300) / prior)).sum())


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from([0.01, 0.05, 0.5]), st.booleans())
def test_equals_a_second_solver(seed: int, num_sources: int, trust: float, capped: bool) -> None:
    generator = np.random.default_rng(seed)
    laws: list[Law] = [LogLinear(0.9, generator.normal(0, 1, num_sources)) for _ in range(3)]
    laws.append(Linear(generator.uniform(1, 2, num_sources)))
    weights = generator.dirichlet(np.ones(4))
    prior = generator.dirichlet(np.ones(num_sources)) * 0.9 + 0.1 / num_sources
    limits = np.full(num_sources, 1.5 / num_sources) if capped else np.ones(num_sources)
    found = best_ratios(laws, weights, prior, limits, trust)
    assert found.sum() == pytest.approx(1)
    assert (found <= limits + 1e-9).all()
    solver: Any = minimize  # its stubs have no overload for bounds with constraints
    solved = solver(
        lambda x: objective(x, laws, weights, prior, trust),
        np.full(num_sources, 1 / num_sources),
        method="SLSQP",
        bounds=Bounds(np.full(len(limits), 1e-9), limits),
        constraints=LinearConstraint(np.ones((1, num_sources)), 1, 1),
        options={"maxiter": 500, "ftol": 1e-12},
    )
    best = objective(found, laws, weights, prior, trust)
    assert best <= objective(solved.x / solved.x.sum(), laws, weights, prior, trust) + 1e-6
    np.testing.assert_allclose(found, solved.x, atol=5e-3)


def test_by_hand() -> None:
    # min w·x + trust · KL(x ‖ p) has the answer x ~ p exp(-w / trust).
    prior, w = np.array([0.5, 0.3, 0.2]), np.array([1.0, 1.1, 1.3])
    expected = prior * np.exp(-w / 0.1)
    found = best_ratios([Linear(w)], np.ones(1), prior, np.ones(3), 0.1)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-6)


def test_without_trust_the_best_source_takes_all_it_may() -> None:
    law = Linear(np.array([1.0, 1.5, 2.0]))
    found = best_ratios([law], np.ones(1), np.full(3, 1 / 3), np.array([0.5, 0.3, 1.0]), 0.0)
    np.testing.assert_allclose(found, [0.5, 0.3, 0.2], atol=1e-6)


def test_much_trust_stays_at_the_prior_and_zero_stays_zero() -> None:
    prior = np.array([0.7, 0.3, 0.0])
    law = LogLinear(1.0, np.array([1.0, 0.0, -5.0]))
    np.testing.assert_allclose(best_ratios([law], np.ones(1), prior, np.ones(3), 1e6), prior, atol=1e-6)
    assert best_ratios([law], np.ones(1), prior, np.ones(3), 0.01)[2] == 0


@pytest.mark.parametrize(
    ("ratios", "prior", "expected"),
    [([0.5, 0.5], [0.5, 0.5], 0.0), ([1.0, 0.0], [0.5, 0.5], np.log(2)), ([0.5, 0.5], [1.0, 0.0], np.inf)],
)
def test_divergence(ratios: list[float], prior: list[float], expected: float) -> None:
    assert divergence(np.array(ratios), np.array(prior)) == pytest.approx(expected)
