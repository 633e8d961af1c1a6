"""Swarms on small Markov sources: what they must learn, resume after kill -9, more rounds, impossible requests."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from markov_shards import write_markov_run

pytest.importorskip("torch")

from corpusmill.mixtures.designs import SwarmMixture, swarm_design
from corpusmill.mixtures.halving import Halving
from corpusmill.mixtures.laws.swarm_results import read_ledger
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.noise import noise_of
from corpusmill.mixtures.proxy.swarm import SwarmSettings, groups, run_swarm, swarm_runs
from corpusmill.mixtures.proxy.tasks import Question, encode_questions
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError

SOURCES = {"web": 900, "books": 600, "code": 300}
SETTINGS = SwarmSettings(tokens_per_run=30_000, sequence_length=32, tokens_per_step=256, held_out_tokens=1500)
SHORT = SwarmSettings(
    tokens_per_run=5_120, sequence_length=32, tokens_per_step=256, held_out_tokens=500, checkpoint_s=0
)
MIXTURES = [
    SwarmMixture("natural-0", {"web": 0.5, "books": 0.3, "code": 0.2}),
    SwarmMixture("only-web", {"web": 1.0, "books": 0.0, "code": 0.0}),
    SwarmMixture("no-web", {"web": 0.0, "books": 0.5, "code": 0.5}),
    SwarmMixture("even", {"web": 0.34, "books": 0.33, "code": 0.33}, seed=1),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_markov_run(folder, SOURCES)
    return folder


def fresh(run: Path, tmp_path: Path) -> Path:
    """A run folder of its own over the same tokens."""
    (tmp_path / "tokens").symlink_to(run / "tokens")
    return tmp_path


def test_a_swarm_learns_what_its_mixtures_hold(run: Path) -> None:
    mixtures = swarm_design({"web": 9, "books": 6, "code": 3}, 9, budget=18, seed=1)
    seen: list[tuple[int, int]] = []
    ledger = run_swarm(run, SETTINGS, mixtures, lambda done, total: seen.append((done, total)))
    rows = pq.read_table(ledger).to_pylist()
    assert [row["run"] for row in rows] == [mixture.name for mixture in mixtures]
    assert all(row["own_bits_per_byte"] < row["own_unigram"] for row in rows)
    for name in SOURCES:
        alone = next(row for row in rows if row["run"] == f"only-{name}")
        assert alone[f"bits_per_byte_{name}"] < alone[f"unigram_{name}"]
        without = [row[f"bits_per_byte_{name}"] for row in rows if row[f"ratio_{name}"] == 0]
        having = [row[f"bits_per_byte_{name}"] for row in rows if row[f"ratio_{name}"] > 0.1]
        assert min(without) > max(having)
    losses = read_ledger(ledger).losses_NK
    natural = losses[:2]
    assert [row["seed"] for row in rows[:2]] == [0, 1]
    assert losses[2:].max(0).mean() - losses[2:].min(0).mean() > 3 * np.abs(natural[0] - natural[1]).mean()
    total = 9 * SETTINGS.num_tokens
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    curves = pq.read_table(ledger.with_name("curves.parquet")).to_pylist()
    mine = [point for point in curves if point["run"] == "only-web"]
    assert mine[-1]["tokens"] == SETTINGS.num_tokens
    assert mine[-1]["bits_per_token"] < mine[0]["bits_per_token"]
    assert not list(ledger.parent.glob("groups/*.safetensors"))


def table_of(ledger: Path) -> list[dict[str, object]]:
    """The ledger without what a clock wrote."""
    return [{**row, "seconds": None} for row in pq.read_table(ledger).to_pylist()]


def test_more_mixtures_train_only_what_is_new(run: Path, tmp_path: Path) -> None:
    folder = fresh(run, tmp_path)
    run_swarm(folder, SHORT, MIXTURES[:2])
    before = {path.name: path.read_bytes() for path in folder.glob("sweeps/main/groups/*.json")}
    seen: list[int] = []
    ledger = run_swarm(folder, SHORT, MIXTURES, lambda done, total: seen.append(done))
    assert seen[0] == 2 * SHORT.num_tokens
    assert all((folder / "sweeps/main/groups" / name).read_bytes() == data for name, data in before.items())
    (tmp_path / "straight").mkdir()
    other = fresh(run, tmp_path / "straight")
    assert table_of(ledger) == table_of(run_swarm(other, SHORT, MIXTURES))  # whatever was stacked with what


KILLED = """
import json, sys
from pathlib import Path
from typing import Any
from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.proxy.swarm import SwarmSettings, run_swarm
from corpusmill.mixtures.halving import Halving
settings, mixtures = json.loads(sys.argv[2])
if "halving" in settings:
    settings["halving"] = Halving(**settings["halving"])
