"""Rules from weights to ratios, against published and hand-made numbers; water-filling under caps."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.mixtures.weights import (
    GRID,
    explicit,
    normalized,
    on_grid,
    ratios_for,
    temperature,
    unimax,
    water_fill,
)
from corpusmill.pipeline.errors import RequestError

SIZES = {"web": 800, "books": 100, "code/q0": 75, "code/q1": 25}


def test_unimax_published_vector() -> None:
    # The example of the package unimax_sampling 0.1: Swedish, Faroese, Estonian, Icelandic … characters, N = 4.
    sizes = {"swe": 179955884499, "fas": 184595788282, "ekk": 42541080893, "isl": 10027573389, "fao": 549707867}
    budget = 250_000_000_000
    taken = unimax({name: Fraction(4 * size) for name, size in sizes.items()}, budget)
    assert taken["fao"] == 2198831468
    assert taken["isl"] == 40110293556
    for name in ("swe", "fas", "ekk"):
        assert float(taken[name]) == pytest.approx(69230291658.667, abs=1e-3)
    ratios = normalized(taken)
    assert float(ratios["fao"]) == pytest.approx(0.008795325872, abs=1e-12)
    assert float(ratios["isl"]) == pytest.approx(0.160441174224, abs=1e-12)
    assert float(ratios["ekk"]) == pytest.approx(0.276921166635, abs=1e-12)


def test_unimax_takes_everything_where_the_budget_is_larger() -> None:
    assert unimax({"a": Fraction(10), "b": Fraction(30)}, 1000) == {"a": 10, "b": 30}


def test_natural_and_explicit() -> None:
    assert ratios_for("natural", SIZES, 1, {}) == {name: Fraction(size, 1000) for name, size in SIZES.items()}
    ratios = explicit({"web": 0.1, "code": 0.3, "books": 0}, SIZES)
    assert ratios == {"web": Fraction(1, 4), "code/q0": Fraction(9, 16), "code/q1": Fraction(3, 16)}


@pytest.mark.parametrize(
    ("tau", "web"),
    [(0, Fraction(1, 2)), (1, Fraction(8, 9)), (0.5, Fraction(8 - 8**0.5) / 7)],
)
def test_temperature(tau: float, web: Fraction) -> None:
    ratios = temperature({"web": 800, "books": 100, "empty": 0}, tau)
    assert sum(ratios.values()) == 1
    assert float(ratios["web"]) == pytest.approx(float(web), rel=1e-10)
    assert "empty" not in ratios


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"web": -1}, "no weight"),
        ({"web": float("nan")}, "no weight"),
        ({"webb": 1}, "There are: books, code/q0, code/q1, web"),
        ({"web": 0}, "all are 0"),
        ("naturel", "'naturel' is no rule"),
        ({"temperature": 1.5}, "outside 0"),
    ],
)
def test_bad_weights(weights: dict[str, float] | str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ratios_for(weights, SIZES, 1000, {})


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10**30), min_size=1))
def test_ratios_on_the_grid_sum_to_one_and_stay_where_they_were(parts: dict[str, int]) -> None:
    ratios = normalized({name: Fraction(part) for name, part in parts.items()})
    found = on_grid(ratios)
    assert sum(found.values()) == 1
    assert all(abs(found.get(name, 0) - ratio) < Fraction(len(parts), GRID) for name, ratio in ratios.items())


def test_water_fill_by_hand() -> None:
    half = {"a": Fraction(1, 2), "b": Fraction(3, 10), "c": Fraction(1, 5)}
    (filled,), unfilled = water_fill([half], [Fraction(100)], {"a": 20, "b": 50})
    # a is held at 20; 80 are shared 3 : 2 = 48 and 32.
    assert filled == {"a": 20, "b": 48, "c": 32}
    assert unfilled == []
    (filled,), unfilled = water_fill([half], [Fraction(100)], {"a": 20, "b": 45})
    assert filled == {"a": 20, "b": 45, "c": 35}
    assert water_fill([half], [Fraction(100)], {"a": 20, "b": 45, "c": 34})[1] == [0]


def test_water_fill_keeps_the_proportions_between_phases() -> None:
    main = {"web": Fraction(9, 10), "books": Fraction(1, 10)}
    anneal = {"web": Fraction(1, 2), "books": Fraction(1, 2)}
    filled, unfilled = water_fill([main, anneal], [Fraction(900), Fraction(100)], {"books": 70})
    # Books want 90 + 50; 70 is half of it: 45 + 25.
    assert filled == [{"web": 855, "books": 45}, {"web": 75, "books": 25}]
    assert unfilled == []


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 1000)), min_size=1, max_size=8),
    st.integers(1, 4000),
)
def test_water_fill_fills_exactly_when_it_can(parts: list[tuple[int, int]], rows: int) -> None:
    ratios = normalized({str(i): Fraction(weight) for i, (weight, _) in enumerate(parts)})
    caps = {str(i): cap for i, (_, cap) in enumerate(parts)}
    (filled,), unfilled = water_fill([ratios], [Fraction(rows)], caps)
    assert (not unfilled) == (sum(caps.values()) >= rows)
    if not unfilled:
        assert sum(filled.values()) == rows
        assert all(filled[name] <= caps[name] for name in filled)
        # Sources below their cap keep the proportions of their weights.
        free = [name for name in filled if filled[name] < caps[name]]
        assert len({filled[name] / ratios[name] for name in free}) <= 1
        # No capped source would have been given less than its cap.
        level = max((filled[name] / ratios[name] for name in free), default=None)
        assert level is None or all(caps[name] <= level * ratios[name] for name in filled if name not in free)
