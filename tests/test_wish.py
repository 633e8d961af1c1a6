"""Shares of tokens, documents and sequences as whole rows, packed sources among them; budgets beside caps."""

from pathlib import Path
from typing import Any

import pytest
from small_shards import write_shards
from test_mixture import manifest

from corpusmill.mixtures.curriculum import Curriculum
from corpusmill.mixtures.mixture import Mixture, Phase, SequenceWarmup, make_plan
from corpusmill.mixtures.plan import Rows, plan_table, plan_totals
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.settings import build_settings

SHARDS = manifest(web=20_001, books=10_001)
HALF_FULL = {"books": Rows(num_rows=2000, num_tokens=10_000, packing="f00d")}


@pytest.mark.parametrize(
    ("weights_in", "books", "tokens"),
    [
        # Rows of 10 slots; those of books hold 5 tokens. Equal tokens are 2 rows of books to 1 of web.
        ("tokens", 400, 2000),
        ("sequences", 300, 1500),
    ],
)
def test_shares_of_tokens_and_of_rows(weights_in: Any, books: int, tokens: int) -> None:
    mixture = Mixture(tokens=6000, sequence_length=10, weights={"web": 1, "books": 1}, weights_in=weights_in)
    plan = make_plan(SHARDS, mixture, HALF_FULL)
    assert plan.rows_by_source() == {"books": books, "web": 600 - books}
    rows = {row["source"]: row for row in plan_table(plan)}
    assert rows["books"]["tokens"] == tokens
    assert rows["web"]["tokens"] == (600 - books) * 10
    assert rows["books"]["realised"] == pytest.approx(rows["books"]["wanted"])
    assert sum(row["realised"] for row in rows.values()) == 1


def test_natural_is_natural_in_tokens_when_packed(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [6000], "books": [3000]}, document_tokens=30)
    mixture = Mixture(tokens=64 * 90, sequence_length=64, packing="document")
    table = plan_table(make_plan(read_manifest(tmp_path), mixture))
    # Every row holds one document of 30 tokens.
    assert [(row["source"], row["tokens"]) for row in table] == [("books", 900), ("web", 1800)]


def test_budgets_over_phases_and_the_table_of_the_whole() -> None:
    phases = (
        Phase(name="main", share=3, weights={"web": 1}),
        Phase(name="end", share=1, weights={"web": 1, "books": 1}),
    )
    mixture = Mixture(tokens=8000, sequence_length=10, phases=phases, budgets={"books": 500}, max_epochs={"books": 1})
    plan = make_plan(SHARDS, mixture)
    assert [phase.segment.totals for phase in plan.phases] == [(0, 600), (50, 150)]
    assert plan_totals(plan) == [
        {"source": "books", "bucket": "all", "share": 0.0625, "tokens": 500, "epochs": 0.05, "max_epochs": 1.0},
        {"source": "web", "bucket": "all", "share": 0.9375, "tokens": 7500, "epochs": 0.375, "max_epochs": None},
    ]


def test_a_source_at_its_cap_leaves_budgets_as_they_are() -> None:
    shards = manifest(a=1001, b=1001, c=1001)
    mixture = Mixture(
        tokens=2000, sequence_length=10, weights={"a": 8, "b": 1, "c": 1}, budgets={"b": 300}, max_epochs={"a": 1}
    )
    # b has 30 rows; a wants 8/9 of the other 170 and may have 100, so c has the other 70.
    assert make_plan(shards, mixture).rows_by_source() == {"a": 100, "b": 30, "c": 70}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"budgets": {"bokos": 5}}, "budgets.bokos: no such source"),
        (
            {"budgets": {"books": 25_000}, "max_epochs": 2},
            r"2.5 epochs of books, and max_epochs allows 2: at most 20000",
        ),
        ({"budgets": {"books": 4000}}, "come to 1.333 of its tokens"),
        ({"weights": {"books": 1}, "budgets": {"books": 1500}}, "leave 0.5 of its tokens to no source"),
    ],
)
def test_budgets_that_cannot_be_met(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make_plan(SHARDS, Mixture(**{"tokens": 3000, "sequence_length": 10, **values}))


def test_the_most_tokens_beside_a_budget() -> None:
    shards = manifest(a=1001, b=1001)
    mixture = Mixture(tokens=5000, sequence_length=10, budgets={"b": 500}, max_epochs=1)
    with pytest.raises(RequestError, match="at most 1500 with these weights"):
        make_plan(shards, mixture)


def test_budgets_and_weights_with_units_from_a_recipe() -> None:
    values = {"tokens": "2B", "sequence_length": 8, "weights": {"web": "12B", "books": 1.5}, "budgets": {"web": "1.5M"}}
    mixture, problems = build_settings(Mixture, values)
    assert problems == []
    assert mixture is not None
    assert mixture.weights == {"web": 12e9, "books": 1.5}
    assert mixture.budgets == {"web": 1_500_000}
    bad = {"budgets": {"web": "many"}, "documents": {"web": {"lik": "x", "keep": 0.1}}}
    _, problems = build_settings(Mixture, values | bad)
    assert [(key[0], key[-1]) for key, _ in problems] == [("budgets", "budgets"), ("documents", "lik")]


def test_hundreds_of_sources_under_caps_in_an_order() -> None:
    # Each step's ratios have denominators of their own: multiplied out they had thousands of digits, and no end.
    sizes = {f"s{number:03d}": 100_003 + 7919 * number * number for number in range(200)}
    order = Curriculum(order=tuple(sizes), pacing="quadratic", replay=0.1)
    warmup = SequenceWarmup(start=64, share=0.03)
    mixture = Mixture(
        tokens=sum(sizes.values()), sequence_length=256, max_epochs=1.5, curriculum=order, sequence_warmup=warmup
    )
    plan = make_plan(manifest(**sizes), mixture)
    rows = plan.rows_by_source()
    assert sum(rows.values()) == plan.num_rows == mixture.tokens // 256
    for source in plan.sources:
        assert source.max_rows is not None
        assert rows[source.name] <= source.max_rows
    assert sum(rows[source.name] == source.max_rows for source in plan.sources) > 20