run_swarm(Path(sys.argv[1]), SwarmSettings(**settings), [SwarmMixture(*mixture) for mixture in mixtures])
"""


ARGUMENTS = {
    "tokens_per_run": 5_120,
    "sequence_length": 32,
    "tokens_per_step": 256,
    "held_out_tokens": 500,
    "checkpoint_s": 0,
}


def kill_at(fault: str, folder: Path, settings: dict[str, Any]) -> None:
    """Runs the sweep in a process that is killed at the fault point."""
    mixtures = [[mixture.name, mixture.ratios, mixture.seed] for mixture in MIXTURES]
    command = [sys.executable, "-c", KILLED, str(folder), json.dumps([settings, mixtures])]
    environment = os.environ | {"CORPUSMILL_FAULT": f"{fault}={folder / 'count'}", "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (folder / "sweeps/main/ledger.parquet").exists()


@pytest.mark.parametrize("fault", ["sweep:step=13", "sweep:checkpoint=9", "sweep:results=1"])
def test_killed_sweeps_resume_bit_for_bit(run: Path, tmp_path: Path, fault: str) -> None:
    folder = fresh(run, tmp_path)
    kill_at(fault, folder, ARGUMENTS)
    seen: list[int] = []
    resumed = run_swarm(folder, SHORT, MIXTURES, lambda done, total: seen.append(done))
    straight = tmp_path / "straight"
    straight.mkdir()
    assert table_of(resumed) == table_of(run_swarm(fresh(run, straight), SHORT, MIXTURES))
    steps_run = len(seen) - 1
    assert steps_run < 2 * SHORT.num_steps  # fewer than both stacks from their start
    curves = [pq.read_table(ledger.with_name("curves.parquet")) for ledger in (resumed, straight / "sweeps/main/x")]
    assert curves[0] == curves[1]


HALVED = replace(SHORT, halving=Halving(rounds=2, target={"web": 1}), max_stacked=2, num_workers=1)


@pytest.mark.parametrize("fault", ["sweep:step=8", "sweep:checkpoint=13"])
def test_halving_stops_the_worse_and_changes_nothing_of_the_best(run: Path, tmp_path: Path, fault: str) -> None:
    """Twenty steps, rounds after 5 and 10: of four runs two stop, then one; killed on the way, it goes on alike."""
    folder, whole = fresh(run, tmp_path), tmp_path / "whole"
    whole.mkdir()
    kill_at(
        fault, folder, ARGUMENTS | {"halving": {"rounds": 2, "target": {"web": 1}}, "max_stacked": 2, "num_workers": 1}
    )
    seen: list[tuple[int, int]] = []
    ledger = run_swarm(folder, HALVED, MIXTURES, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4 * SHORT.num_tokens, 4 * SHORT.num_tokens)
    rows = {row["run"]: row for row in pq.read_table(ledger).to_pylist()}
    assert sorted((row["state"], row["steps"]) for row in rows.values()) == [
        *(("finished", 20), ("stopped", 5), ("stopped", 5), ("stopped", 10))
    ]
    all_to_the_end = replace(SHORT, num_evaluations=4)
    points = pq.read_table(run_swarm(fresh(run, whole), all_to_the_end, MIXTURES).with_name("evaluations.parquet"))
    at = {(point["run"], point["step"]): point["bits_per_byte_web"] for point in points.to_pylist()}
    best = sorted(rows, key=lambda name: at[name, 5])[:2]
    assert {name for name, row in rows.items() if row["steps"] > 5} == set(best)
    winner = min(best, key=lambda name: at[name, 10])
    assert rows[winner]["state"] == "finished"
    assert rows[winner]["bits_per_byte_web"] == at[winner, 20]
    loser = next(name for name in rows if rows[name]["steps"] == 5)
    assert rows[loser]["bits_per_byte_web"] is None
    assert rows[loser]["flops"] * 4 == rows[winner]["flops"]
    assert read_ledger(ledger).runs == (winner,)
    assert not list(folder.glob("sweeps/main/groups/*.safetensors"))
    assert table_of(run_swarm(folder, HALVED, MIXTURES)) == table_of(ledger)  # nothing is trained again


def note(seen: list[tuple[int, int]], done: int, total: int) -> None:
    seen.append((done, total))


def test_processes_and_resident_tokens_train_what_threads_and_streams_do(run: Path, tmp_path: Path) -> None:
    ledgers = []
    for name, settings in (("a", {}), ("b", {"spread": "processes", "num_workers": 2, "tokens_in": "resident"})):
        (tmp_path / name).mkdir()
        seen: list[tuple[int, int]] = []
        made = replace(SHORT, **settings)  # type: ignore[arg-type]  # a parameter
        ledgers.append(run_swarm(fresh(run, tmp_path / name), made, MIXTURES, partial(note, seen)))
        assert seen[-1] == (4 * SHORT.num_tokens, 4 * SHORT.num_tokens)
    assert table_of(ledgers[0]) == table_of(ledgers[1])


def test_repetition_is_that_of_the_target_run(run: Path) -> None:
    manifest = read_manifest(run)
    settings = replace(SETTINGS, target_tokens=300_000)  # ten times a proxy
    for each in swarm_runs(manifest, settings, MIXTURES):
        for source, drawn in zip(each.plan.sources, each.plan.rows_by_source().values(), strict=True):
            epochs = drawn / source.num_rows
            wanted = each.mixture.ratios[source.name] * 300_000 / manifest.sources[source.name].num_tokens
            assert epochs == pytest.approx(wanted, rel=0.02)
            loader = PlanLoader(each.plan, manifest)
            located = loader.locate(np.arange(each.plan.num_rows))
            rows = located.row[located.source == [s.name for s in each.plan.sources].index(source.name)]
            assert rows.max() < source.num_rows <= manifest.sources[source.name].num_rows(32) / 9.5
    with pytest.raises(RequestError, match=r"target_tokens: of web.*Give them at least \d+ tokens"):
        swarm_runs(manifest, replace(SETTINGS, target_tokens=300_000_000), MIXTURES)
    with pytest.raises(RequestError, match="target_tokens: 100 is less than tokens_per_run"):
        replace(SETTINGS, target_tokens=100)


def test_random_numbers_are_common(run: Path) -> None:
    """Two mixtures draw each source's rows in the same order: the n-th draw is the same row."""
    manifest = read_manifest(run)
    runs = [each for each in swarm_runs(manifest, SETTINGS, MIXTURES) if each.replica.seed == 0]
    orders = []
    for each in (runs[0], runs[2]):
        located = PlanLoader(each.plan, manifest).locate(np.arange(each.plan.num_rows))
        names = [source.name for source in each.plan.sources]
        mine = {name: located.source == names.index(name) for name in ("books", "code")}
        orders.append({name: located.row[of][np.argsort(located.draw[of])] for name, of in mine.items()})
    for name in ("books", "code"):
        both = min(len(order[name]) for order in orders)
        assert both > 100
        np.testing.assert_array_equal(orders[0][name][:both], orders[1][name][:both])


