"""Positions to rows: every draw of the plan once, rows at most as often as caps allow, exact at block boundaries."""

import json
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shards import write_manifest
from test_mixture import manifest, mixtures

from corpusmill.mixtures.mixture import Mixture, Phase, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.positions import PositionMap
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError

SIZES = {"a": 900, "b": 300, "c": 41, "d": 9, "e": 500}


@settings(max_examples=80)
@given(mixtures())
def test_every_draw_comes_once_and_blocks_are_exact(mixture: Mixture) -> None:
    check_positions(mixture)


@pytest.mark.scale
@settings(max_examples=3000)
@given(mixtures())
def test_thousands_of_plans_are_exact(mixture: Mixture) -> None:
    check_positions(mixture)


def check_positions(mixture: Mixture) -> None:
    """Each draw comes once, counts at block ends are within a row of the exact share, rows come at most cap times."""
    try:
        plan = make_plan(manifest(**SIZES), mixture)
    except RequestError:
        return
    positions = PositionMap(plan)
    located = positions.locate(np.arange(plan.num_rows))
    drawn_in_all: Counter[int] = Counter()
    start = 0
    for phase in plan.phases:
        segment = phase.segment
        sources = located.source[start : start + segment.rows]
        assert np.bincount(sources, minlength=len(plan.sources)).tolist() == list(segment.totals)
        for end in [
            *range(segment.block_rows, segment.rows, segment.block_rows * (1 + segment.num_blocks // 20)),
            segment.rows,
        ]:
            counts = np.bincount(sources[:end], minlength=len(plan.sources)).tolist()
            for first, last, count in zip(segment.start, segment.end, counts, strict=True):
                target = end * (first * (2 * segment.rows - end) + last * end)
                assert abs(count * 2 * segment.rows**2 - target) < 2 * segment.rows**2
        middle = start + segment.rows // 2
        drawn = np.bincount(located.source[:middle], minlength=len(plan.sources))
        assert (positions.drawn_by(middle) == drawn).all()
        start += segment.rows
        drawn_in_all.update(sources.tolist())
    for index, source in enumerate(plan.sources):
        draws = np.sort(located.draw[located.source == index])
        assert draws.tolist() == list(range(drawn_in_all[index]))
        rows = Counter(located.row[located.source == index].tolist())
        assert set(rows) <= set(range(source.num_rows))
        times = set(rows.values()) | ({0} if len(rows) < source.num_rows else set())
        assert max(times) - min(times) <= 1
        if source.max_rows is not None:
            assert sum(rows.values()) <= source.max_rows


def small_plan(seed: int = 5) -> Plan:
    phases = (
        Phase(name="main", share=3, weights={"a": 3, "b": 1, "d": 0.01}),
        Phase(name="turn", share=1, weights={"a": 1}, to={"c": 1, "e": 1}),
    )
    return make_plan(manifest(**SIZES), Mixture(tokens=6000, sequence_length=4, phases=phases, seed=seed))


def test_any_order_of_asking_gives_the_same() -> None:
    plan = small_plan()
    straight = PositionMap(plan).locate(np.arange(plan.num_rows))
    order = np.random.default_rng(0).permutation(plan.num_rows)
    mixed = PositionMap(plan).locate(order)
    for name in ("source", "draw", "epoch", "row"):
        assert (getattr(mixed, name) == getattr(straight, name)[order]).all()
    alone = PositionMap(plan).locate(np.array([1400]))
    assert (alone.source[0], alone.row[0]) == (straight.source[1400], straight.row[1400])


def test_seed_changes_order_not_counts() -> None:
    first, second = (PositionMap(small_plan(seed)).locate(np.arange(1500)) for seed in (1, 2))
    assert (np.bincount(first.source) == np.bincount(second.source)).all()
    assert (first.source != second.source).any()
    assert (first.row != second.row).any()


def test_row_order_of_a_source_is_its_own() -> None:
    # Another mixture over other neighbours draws the same rows of `a` in the same order of draws.
    few = make_plan(manifest(a=900, b=300), Mixture(tokens=4000, sequence_length=4, weights={"a": 1, "b": 1}, seed=5))
    many = small_plan()
    rows = []
    for plan in (few, many):
        located = PositionMap(plan).locate(np.arange(plan.num_rows))
        chosen = located.source == [source.name for source in plan.sources].index("a")
        rows.append(dict(zip(located.draw[chosen].tolist(), located.row[chosen].tolist(), strict=True)))
    shared = rows[0].keys() & rows[1].keys()
    assert len(shared) >= 400
    assert all(rows[0][draw] == rows[1][draw] for draw in shared)


tiny_weights = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-6, 1e-4), st.floats(0.01, 1)), min_size=2, max_size=12
).filter(lambda weights: max(weights) > 0.01)


