from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, minimize

from corpusmill.mixtures.capped_simplex import ratio_limits, within_limits
from corpusmill.pipeline.errors import RequestError


@pytest.mark.parametrize(
    ("ratios", "limits", "expected"),
    [
        ([0.5, 0.5], [1.0, 1.0], [0.5, 0.5]),
        ([0.5, 0.5], [0.5, 0.5], [0.5, 0.5]),
        ([0.8, 0.2], [0.6, 1.0], [0.6, 0.4]),
        ([0.6, 0.3, 0.1], [0.4, 0.4, 1.0], [0.4, 0.4, 0.2]),  # the second passes its limit only after the first is held
        ([1.0, 0.0], [1.0, 1.0], [1.0, 0.0]),
        ([2.0, 2.0], [1.0, 0.25], [0.75, 0.25]),
        ([1.0], [1.0], [1.0]),
    ],
)
def test_by_hand(ratios: list[float], limits: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(within_limits(np.array(ratios), np.array(limits)), expected)


def test_impossible_is_refused() -> None:
    with pytest.raises(RequestError, match=r"may hold 0\.9000"):
        within_limits(np.array([0.5, 0.5, 0.0]), np.array([0.6, 0.3, 1.0]))


mixtures = st.integers(2, 8).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(1e-6, 1), min_size=n, max_size=n), st.lists(st.floats(0.01, 1), min_size=n, max_size=n)
    )
)


@given(mixtures)
def test_sums_to_one_under_limits_in_proportion(given_mixture: tuple[list[float], list[float]]) -> None:
    ratios, limits = (np.array(part) for part in given_mixture)
    limits = limits if limits.sum() >= 1 else np.minimum(limits / limits.sum() * 1.2, 1.0)
    if limits.sum() < 1:
        return
    filled = within_limits(ratios, limits)
    assert filled.sum() == pytest.approx(1)
    assert (filled <= limits + 1e-9).all()
    free = filled < limits - 1e-6
    if free.any():
        factors = filled[free] / ratios[free]
        np.testing.assert_allclose(factors, factors[0], rtol=1e-6)
        assert (filled[~free] / ratios[~free] <= factors[0] * (1 + 1e-4)).all()  # held sources wanted more, not less


def test_is_the_nearest_in_kl() -> None:
    ratios, limits = np.array([0.6, 0.3, 0.1]), np.array([0.35, 0.4, 1.0])
    solver: Any = minimize  # its stubs have no overload for bounds with constraints
    solved = solver(
        lambda x: float(x @ np.log(x / ratios)),
        np.array([0.3, 0.3, 0.4]),
        method="SLSQP",
        bounds=Bounds(np.full(len(limits), 1e-9), limits),
        constraints=LinearConstraint(np.ones((1, 3)), 1, 1),
    )
    np.testing.assert_allclose(within_limits(ratios, limits), solved.x, atol=1e-4)


def test_limits_from_epochs() -> None:
    sizes = {"web": 1000, "books": 100, "code": 50}
    np.testing.assert_allclose(ratio_limits(sizes, {"books": 2, "code": 0.5}, 500), [1.0, 0.4, 0.05])
    np.testing.assert_allclose(ratio_limits(sizes, {}, 10**9), [1.0, 1.0, 1.0])
    with pytest.raises(RequestError, match="the caps allow 1150"):
        ratio_limits(sizes, {"web": 1, "books": 1, "code": 1}, 1151)
    with pytest.raises(RequestError, match=r"max_epochs\.wiki"):
        ratio_limits(sizes, {"wiki": 1}, 10)
