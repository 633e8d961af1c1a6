import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.mixtures.designs import SwarmMixture, draws_around, swarm_design
from corpusmill.pipeline.errors import RequestError

SIZES = {"web": 1_000_000, "code": 600_000, "books": 30_000, "wiki": 8_000}


def points(design: list[SwarmMixture]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([list(mixture.ratios.values()) for mixture in design])


def test_what_every_design_has() -> None:
    by_name = {mixture.name: mixture for mixture in swarm_design(SIZES, 24, budget=200_000)}
    assert list(by_name)[:8] == [
        "natural-0", "natural-1", "only-web", "only-code", "only-books", "only-wiki", "unimax", "uniform",
    ]  # fmt: skip
    assert by_name["only-books"].ratios == {"web": 0, "code": 0, "books": 1, "wiki": 0}
    assert by_name["natural-0"].ratios == pytest.approx({name: n / 1_638_000 for name, n in SIZES.items()})
    assert by_name["natural-1"].ratios == by_name["natural-0"].ratios
    assert (by_name["natural-0"].seed, by_name["natural-1"].seed) == (0, 1)
    # UniMax by hand: 4 epochs of wiki are 32,000 of 200,000 tokens, the other three share the rest evenly.
    assert by_name["unimax"].ratios == pytest.approx({"web": 0.28, "code": 0.28, "books": 0.28, "wiki": 0.16})
    assert by_name["uniform"].ratios == dict.fromkeys(SIZES, 0.25)
    assert len(by_name) == 24


@pytest.mark.parametrize("draws", ["dirichlet", "sobol"])
def test_caps_are_kept(draws: str) -> None:
    design = swarm_design(SIZES, 40, budget=200_000, max_epochs={"wiki": 4, "books": 2}, draws=draws)  # type: ignore[arg-type]  # a parameter
    assert (points(design)[:, 3] <= 0.16 + 1e-9).all()
    assert (points(design)[:, 2] <= 0.30 + 1e-9).all()
    np.testing.assert_allclose(points(design).sum(axis=1), 1)
    corner = next(mixture for mixture in design if mixture.name == "only-wiki")
    assert corner.ratios["wiki"] == pytest.approx(0.16)  # as much as it may; the rest is natural
    assert corner.ratios["web"] / corner.ratios["code"] == pytest.approx(10 / 6)


def test_mixtures_that_caps_make_equal_are_trained_once() -> None:
    design = swarm_design(SIZES, 20, budget=200_000, max_epochs=dict.fromkeys(SIZES, 4))
    assert "uniform" not in [mixture.name for mixture in design]  # UniMax has the same ratios here
    keys = {(mixture.seed, *np.round(list(mixture.ratios.values()), 6)) for mixture in design}
    assert len(keys) == 20


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 10**12), min_size=2, max_size=9),
    st.integers(0, 2**32),
    st.integers(16, 40),
    st.sampled_from(["dirichlet", "sobol"]),
)
def test_properties(sizes: list[int], seed: int, num_mixtures: int, draws: str) -> None:
    named = {f"s{i}": n for i, n in enumerate(sizes)}

    def make(num: int) -> list[SwarmMixture]:
        return swarm_design(named, num, budget=10**9, seed=seed, draws=draws)  # type: ignore[arg-type]  # a parameter

    design = make(num_mixtures)
    assert len(design) == num_mixtures
    assert len({mixture.name for mixture in design}) == num_mixtures
    table = points(design)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert (table >= 0).all()
    assert design == make(num_mixtures)
    assert make(num_mixtures + 3)[:num_mixtures] == design  # a longer swarm continues a shorter one


def test_seeds_differ() -> None:
    assert swarm_design(SIZES, 12, budget=1, seed=1) != swarm_design(SIZES, 12, budget=1, seed=2)


def test_sobol_is_more_even_than_dirichlet() -> None:
    even = points(swarm_design(SIZES, 136, budget=1, draws="sobol"))[8:]
    np.testing.assert_allclose(even.mean(axis=0), 0.25, atol=0.02)  # uniform on the simplex: mean 1/4,
    np.testing.assert_allclose(even.var(axis=0), 3 / 80, atol=0.01)  # variance (1/4)(3/4)/5


@pytest.mark.parametrize(
    ("sizes", "num_mixtures", "message"),
    [
        (SIZES, 7, "less than the 8"),
        ({"web": 10, "code": 0}, 20, "source code has no tokens"),
        ({}, 20, "at least one source"),
        ({"web": 10}, 20, "only 2 different mixtures"),
    ],
)
def test_impossible_designs_are_refused(sizes: dict[str, int], num_mixtures: int, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        swarm_design(sizes, num_mixtures, budget=200_000)


def test_impossible_caps_are_refused() -> None:
    with pytest.raises(RequestError, match="the caps allow 30"):
        swarm_design({"a": 10, "b": 20}, 12, budget=31, max_epochs={"a": 1, "b": 1})


def test_later_rounds_close_in_on_the_center_under_the_caps() -> None:
    first = swarm_design(SIZES, 12, budget=200_000, max_epochs={"wiki": 4})
    center = dict(zip(SIZES, (0.4, 0.3, 0.2, 0.1), strict=False))
    limit = 4 * SIZES["wiki"] / 200_000
    distances, before = [], list(first)
    for number in (1, 2, 3, 4):
        made = draws_around(
            center, 30, before, round_number=number, num_tokens=SIZES, budget=200_000, max_epochs={"wiki": 4}
        )
        again = draws_around(
            center, 10, before, round_number=number, num_tokens=SIZES, budget=200_000, max_epochs={"wiki": 4}
        )
        assert made[:10] == again  # a longer round begins with a shorter one
        assert all(mixture.ratios["wiki"] <= limit + 1e-9 for mixture in made)
        assert len({mixture.name for mixture in [*before, *made]}) == len(before) + 30
        distances.append(np.mean([sum(abs(m.ratios[n] - center.get(n, 0)) for n in SIZES) for m in made]))
        before += made
    assert distances == sorted(distances, reverse=True)
    with pytest.raises(RequestError, match="--add 9"):
        draws_around({"a": 1.0}, 9, [SwarmMixture("only-a", {"a": 1.0})], round_number=1, num_tokens={"a": 5}, budget=5)
