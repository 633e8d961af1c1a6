"""A mixture changed in mid-run: the past stays, no row is lost or repeated, caps count the whole run."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shards import write_shards
from test_mixture import manifest, mixtures

from corpusmill.mixtures.batches import BatchStream
from corpusmill.mixtures.continuation import continue_plan, plan_changes
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Plan, plan_table
from corpusmill.mixtures.positions import PositionMap
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError

SHARDS = manifest(a=900, b=300, c=41, d=9, e=500)


@settings(max_examples=25)
@given(mixtures(), mixtures(), mixtures(), st.floats(0, 1), st.floats(0, 1))
def test_changed_twice_every_draw_comes_once(
    first: Mixture, second: Mixture, third: Mixture, cut: float, later: float
) -> None:
    try:
        plans = [make_plan(SHARDS, first)]
        for mixture, share in ((second, cut), (third, later)):
            old = plans[-1]
            position = old.first_position + max(1, int(share * (old.num_rows - old.first_position)))
            values = {name: getattr(mixture, name) for name in ("phases", "max_epochs", "block_rows")}
            tokens = position * 4 + mixture.tokens
            plans.append(
                continue_plan(
                    old, position, SHARDS, Mixture(tokens=tokens, sequence_length=4, seed=first.seed, **values)
                )
            )
    except RequestError:
        return
    plan = plans[-1]
    names = [source.name for source in plan.sources]
    located = PositionMap(plan).locate(np.arange(plan.num_rows))
    for old, new in pairwise(plans):
        # What was consumed reads as it did.
        before = PositionMap(old).locate(np.arange(new.first_position))
        old_names = [source.name for source in old.sources]
        assert [old_names[i] for i in before.source] == [names[i] for i in located.source[: new.first_position]]
        assert (before.row == located.row[: new.first_position]).all()
    counts = Counter(names[i] for i in located.source)
    assert {name: counts[name] for name in names} == plan.rows_by_source()
    for index, source in enumerate(plan.sources):
        draws = np.sort(located.draw[located.source == index])
        assert len(set(draws.tolist())) == len(draws)
        times = Counter(located.row[located.source == index].tolist())
        # Every epoch but the last is whole, but for a block that the end of the plan leaves.
        if draws.size:
            assert max(times.values()) <= draws[-1] // source.num_rows + 1
        if source.max_rows is not None and plan.before is not None:
            assert counts[source.name] <= max(source.max_rows, plan.before.rows[index])
    positions = PositionMap(plan)
    for place in {0, plan.first_position - 1, plan.first_position, plan.first_position + 1, plan.num_rows}:
        drawn = np.bincount(located.source[:place], minlength=len(names))
        assert (positions.drawn_by(place) == drawn).all()


def old_plan() -> Plan:
    return make_plan(SHARDS, Mixture(tokens=8000, sequence_length=4, weights={"a": 1, "b": 1}, seed=3))


def test_no_row_is_lost_at_the_change() -> None:
    # 999 is inside a block: the draws that it left come next, so the first epochs stay whole.
    old = old_plan()
    new = continue_plan(old, 999, SHARDS, Mixture(tokens=12_000, sequence_length=4, weights={"a": 1, "b": 2}, seed=3))
    located = PositionMap(new).locate(np.arange(new.num_rows))
    for index, source in enumerate(new.sources):
        draws = np.sort(located.draw[located.source == index])
        assert draws.tolist() == list(range(len(draws)))
        first_epoch = located.row[(located.source == index) & (located.epoch == 0)]
        assert sorted(first_epoch.tolist()) == list(range(source.num_rows))


def test_what_changes_is_said() -> None:
    old = old_plan()
    new = continue_plan(old, 1000, SHARDS, Mixture(tokens=8000, sequence_length=4, weights={"a": 3, "e": 1}, seed=3))
    assert [tuple(row.values()) for row in plan_changes(new)] == [
        ("a", 2000, 2000, 3000, 1250 / 224),
        ("b", 2000, 2000, 0, 500 / 74),
        ("e", 0, 0, 1000, 250 / 124),
    ]
    assert [(row["source"], row["phase"], row["tokens"]) for row in plan_table(new)][:3] == [
        ("a", "consumed", 2000),
        ("b", "consumed", 2000),
        ("e", "consumed", 0),
    ]


def test_caps_count_what_was_consumed() -> None:
    # b has 74 rows and a cap of 8 epochs = 592; 500 are consumed, 92 are left of the 500 wanted.
    weights = {"a": 1, "b": 1}
    new = continue_plan(
        old_plan(), 1000, SHARDS, Mixture(tokens=8000, sequence_length=4, weights=weights, max_epochs={"b": 8}, seed=3)
    )
    assert new.rows_by_source()["b"] == 592
    assert new.phases[0].segment.totals == (908, 92)


@pytest.mark.parametrize(
    ("position", "tokens", "seed", "message"),
    [
        (0, 8000, 3, "position 0 is not in the plan"),
        (2001, 80_000, 3, "position 2001"),
        (1000, 4000, 3, "nothing is left"),
        (1000, 8000, 4, "seed: 4 cannot change"),
    ],
)
def test_requests_that_cannot_be_met(position: int, tokens: int, seed: int, message: str) -> None:
    mixture = Mixture(tokens=tokens, sequence_length=4, weights={"a": 1}, seed=seed)
    with pytest.raises(RequestError, match=message):
        continue_plan(old_plan(), position, SHARDS, mixture)


def test_checkpoints_of_the_old_plan_go_on_under_the_new_one(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [900], "books": [400]})
    old = make_plan(read_manifest(tmp_path), Mixture(tokens=2000, sequence_length=10, weights={"web": 1}))
    new = continue_plan(old, 80, read_manifest(tmp_path), Mixture(tokens=3000, sequence_length=10, weights="natural"))
    newest = continue_plan(
        new, 90, read_manifest(tmp_path), Mixture(tokens=3000, sequence_length=10, weights="natural")
    )
    stream = BatchStream(PlanLoader.open(tmp_path, newest), 10)
    for plan, position in ((old, 80), (old, 70), (new, 80), (new, 90), (newest, 200)):
        stream.load_state_dict({"position": position, "plan": plan.fingerprint})
        assert stream.position == position
    # Positions behind the change read something else than they would have: such a state is of a plan not followed.
    for plan, position in ((old, 81), (new, 91)):
        with pytest.raises(ValueError, match=f"position {position} of plan"):
            stream.load_state_dict({"position": position, "plan": plan.fingerprint})


def test_files_added_to_a_source_and_the_file_of_the_plan(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [300, 200], "books": [400]})
    old = make_plan(read_manifest(tmp_path), Mixture(tokens=2000, sequence_length=10, weights={"web": 1, "books": 1}))
    straight = PlanLoader.open(tmp_path, old).rows(0, 80)
    write_shards(tmp_path, {"web": [300, 200, 600], "books": [400]})
    grown = Mixture(tokens=4000, sequence_length=10, weights={"web": 1})
    new = continue_plan(old, 80, read_manifest(tmp_path), grown)
    assert [source.name for source in new.sources] == ["books", "web", "web+1"]
    # web and web+1 have 500 and 600 tokens: 320 rows at 5 : 6.
    assert new.phases[0].segment.totals == (0, 145, 175)
    new.save(tmp_path / "plans/new.json")
    loader = PlanLoader.open(tmp_path, Plan.load(tmp_path / "plans/new.json"))
    assert (loader.rows(0, 80) == straight).all()
    sources = loader.locate(np.arange(400)).source
    last = loader.rows(0, 400)[int(np.flatnonzero(sources == 2)[0])]
    assert last.tolist() == [(last[0] + 7 * i) % 50_021 for i in range(11)]
    body = json.loads((tmp_path / "plans/new.json").read_text())
    assert body["before"]["position"] == 80
