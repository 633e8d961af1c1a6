"""A single model on a plan: learns, resumes, and trains the same on one process, two, or in micro-batches."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from markov_shards import write_markov_run

pytest.importorskip("torch")

from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.proxy.train import TrainSettings, train_plan
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError

SETTINGS = TrainSettings(size="30k", tokens_per_step=256, held_out_tokens=1000, checkpoint_s=0, device="cpu")
COMMAND = """
import json, sys
from pathlib import Path
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.proxy.train import TrainSettings, train_plan
run = Path(sys.argv[1])
train_plan(run, Plan.load(run / "plans/main.json"), TrainSettings(**json.loads(sys.argv[2])))
"""
ARGUMENTS = {"size": "30k", "tokens_per_step": 256, "held_out_tokens": 1000, "checkpoint_s": 0, "device": "cpu"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_markov_run(tmp_path, {"web": 150, "books": 80})
    mixture = Mixture(tokens=12_800, sequence_length=32, weights={"web": 2, "books": 1})
    make_plan(read_manifest(tmp_path), mixture).save(tmp_path / "plans" / "main.json")
    return tmp_path


def bits(run: Path, name: str) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / f"trains/{name}/result.json").read_text())["bits_per_byte"]
    return found


def test_trains_and_resumes_and_micro_batches_change_nothing(run: Path) -> None:
    from corpusmill.mixtures.plan import Plan

    plan = Plan.load(run / "plans" / "main.json")
    seen: list[tuple[int, int]] = []
    result = train_plan(run, plan, SETTINGS, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12_800, 12_800)
    assert len(seen) == result.steps == 50
    assert all(result.bits_per_byte[name] < result.unigram[name] for name in ("web", "books"))
    assert result.tokens_per_s > 0
    assert result.matmul_share > 0
    table = pq.read_table(run / "trains/main/curve.parquet").to_pylist()
    assert table[-1]["bits_per_token"] < table[0]["bits_per_token"]
    parts = train_plan(run, plan, replace(SETTINGS, name="parts", num_micro_batches=4))
    assert parts.bits_per_byte == pytest.approx(result.bits_per_byte, rel=1e-3)

    killed = os.environ | {"CORPUSMILL_FAULT": f"train:step=30={run / 'count'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMAND, str(run), json.dumps(ARGUMENTS | {"name": "killed"})]
    assert subprocess.run(command, env=killed, check=False).returncode == -signal.SIGKILL
    steps: list[int] = []
    again = train_plan(run, plan, replace(SETTINGS, name="killed"), lambda done, total: steps.append(done))
    assert len(steps) == 21  # the 30th step was done, its checkpoint was not written
    assert again.bits_per_byte == pytest.approx(result.bits_per_byte, rel=1e-6)


def test_two_processes_train_the_same_model(run: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", COMMAND, str(run)]
    settings = json.dumps(ARGUMENTS | {"name": "two"})
    both = [
        subprocess.Popen([*command, settings], env=shared | {"RANK": str(rank), "OMP_NUM_THREADS": "1"})
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    subprocess.run([*command, json.dumps(ARGUMENTS | {"name": "one"})], check=True, env=os.environ)
    assert bits(run, "two") == pytest.approx(bits(run, "one"), rel=1e-3)


@pytest.mark.parametrize(("tokens_per_step", "parts"), [(100, 1), (256, 3), (1 << 20, 1)])
def test_batches_that_do_not_fit_are_refused(run: Path, tokens_per_step: int, parts: int) -> None:
    from corpusmill.mixtures.plan import Plan

    settings = replace(SETTINGS, tokens_per_step=tokens_per_step, num_micro_batches=parts)
    with pytest.raises(RequestError, match="tokens_per_step"):
        train_plan(run, Plan.load(run / "plans" / "main.json"), settings)
