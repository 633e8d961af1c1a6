"""Swarms on small Markov sources: what they must learn, resume after kill -9, more rounds, impossible requests."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from markov_shards import write_markov_run

pytest.importorskip("torch")

from corpusmill.mixtures.designs import SwarmMixture, swarm_design
from corpusmill.mixtures.laws.swarm_results import read_ledger
from corpusmill.mixtures.proxy.swarm import SwarmSettings, groups, run_swarm
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
settings, mixtures = json.loads(sys.argv[2])
run_swarm(Path(sys.argv[1]), SwarmSettings(**settings), [SwarmMixture(*mixture) for mixture in mixtures])
"""


@pytest.mark.parametrize("fault", ["sweep:step=13", "sweep:checkpoint=9", "sweep:results=1"])
def test_killed_sweeps_resume_bit_for_bit(run: Path, tmp_path: Path, fault: str) -> None:
    folder = fresh(run, tmp_path)
    settings = {
        "tokens_per_run": 5_120,
        "sequence_length": 32,
        "tokens_per_step": 256,
        "held_out_tokens": 500,
        "checkpoint_s": 0,
    }
    mixtures = [[mixture.name, mixture.ratios, mixture.seed] for mixture in MIXTURES]
    command = [sys.executable, "-c", KILLED, str(folder), json.dumps([settings, mixtures])]
    environment = os.environ | {"CORPUSMILL_FAULT": f"{fault}={tmp_path / 'count'}", "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (folder / "sweeps/main/ledger.parquet").exists()
    seen: list[int] = []
    resumed = run_swarm(folder, SHORT, MIXTURES, lambda done, total: seen.append(done))
    straight = tmp_path / "straight"
    straight.mkdir()
    assert table_of(resumed) == table_of(run_swarm(fresh(run, straight), SHORT, MIXTURES))
    steps_run = len(seen) - 1
    assert steps_run < 2 * SHORT.num_steps  # fewer than both stacks from their start
    curves = [pq.read_table(ledger.with_name("curves.parquet")) for ledger in (resumed, straight / "sweeps/main/x")]
    assert curves[0] == curves[1]


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
