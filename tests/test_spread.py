"""A sweep through a real Ray of this machine: the ledger of threads; and what a dead worker process leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from markov_shards import write_markov_run

pytest.importorskip("torch")

REAL = Path(__file__).resolve().parent / "real"
PYTHON = REAL.parent.parent / ".venv-engines" / "bin" / "python"
MIXTURES = [
    ["half", {"web": 0.5, "books": 0.5}, 0],
    ["web", {"web": 1.0, "books": 0.0}, 0],
    ["third", {"web": 0.3, "books": 0.7}, 1],
]
SETTINGS = {
    "tokens_per_run": 2_560,
    "sequence_length": 32,
    "tokens_per_step": 256,
    "held_out_tokens": 500,
    "checkpoint_s": 0,
    "max_stacked": 2,
    "device": "cpu",
}


def sweep(
    python: Path, run: Path, settings: dict[str, object], **environment: str
) -> "subprocess.CompletedProcess[str]":
    command = [str(python), str(REAL / "ray_sweep.py"), str(run), json.dumps(SETTINGS | settings), json.dumps(MIXTURES)]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)


def ledger(run: Path) -> list[dict[str, object]]:
    return [{**row, "seconds": None} for row in pq.read_table(run / "sweeps/main/ledger.parquet").to_pylist()]


@pytest.mark.real
def test_ray_trains_what_threads_train(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("no .venv-engines: tests/real/environments.sh makes it")
    for kind in ("threads", "ray"):
        write_markov_run(tmp_path / kind, {"web": 60, "books": 60})
        done = sweep(PYTHON, tmp_path / kind, {"spread": kind}, RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-1]) == 3 * 2_560
    assert ledger(tmp_path / "threads") == ledger(tmp_path / "ray")


@pytest.mark.real
def test_a_dead_worker_is_named_and_its_stack_goes_on(tmp_path: Path) -> None:
    write_markov_run(tmp_path, {"web": 60, "books": 60})
    spread = {"spread": "processes", "num_workers": 2}
    killed = sweep(Path(sys.executable), tmp_path, spread, CORPUSMILL_FAULT=f"sweep:step=7={tmp_path / 'count'}")
    assert killed.returncode == 1
    assert "a worker process died" in killed.stderr
    assert "it goes on from its checkpoints" in killed.stderr
    again = sweep(Path(sys.executable), tmp_path, spread)
    assert again.returncode == 0, again.stderr
    write_markov_run(tmp_path / "straight", {"web": 60, "books": 60})
    assert sweep(Path(sys.executable), tmp_path / "straight", {}).returncode == 0
    assert ledger(tmp_path) == ledger(tmp_path / "straight")