def test_tasks_are_in_the_ledger(run: Path, tmp_path: Path) -> None:
    questions = [Question("a b", ("c", "d d"), 1), Question("", ("e",), 0)]
    task = encode_questions("letters", questions, lambda text: [ord(c) % 63 + 1 for c in text], 32, 0)
    rows = pq.read_table(run_swarm(fresh(run, tmp_path), SHORT, MIXTURES[:2], tasks=[task])).to_pylist()
    assert all(row["accuracy_letters"] in (0.0, 1.0) for row in rows)
    assert all(row["normalised_accuracy_letters"] in (0.0, 1.0) for row in rows)
    assert rows[0]["task_bits_per_byte_letters"] != rows[1]["task_bits_per_byte_letters"]


def test_seeds_and_last_checkpoints_give_the_noise(run: Path, tmp_path: Path) -> None:
    mixtures = [MIXTURES[0], replace(MIXTURES[0], name="natural-1", seed=1), *MIXTURES[1:3]]
    settings = replace(SHORT, tokens_per_run=12_800, final_evaluations=4)  # at 100 %, 98 %, 96 %, 94 % of 50 steps
    ledger = run_swarm(fresh(run, tmp_path), settings, mixtures)
    points = pq.read_table(ledger.with_name("evaluations.parquet")).to_pylist()
    assert [point["step"] for point in points[:4]] == [47, 48, 49, 50]
    rows = {row["run"]: row for row in pq.read_table(ledger).to_pylist()}
    (web,) = [noise for noise in noise_of(ledger) if noise["domain"] == "web"]
    pair = [rows[name]["bits_per_byte_web"] for name in ("natural-0", "natural-1")]
    assert web["seeds"] == pytest.approx(abs(pair[0] - pair[1]) / 2**0.5)
    means = [np.mean(pair), *(rows[name]["bits_per_byte_web"] for name in ("only-web", "no-web"))]
    assert web["mixtures"] == pytest.approx(np.std(means, ddof=1))
    assert 0 < web["checkpoints"] < web["mixtures"] / 3
    assert web["signal_to_noise"] == pytest.approx(web["mixtures"] / max(web["seeds"], web["checkpoints"]))


