"""From a recipe's mixture to a plan: whole rows by phase, caps over phases, errors that say the way out."""

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.mixtures.mixture import Mixture, Phase, SequenceWarmup, make_plan
from corpusmill.mixtures.plan import Plan, plan_table
from corpusmill.mixtures.sources import Shard, Source, Tokenizer, TokenManifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.settings import build_settings


def manifest(**num_tokens: int) -> TokenManifest:
    """Sources of these sizes; `code__q0` is bucket q0 of code."""
    sources = {}
    for key, count in num_tokens.items():
        source, _, bucket = key.partition("__")
        made = Source(source, bucket or "all", (Shard(f"tokens/{key}/00000", count, 1, count, "c0"),))
        sources[made.name] = made
    tokenizer = Tokenizer("f00d", "sentencepiece-bpe", 1000, 0, "tokenizer/model")
    return TokenManifest(RunFolder("run"), np.dtype("<u2"), tokenizer, sources, {})


DEFAULTS: dict[str, Any] = {"tokens": 10_000, "sequence_length": 10, "weights": {"web": 1}}


def test_table_of_a_plan_by_hand() -> None:
    # 1,000 rows of 10: 750 web and 250 books; books has 100 rows, so 2.5 epochs.
    mixture = Mixture(tokens=10_000, sequence_length=10, weights={"web": 3, "books": 1})
    table = plan_table(make_plan(manifest(web=20_001, books=1001), mixture))
    assert list(table[0]) == ["source", "bucket", "phase", "wanted", "realised", "tokens", "epochs"]
    assert [tuple(row.values()) for row in table] == [
        ("books", "all", "all", 0.25, 0.25, 2500, 2.5),
        ("web", "all", "all", 0.75, 0.75, 7500, 0.375),
    ]


def test_weights_in_documents() -> None:
    # As many documents of each: web has 10 tokens a document, books 40, so 1 : 4 in tokens.
    shards = manifest(web=20_000, books=20_000)
    for name, num_documents in (("web", 2000), ("books", 500)):
        source = shards.sources[name]
        shards.sources[name] = replace(source, shards=(source.shards[0]._replace(num_documents=num_documents),))
    mixture = Mixture(tokens=5000, sequence_length=10, weights={"web": 1, "books": 1}, weights_in="documents")
    assert make_plan(shards, mixture).rows_by_source() == {"books": 400, "web": 100}


def test_rules_pass_over_a_source_without_a_row() -> None:
    plan = make_plan(manifest(web=5000, tiny=10), Mixture(tokens=1000, sequence_length=10))
    assert plan.rows_by_source() == {"web": 100}


def test_caps_count_over_phases_and_others_take_the_place() -> None:
    mixture = Mixture(
        tokens=10_000,
        sequence_length=10,
        max_epochs={"books": 1.5},
        phases=(
            Phase(name="main", share=0.9, weights={"web": 9, "books": 1}),
            Phase(name="anneal", share=0.1, weights={"web": 1, "books": 9}),
        ),
    )
    plan = make_plan(manifest(web=20_001, books=1001), mixture)
    # Books want 90 + 90 rows of their 100; 150 are allowed: 75 + 75.
    assert [phase.segment.totals for phase in plan.phases] == [(75, 825), (75, 25)]
    assert plan.sources[0].max_rows == 150


