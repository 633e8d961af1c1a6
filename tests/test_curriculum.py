"""Pacing functions by hand, and as plans: the totals stay those of the weights where every step is drawn once."""

from fractions import Fraction
from typing import Any

import pytest
from test_mixture import manifest

from corpusmill.mixtures.curriculum import Curriculum, ordered_sources, paced_ratios, windows
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan_curves import plan_curves
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.settings import build_settings

RATIOS = {"q0": Fraction(3, 10), "q1": Fraction(1, 10), "web": Fraction(6, 10)}


def test_windows_by_hand() -> None:
    def opened(pacing: Any, **values: Any) -> list[tuple[float, float]]:
        made = windows(Curriculum(order=("q0", "q1"), pacing=pacing, steps=2, open_at_start=0.2, **values))
        return [(round(float(low), 9), round(float(high), 9)) for low, high in made]

    assert opened("linear") == [(0, 0.4), (0, 0.8)]
    assert opened("quadratic") == [(0, 0.25), (0, 0.65)]
    assert opened("inverse-quadratic") == [(0, 0.55), (0, 0.95)]
    assert opened("sequential") == [(0, 0.5), (0.5, 1)]
    assert opened("interleaved", cycles=2) == [(0, 0.5), (0.5, 1)] * 2


def test_weights_by_hand() -> None:
    # q0 is the first 3/4 of the ordered data, q1 the rest; together they keep 0.4 of the tokens.
    steps = paced_ratios(Curriculum(order=("q0", "q1"), pacing="sequential", steps=2), RATIOS)
    assert steps == [
        {"q0": Fraction(4, 10), "web": Fraction(6, 10)},
        {"q0": Fraction(2, 10), "q1": Fraction(2, 10), "web": Fraction(6, 10)},
    ]
    replayed = paced_ratios(Curriculum(order=("q0", "q1"), pacing="sequential", steps=2, replay=0.5), RATIOS)
    assert replayed[0] == {"q0": Fraction(35, 100), "q1": Fraction(5, 100), "web": Fraction(6, 10)}


@pytest.mark.parametrize("pacing", ["sequential", "interleaved"])
def test_one_pass_draws_what_the_weights_say(pacing: Any) -> None:
    weights = {"web": 6, "code/q0": 3, "code/q1": 1}
    curriculum = Curriculum(order=("code/q0", "code/q1"), pacing=pacing, steps=7, cycles=3)
    mixture = Mixture(tokens=40_000, sequence_length=10, weights=weights, curriculum=curriculum)
    plan = make_plan(manifest(web=90_000, code__q0=30_000, code__q1=30_000), mixture)
    assert len(plan.phases) == (7 if pacing == "sequential" else 21)
    assert plan.rows_by_source() == pytest.approx({"web": 2400, "code/q0": 1200, "code/q1": 400}, abs=2)


def test_the_plot_shows_the_order() -> None:
    curriculum = Curriculum(order=("a", "b"), pacing="sequential", steps=10)
    mixture = Mixture(tokens=40_000, sequence_length=10, weights={"a": 1, "b": 1}, curriculum=curriculum)
    curves = plan_curves(make_plan(manifest(a=10_001, b=20_001), mixture), num_points=10)
    assert curves["sources"]["a"]["ratio"] == [1] * 5 + [0] * 5
    assert curves["sources"]["b"]["ratio"] == [0] * 5 + [1] * 5
    assert curves["sources"]["a"]["epochs"][-1] == 2
    assert curves["sources"]["b"]["epochs"][-1] == 1
    assert curves["tokens"][-1] == 40_000


def test_settings_from_a_recipe() -> None:
    values = {"tokens": 1000, "sequence_length": 8, "curriculum": {"order": ["a", "b"], "pacing": "quadratic"}}
    mixture, problems = build_settings(Mixture, values)
    assert problems == []
    assert mixture is not None
    assert mixture.curriculum == Curriculum(order=("a", "b"), pacing="quadratic")


@pytest.mark.parametrize(
    "values",
    [
        {"order": ()},
        {"order": ("a", "a")},
        {"order": ("a", "b"), "steps": 0},
        {"order": ("a", "b"), "replay": 1.5},
        {"order": ("a", "b"), "open_at_start": 0},
    ],
)
def test_settings_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"order needs|at least 1|shares of 1"):
        Curriculum(**values)


def test_buckets_are_ordered_by_number() -> None:
    names = ["web/b10", "web/b2", "web/none", "web/b0", "books"]
    assert ordered_sources(Curriculum(order=("web",)), names) == ["web/b0", "web/b2", "web/b10"]
    assert ordered_sources(Curriculum(order=("web", "books"), descending=True), names)[:2] == ["books", "web/b10"]
    with pytest.raises(RequestError, match="books is one source without buckets"):
        ordered_sources(Curriculum(order=("books",)), names)


def test_a_source_without_weight() -> None:
    with pytest.raises(RequestError, match="q9 has no weight"):
        paced_ratios(Curriculum(order=("q0", "q9")), RATIOS)