@settings(max_examples=40)
@given(tiny_weights, tiny_weights, st.integers(10**6, 4 * 10**6), st.booleans())
def test_weights_down_to_a_millionth_in_millions_of_rows(
    first: list[float], last: list[float], num_rows: int, moves: bool
) -> None:
    names = [f"s{number}" for number in range(max(len(first), len(last)))]
    weights, to = (dict(zip(names, each, strict=False)) for each in (first, last))
    phases = (Phase(name="all", share=1, weights=weights, to=to if moves else None),)
    shards = manifest(**dict.fromkeys(names, 10**6))
    plan = make_plan(shards, Mixture(tokens=2 * num_rows, sequence_length=2, phases=phases))
    segment = plan.phases[0].segment
    drawn = PositionMap(plan)
    for end in [*range(segment.block_rows, num_rows, segment.block_rows * max(1, segment.num_blocks // 12)), num_rows]:
        for source, a, b, count in zip(plan.sources, segment.start, segment.end, drawn.drawn_by(end), strict=True):
            exact = Fraction(end * (a * (2 * num_rows - end) + b * end), 2 * num_rows**2)
            assert abs(int(count) - exact) < 1
            if end == num_rows:
                share = sum(
                    Fraction(repr(each.get(source.name, 0.0))) / sum(Fraction(repr(x)) for x in each.values())
                    for each in (weights, to if moves else weights)
                )
                assert abs(int(count) - num_rows * share / 2) < 1
                assert count > 0 or share < Fraction(2, num_rows)
            if not weights.get(source.name, 0) and not (moves and to.get(source.name, 0)):
                assert count == 0


def test_sources_and_rows_come_without_a_pattern() -> None:
    plan = make_plan(manifest(a=40_001, b=80_001), Mixture(tokens=80_000, sequence_length=2, weights={"a": 1, "b": 1}))
    located = PositionMap(plan).locate(np.arange(plan.num_rows))
    limit = 5 / np.sqrt(plan.num_rows)
    is_first = (located.source == 0).astype(float)
    assert all(abs(np.corrcoef(is_first[:-lag], is_first[lag:])[0, 1]) < limit for lag in (1, 2, 3, 16, 64, 128))
    for source in (0, 1):
        rows = located.row[located.source == source].astype(float)
        for lag in (1, 2, 16, 64):
            assert abs(np.corrcoef(rows[:-lag], rows[lag:])[0, 1]) < 5 / np.sqrt(len(rows))
    # A row's place in one epoch says nothing about its place in the next.
    again = PositionMap(make_plan(manifest(a=40_001), Mixture(tokens=80_000, sequence_length=2))).locate(
        np.arange(40_000)
    )
    order = [np.argsort(again.row[again.epoch == epoch]).astype(float) for epoch in (0, 1)]
    assert abs(np.corrcoef(order[0], order[1])[0, 1]) < 5 / np.sqrt(20_000)


def test_a_linear_phase_is_followed_inside() -> None:
    plan = small_plan()
    start = plan.phases[0].segment.rows
    located = PositionMap(plan).locate(np.arange(start, plan.num_rows))
    is_first = located.source == 0
    thirds = [part.mean() for part in np.array_split(is_first, 3)]
    assert thirds[0] == pytest.approx(5 / 6, abs=0.1)
    assert thirds[1] == pytest.approx(1 / 2, abs=0.1)
    assert thirds[2] == pytest.approx(1 / 6, abs=0.1)


@pytest.mark.parametrize("position", [-1, 1500])
def test_outside_the_plan(position: int) -> None:
    plan = small_plan()
    assert plan.num_rows == 1500
    with pytest.raises(IndexError, match=f"position {position} of a plan with 1500 rows"):
        PositionMap(plan).locate(np.array([0, position]))


LARGE = """
import json, sys
from pathlib import Path
import numpy as np
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.plan import Plan
from corpusmill.pipeline.peak_memory import peak_memory
before, run = peak_memory(), Path(sys.argv[1])
loader = PlanLoader.open(run, Plan.load(run / "plans/main.json"))
rows = loader.rows(0, 32)
places = np.random.default_rng(0).integers(0, len(loader), 50)
counts = loader.rows_drawn(len(loader) // 3)
assert rows.shape == (32, 2049) and not rows.any()
assert not loader.rows_at(places).any()
print(json.dumps({"rows": len(loader), "mib": (peak_memory() - before) / (1 << 20), "drawn": sum(counts.values())}))
"""


def test_a_plan_of_a_trillion_tokens_in_little_memory(tmp_path: Path) -> None:
    # 2 TB of sparse files, 2,000 of them in 200 sources, at weights from 1e-6 up.
    entries = []
    for source in range(200):
        for file in range(10):
            path = f"tokens/s{source:03d}/all/{file:05d}"
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            with (tmp_path / f"{path}.bin").open("wb") as handle:
                handle.truncate(10**9)
            entry: dict[str, object] = {"source": f"s{source:03d}", "bucket": "all", "split": "train", "path": path}
            entry |= {"num_tokens": 500_000_000, "num_documents": 1, "num_bytes": 1, "checksum": f"{source}/{file}"}
            entries.append(entry)
    write_manifest(tmp_path, entries)
    weights = {f"s{source:03d}": max(1e-6, round(1 / (1 + source), 6)) for source in range(200)} | {"s199": 1e-6}
    phases = (
        Phase(name="main", share=0.9, weights=weights),
        Phase(name="end", share=0.1, weights=weights, to={"s199": 1}),
    )
    plan = make_plan(read_manifest(tmp_path), Mixture(tokens=10**12, sequence_length=2048, phases=phases))
    plan.save(tmp_path / "plans/main.json")
    assert plan.phases[0].segment.totals[199] == pytest.approx(0.9e12 / 2048 * 1e-6 / sum(weights.values()), abs=1)
    done = subprocess.run([sys.executable, "-c", LARGE, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["rows"] == 10**12 // 2048
    assert facts["drawn"] == facts["rows"] // 3
    assert facts["mib"] < 200
    # Nothing was written that grows with the number of samples.
    assert sum(path.stat().st_size for path in (tmp_path / "plans").rglob("*") if path.is_file()) < 1 << 20


def test_a_plan_of_one_row_and_no_positions() -> None:
    plan = make_plan(manifest(a=5), Mixture(tokens=4, sequence_length=4))
    located = PositionMap(plan).locate(np.array([0]))
    assert (located.source[0], located.epoch[0], located.row[0]) == (0, 0, 0)
    assert len(PositionMap(plan).locate(np.array([], dtype=np.int64)).row) == 0
