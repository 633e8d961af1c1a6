"""Other people's trainers on our shards, each in the plan's order: Grain's loader, Hugging Face's, torchtitan's."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import small_shards

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.sources import read_manifest

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-trainers/bin/python"
BATCH, LENGTH, HALF = 8, 32, 6  # as in tests/real/trainers.py


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source whose next token follows from the last one, so a model that gets the right labels learns at once."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_shards, "VOCAB_SIZE", 61)
        small_shards.write_shards(folder, {"web": [9000, 3000], "books": [5000]}, document_tokens=10**6)
    mixture = Mixture(tokens=LENGTH * 400, sequence_length=LENGTH, weights={"web": 1, "books": 1})
    make_plan(read_manifest(folder), mixture).save(folder / "plans/main.json")
    return folder


def trained_by(name: str, run: Path) -> Any:
    if not PYTHON.exists():
        pytest.skip(f"no {PYTHON}: tests/real/readers.sh makes it")
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".typing"), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    command = [str(PYTHON), str(ROOT / "tests/real/trainers.py"), name, str(run)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def batches(run: Path, first: int, last: int) -> list[list[list[int]]]:
    """The inputs of batches first to last of the plan."""
    loader = PlanLoader.open(run, Plan.load(run / "plans/main.json"))
    inputs, _ = loader.pairs(first * BATCH, last * BATCH)
    found: list[list[list[int]]] = inputs.reshape(-1, BATCH, LENGTH).tolist()
    return found


def test_grain_reads_the_plan_with_workers_and_resumes(run: Path) -> None:
    found = trained_by("grain", run)
    assert found["straight"] == [row for batch in batches(run, 0, 5) for row in batch]
    assert found["batches"] == batches(run, 0, 3)


@pytest.mark.parametrize("name", ["trainer", "torchtitan"])
def test_a_trainer_follows_the_plan_learns_and_resumes(run: Path, name: str) -> None:
    found = trained_by(name, run)
    steps = len(found["losses"])
    assert found["order"][:steps] == batches(run, 0, steps)
    assert found["losses"][-1] < found["losses"][0] / 2
    assert found["after"][: steps - HALF] == batches(run, HALF, steps)
    assert found["resumed"][-1] < found["losses"][0] / 2
    if "iterable" in found:
        assert found["iterable"][:steps] == batches(run, 0, steps)
