"""Positions asked one by one, pickled to workers, and as an iterable with its state."""

import pickle
from itertools import islice
from pathlib import Path

import numpy as np
from small_shards import write_shards
from test_batches import LENGTH, NUM_ROWS, make_loader

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.random_access import PlanItems, PlanSource, plan_items
from corpusmill.mixtures.segments import IGNORED
from corpusmill.mixtures.sources import read_manifest


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
    stream = PlanItems(loader)
    assert list(islice(stream, 5))[4]["input_ids"] == loader.rows(4, 5)[0, :-1].tolist()
    again = PlanItems(loader)
    again.load_state_dict(stream.state_dict())
    assert len(again) == NUM_ROWS - 5
    assert next(iter(again)) == items[0]


def test_labels_that_a_model_shifts_leave_out_what_has_no_loss(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [300]}, document_tokens=30)
    mixture = Mixture(tokens=50, sequence_length=50, packing="document")
    loader = PlanLoader.open(tmp_path, make_plan(read_manifest(tmp_path), mixture))
    (item,) = PlanItems(loader)
    assert item["labels"][:30] == item["input_ids"][:30]
    assert item["labels"][30:] == [IGNORED] * 20
