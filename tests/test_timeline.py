"""Phases written out as stretches: steps, replay, orders, warm-up and budgets, by hand in exact fractions."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.mixtures.curriculum import Curriculum
from corpusmill.mixtures.mixture import Mixture, Phase, SequenceWarmup
from corpusmill.mixtures.timeline import Stretch, blend, mean_ratios, timeline, with_budgets
from corpusmill.mixtures.weights import Ratios, ratios_for
from corpusmill.pipeline.errors import RequestError

SIZES = {"a": 100, "b": 100, "c": 200}
HALF = Fraction(1, 2)


def written_out(*phases: Phase, **values: Any) -> list[Stretch]:
    mixture = Mixture(tokens=1000, sequence_length=16, phases=phases, **values)
    return timeline(mixture, lambda weights: ratios_for(weights, SIZES, 1000, {}))


def test_steps_between_two_mixtures() -> None:
    made = written_out(
        Phase(name="main", share=3, weights={"a": 1}),
        Phase(name="turn", share=1, weights={"a": 1}, to={"b": 1}, steps=3, learning_rate=1, learning_rate_to=0.1),
    )
    assert [stretch.name for stretch in made] == ["main", "turn-1", "turn-2", "turn-3"]
    assert [stretch.share for stretch in made] == [Fraction(3, 4), *[Fraction(1, 12)] * 3]
    assert [stretch.start for stretch in made[1:]] == [{"a": 1}, {"a": HALF, "b": HALF}, {"b": 1}]
    assert all(stretch.start == stretch.end for stretch in made)
    assert made[1].learning_rate == pytest.approx((1, 0.7))
    assert made[3].learning_rate == pytest.approx((0.4, 0.1))


def test_replay_draws_on_the_phases_before() -> None:
    made = written_out(
        Phase(name="one", share=1, weights={"a": 1}),
        Phase(name="two", share=3, weights={"b": 1}),
        Phase(name="end", share=1, weights={"c": 1}, to={"a": 1}, replay=0.2),
    )
    # The mean before the end is a quarter a, three quarters b.
    assert made[2].start == {"c": Fraction(8, 10), "a": Fraction(5, 100), "b": Fraction(15, 100)}
    assert made[2].end == {"a": Fraction(85, 100), "b": Fraction(15, 100)}


def test_an_order_inside_one_phase() -> None:
    order = Curriculum(order=("a", "b"), pacing="sequential", steps=2)
    made = written_out(
        Phase(name="main", share=1, weights={"a": 1, "b": 1, "c": 2}, curriculum=order),
        Phase(name="end", share=1, weights={"c": 1}),
    )
    assert [(stretch.name, stretch.share, stretch.start) for stretch in made] == [
        ("main-1", Fraction(1, 4), {"a": HALF, "c": HALF}),
        ("main-2", Fraction(1, 4), {"b": HALF, "c": HALF}),
        ("end", HALF, {"c": 1}),
    ]


def test_sequences_grow_over_the_phases() -> None:
    made = written_out(
        Phase(name="one", share=1, weights={"a": 1}, to={"b": 1}),
        Phase(name="two", share=3, weights={"b": 1}, sequence_length=8),
        sequence_warmup=SequenceWarmup(start=2, share=0.6),
    )
    # Lengths 2, 4, 8 over three fifths: a fifth each; the first phase ends at a quarter.
    assert [(stretch.name, stretch.share, stretch.sequence_length) for stretch in made] == [
        ("one@2", Fraction(1, 5), 2),
        ("one@4", Fraction(1, 20), 4),
        ("two@4", Fraction(3, 20), 4),
        ("two@8", Fraction(1, 5), 8),
        ("two", Fraction(2, 5), 8),
    ]
    assert made[0].end == made[1].start == {"a": Fraction(1, 5), "b": Fraction(4, 5)}


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 1, "to": {"b": 1}},
        {"steps": 3},
        {"replay": 1.5},
        {"learning_rate_to": 0.5},
        {"curriculum": Curriculum(order=("a", "b")), "to": {"b": 1}},
    ],
)
def test_settings_of_a_phase_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"steps of phase x|replay 1.5 of phase x|needs a learning_rate|leave one out"):
        Phase(name="x", share=1, weights="natural", **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phases": (Phase(name="x", share=1, weights="natural", replay=0.1),)}, "nothing to replay"),
        ({"sequence_warmup": SequenceWarmup(start=3)}, "3 does not double to 16"),
        ({"sequence_warmup": SequenceWarmup(start=16)}, "16 does not double to 16"),
        ({"sequence_warmup": SequenceWarmup(start=4), "packing": "best-fit"}, "shorter sequences would cut"),
        ({"budgets": {"a": -1}}, "is no number of tokens"),
    ],
)
def test_settings_of_a_mixture_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(tokens=1000, sequence_length=16, **values)


def test_budgets_by_hand() -> None:
    stretches = written_out(
        Phase(name="one", share=1, weights={"a": 1, "b": 3}), Phase(name="two", share=1, weights={"a": 1})
    )
    # b wants 3/8 of all, all of it in the first phase: with 1/4 it gets half of that phase. c comes evenly.
    first, second = with_budgets(stretches, {"b": Fraction(1, 4), "c": Fraction(1, 10)})
    assert first.start == {"a": Fraction(4, 10), "b": HALF, "c": Fraction(1, 10)}
    assert second.start == {"a": Fraction(9, 10), "c": Fraction(1, 10)}
    with pytest.raises(RequestError, match=r"in phase one they come to 1\.2 of its tokens"):
        with_budgets(stretches, {"b": Fraction(6, 10)})
    with pytest.raises(RequestError, match=r"in phase two they leave 0\.2"):
        with_budgets(stretches, {"a": Fraction(1, 2)})


ratios = st.dictionaries(st.sampled_from("abc"), st.integers(1, 50), min_size=1).map(
    lambda parts: {name: Fraction(part, sum(parts.values())) for name, part in parts.items()}
)


@given(st.lists(st.tuples(st.integers(1, 9), ratios, ratios), min_size=1, max_size=5), st.fractions(0, 1), st.data())
def test_budgets_are_met_and_the_others_keep_their_proportions(
    parts: list[tuple[int, Ratios, Ratios]], budget: Fraction, data: st.DataObject
) -> None:
    total = sum(share for share, _, _ in parts)
    stretches = [
        Stretch(str(i), Fraction(share, total), start, end, 16, None) for i, (share, start, end) in enumerate(parts)
    ]
    name = data.draw(st.sampled_from("abcd"))
    try:
        made = with_budgets(stretches, {name: budget})
    except RequestError:
        return
    assert mean_ratios(made).get(name, Fraction(0)) == budget
    for before, after in zip(stretches, made, strict=True):
        for old, new in ((before.start, after.start), (before.end, after.end)):
            assert sum(new.values()) == 1
            others = {each: new.get(each, Fraction(0)) / ratio for each, ratio in old.items() if each != name}
            assert len(set(others.values())) <= 1


@given(ratios, ratios, st.fractions(0, 1))
def test_blends_sum_to_one(first: Ratios, second: Ratios, share: Fraction) -> None:
    assert sum(blend(first, second, share).values()) == 1
    assert blend(first, second, Fraction(1)) == second