def test_impossible_names_the_most_that_can_be_had() -> None:
    mixture = Mixture(tokens=10_000, sequence_length=10, weights={"web": 1, "books": 1}, max_epochs=4)
    with pytest.raises(RequestError, match="at most 6000 with these weights") as caught:
        make_plan(manifest(web=501, books=1001), mixture)
    assert "6000 tokens" in str(caught.value)
    best = Mixture(tokens=6000, sequence_length=10, weights={"web": 1, "books": 1}, max_epochs=4)
    assert make_plan(manifest(web=501, books=1001), best).rows_by_source() == {"web": 200, "books": 400}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokens": 9}, "less than one sequence"),
        ({"weights": {"tiny": 1}}, "tiny: the source has 10 tokens, less than one row"),
        ({"weights": {"wbe": 1}}, "no such source"),
        ({"max_epochs": {"wbe": 1}}, "max_epochs.wbe: no such source"),
        ({"max_epochs": -1}, "is no cap"),
        (
            {"phases": (Phase(name="a", share=1e-6, weights="natural"), Phase(name="b", share=1, weights={"web": 1}))},
            "is no row",
        ),
        ({"tokens": 10**14, "weights": {"web": 1}}, "split it into several"),
    ],
)
def test_requests_that_cannot_be_met(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make_plan(
            manifest(web=20_001, tiny=10),
            Mixture(**DEFAULTS | settings),
        )


@pytest.mark.parametrize(
    "values",
    [
        {"tokens": 0},
        {"sequence_length": 0},
        {"phases": (Phase(name="a", share=1, weights="natural"),) * 2},
        {"phases": (Phase(name="a", share=1, weights="natural", sequence_length=7),)},
    ],
)
def test_settings_are_checked_when_made(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|names of their own|does not divide"):
        Mixture(**DEFAULTS | values)
    with pytest.raises(ValueError, match="must be above 0"):
        Phase(name="a", share=0, weights="natural")


def test_settings_from_a_recipe() -> None:
    values: dict[str, Any] = {
        "tokens": "2B",
        "sequence_length": 2048,
        "weights": {"temperature": 0.5},
        "max_epochs": 4,
        "phases": [
            {"name": "main", "share": 0.9, "weights": "unimax"},
            {"name": "end", "share": 0.1, "weights": {"web": 1}},
        ],
    }
    mixture, problems = build_settings(Mixture, values)
    assert problems == []
    assert mixture is not None
    assert mixture.tokens == 2_000_000_000
    assert mixture.phases[1] == Phase(name="end", share=0.1, weights={"web": 1})


def test_buckets_share_a_source_by_their_tokens() -> None:
    plan = make_plan(
        manifest(code__q0=3001, code__q1=1001), Mixture(tokens=4000, sequence_length=10, weights={"code": 1})
    )
    rows = plan.rows_by_source()
    assert rows == {"code/q0": 300, "code/q1": 100}


weight_maps = st.dictionaries(
    st.sampled_from("abcde"), st.sampled_from([0.0, 1e-6, 0.001, 0.3, 1, 2.5, 7]), min_size=1
).filter(lambda weights: any(weights.values()))


@st.composite
def phases_of(draw: st.DrawFn, index: int) -> Phase:
    """A constant phase, a straight line, or steps; some replay what came before."""
    to = draw(st.none() | weight_maps)
    return Phase(
        name=str(index),
        share=draw(st.sampled_from([0.5, 1, 3])),
        weights=draw(weight_maps),
        to=to,
        steps=draw(st.none() | st.integers(2, 3)) if to else None,
        replay=draw(st.sampled_from([0.0, 0.0, 0.25])) if index else 0.0,
    )


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    phases = tuple(draw(phases_of(index)) for index in range(draw(st.integers(1, 4))))
    return Mixture(
        tokens=draw(st.integers(64, 4000)),
        sequence_length=4,
        phases=phases,
        max_epochs=draw(st.none() | st.sampled_from([0.7, 1, 2.5, 8])),
        sequence_warmup=draw(st.none() | st.just(SequenceWarmup(start=1, share=0.5))),
        seed=draw(st.integers(0, 99)),
        block_rows=draw(st.sampled_from([3, 65_536])),
    )


sizes_of_five = st.lists(st.integers(5, 900), min_size=5, max_size=5)


@settings(max_examples=120)
@given(mixtures(), sizes_of_five)
def test_any_plan_keeps_phases_caps_and_ratios(mixture: Mixture, sizes: list[int]) -> None:
    check_plan(mixture, sizes)


@pytest.mark.scale
@settings(max_examples=5000)
@given(mixtures(), sizes_of_five)
def test_thousands_of_plans_keep_phases_caps_and_ratios(mixture: Mixture, sizes: list[int]) -> None:
    check_plan(mixture, sizes)


def check_plan(mixture: Mixture, sizes: list[int]) -> None:
    """Phases are full, caps are kept, weight 0 is nothing, counts are within a row of their ratios."""
    shards = manifest(**dict(zip("abcde", sizes, strict=True)))
    try:
        plan = make_plan(shards, mixture)
    except RequestError as error:
        # The only refusals that may come here: caps, and more stretches than rows.
        assert "max_epochs leaves too few tokens" in str(error) or "is no row" in str(error)  # noqa: PT017
        return
    assert plan.num_rows == mixture.tokens // 4
    asked_by_name = {phase.name: phase for phase in mixture.phases}
    for phase in plan.phases:
        asked = asked_by_name[re.split("[-@]", phase.name)[0]]
        assert sum(phase.segment.totals) == phase.segment.rows
        assert sum(phase.wanted) == pytest.approx(1)
        for source, rows in zip(plan.sources, phase.segment.totals, strict=True):
            ends = [asked.weights, asked.weights if asked.to is None else asked.to]
            if not asked.replay and not any(isinstance(end, dict) and end.get(source.name) for end in ends):
                assert rows == 0
    for source in plan.sources:
        if mixture.max_epochs is not None:
            assert source.max_rows == int(Fraction(str(mixture.max_epochs)) * source.num_rows)
            assert plan.rows_by_source()[source.name] <= source.max_rows
    if mixture.max_epochs is None:
        check_wanted(plan)


def check_wanted(plan: Plan) -> None:
    """Without caps each count is within a row of the ratio asked for."""
    for phase in plan.phases:
        for wanted, rows in zip(phase.wanted, phase.segment.totals, strict=True):
            assert abs(rows - wanted * phase.segment.rows) < 1 + 1e-9
