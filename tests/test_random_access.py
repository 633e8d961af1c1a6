"""Positions asked one by one, pickled to workers, and read by Grain where an environment has it."""

import json
import os
import pickle
import subprocess
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from test_batches import LENGTH, NUM_ROWS, make_loader

from corpusmill.mixtures.random_access import PlanSource, plan_items

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-loader/bin/python"  # made by benchmarks/loader.py


def test_items_by_position_also_after_pickling(tmp_path: Path) -> None:
    loader = make_loader(tmp_path)
    source = PlanSource(loader)
    again = pickle.loads(pickle.dumps(source))
    rows = loader.rows(0, 20)
    assert len(source) == len(again) == NUM_ROWS
    for position in range(20):
        for each in (source, again):
            assert each[np.int64(position)]["inputs"].tolist() == rows[position, :-1].tolist()
            assert each[position]["targets"].tolist() == rows[position, 1:].tolist()
    assert repr(source) == repr(again) == f"PlanSource({loader.plan.fingerprint})"


def test_plain_items(tmp_path: Path) -> None:
    loader = make_loader(tmp_path)
    loader.plan.save(tmp_path / "plans/main.json")
    items = list(islice(plan_items(str(tmp_path), str(tmp_path / "plans/main.json"), position=5), 3))
    assert [item["input_ids"] for item in items] == loader.rows(5, 8)[:, :-1].tolist()
    assert all(item["labels"] == item["input_ids"] and len(item["labels"]) == LENGTH for item in items)


GRAIN = """
import json, sys
from pathlib import Path
import grain
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.random_access import PlanSource
run = Path(sys.argv[1])
source = PlanSource(PlanLoader.open(run, Plan.load(run / "plans/main.json")))
assert isinstance(source, grain.sources.RandomAccessDataSource)
batches = iter(grain.MapDataset.source(source).to_iter_dataset().batch(8))
print(json.dumps([next(batches)["inputs"].tolist() for _ in range(3)]))
"""


@pytest.mark.real
def test_grain_reads_the_plan(tmp_path: Path) -> None:
    if not PEERS.exists():
        pytest.skip(f"no {PEERS}: benchmarks/loader.py makes it")
    loader = make_loader(tmp_path)
    loader.plan.save(tmp_path / "plans/main.json")
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT / ".typing")}
    done = subprocess.run([PEERS, "-c", GRAIN, tmp_path], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == loader.rows(0, 24)[:, :-1].reshape(3, 8, LENGTH).tolist()