def test_a_diverged_run_is_null_and_the_others_stay(run: Path, tmp_path: Path) -> None:
    folder = fresh(run, tmp_path)
    settings = SwarmSettings(
        tokens_per_run=2_560,
        sequence_length=32,
        tokens_per_step=256,
        held_out_tokens=500,
        learning_rate=1e30,
    )
    (row,) = pq.read_table(run_swarm(folder, settings, MIXTURES[:1])).to_pylist()
    assert row["state"] == "diverged"
    assert row["bits_per_byte_web"] is None
    assert row["own_bits_per_byte"] is None


@pytest.mark.parametrize(
    ("most", "workers", "sizes"), [(10, 1, [7]), (10, 2, [3, 4]), (3, 1, [2, 2, 3]), (1, 9, [1] * 7)]
)
def test_groups_are_even(most: int, workers: int, sizes: list[int]) -> None:
    runs: list[Any] = list(range(7))  # only sliced
    made = list(groups(runs, most, workers))
    assert [len(group) for group in made] == sizes
    assert [each for group in made for each in group] == runs


def test_impossible_requests() -> None:
    with pytest.raises(RequestError, match="no multiple of sequence_length 48"):
        SwarmSettings(tokens_per_run=10_000, sequence_length=48, tokens_per_step=100)
    with pytest.raises(RequestError, match="less than one step"):
        SwarmSettings(tokens_per_run=100, sequence_length=32, tokens_per_step=256)


def test_a_name_may_come_once(run: Path) -> None:
    with pytest.raises(RequestError, match="natural-0 is there twice"):
        run_swarm(run, SHORT, [MIXTURES[0], MIXTURES[0]])


def test_every_mixture_with_every_learning_rate_and_losses_over_time(run: Path, tmp_path: Path) -> None:
    folder = fresh(run, tmp_path)
    settings = replace(SHORT, learning_rates=(0.003, 0.03), num_evaluations=3, optimizer="muon", document_masks=True)
    ledger = run_swarm(folder, settings, MIXTURES[:2])
    rows = pq.read_table(ledger).to_pylist()
    assert [row["run"] for row in rows] == ["natural-0@0.003", "natural-0@0.03", "only-web@0.003", "only-web@0.03"]
    assert [row["learning_rate"] for row in rows] == [0.003, 0.03] * 2
    assert rows[0]["plan"] == rows[1]["plan"] != rows[2]["plan"]
    used = read_ledger(ledger)  # each mixture with the rate that is best for it
    means = [np.mean([row[f"bits_per_byte_{name}"] for name in SOURCES]) for row in rows]
    assert used.runs == tuple(rows[pair + int(means[pair] > means[pair + 1])]["run"] for pair in (0, 2))
    assert used.num_left_out == 0
    points = pq.read_table(ledger.with_name("evaluations.parquet")).to_pylist()
    mine = [point for point in points if point["run"] == "only-web@0.03"]
    assert [point["step"] for point in mine] == [7, 14, 20]  # of 20 steps
    assert mine[0]["bits_per_byte_web"] > mine[1]["bits_per_byte_web"] > mine[2]["bits_per_byte_web"]
    assert mine[2]["bits_per_byte_web"] == rows[3]["bits_per_byte_web"]
