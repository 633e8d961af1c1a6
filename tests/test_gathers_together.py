"""All gathers in one real build: the same fates for any order of shards, cutting, workers, memory and interruption."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_corpus import contents, document, run_recipe

from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.gather.saved_index import new_index
from corpusmill.stages.gather.shingling import PRESETS

SCRIPT = Path(__file__).with_name("killed_build.py")
ITEM = "Which bridges of stone did the people of that valley build long before any map was drawn of it?"
BOILERPLATE = "This page was printed from the archive of the valley; all rights are reserved by its people."
Record = dict[str, str]


def records() -> list[Record]:
    """120 documents: copies, near-copies, boilerplate lines, planted items, documents that an index has."""
    rng = random.Random(4)
    made = []
    for number in range(120):
        text = document(number)
        if number % 9 == 3:
            text = text.replace("stone", "wooden", 1) + "And one more sentence at the end of it.\n"
        if number % 4 == 1:
            text += f"{BOILERPLATE}\n"
        if number % 17 == 5:
            text += f"{ITEM}\n"
        made.append({"id": f"{number:04d}", "text": text})
    rng.shuffle(made)
    return made


def write(folder: Path, files: list[list[Record]]) -> None:
    folder.mkdir()
    for number, chosen in enumerate(files):
        lines = [json.dumps(record, ensure_ascii=False) for record in chosen]
        (folder / f"part-{number:02d}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_vectors(path: Path, made: list[Record]) -> None:
    """An embedding of most documents; every eighth has nearly that of the one before."""
    vectors = np.random.default_rng(3).normal(size=(200, 8))
    chosen = [int(record["id"]) for record in made if not record["id"].endswith("7")]
    rows = [(vectors[n - (n % 8 == 0)] + n * 1e-6).tolist() for n in chosen]
    pq.write_table(pa.table({"id": [f"s/{n:04d}" for n in chosen], "embedding": rows}), path)


def recipe(folder: Path, place: Path, memory: str = "512MiB") -> dict[str, Any]:
    return {
        "format": 1,
        "name": "gathers",
        "unit_bytes": 256,
        "gather_memory": memory,
        "sources": {"s": {"read": "jsonl", "paths": [f"{folder}/*.jsonl"], "id": "id"}},
        "stages": [
            "words",
            {
                "quality_buckets": {
                    "scores": ["words_count", "words_longest_word"],
                    "combine": "mean",
                    "num_buckets": 5,
                    "levels": {"low": 0, "high": 3},
                }
            },
            "exact",
            {"minhash": {"min_similarity": 0.6, "bands": 20, "rows": 4}},
            {"known": {"index": str(place / "index")}},
            {"semantic": {"embeddings": [str(place / "vectors.parquet")], "min_cosine": 0.9999, "num_clusters": 3}},
            {"passages": {"min_bytes": 20}},
            {"substrings": {"min_bytes": 60}},
            {"decontaminate": {"suites": [str(place / "suite.jsonl")], "action": "cut"}},
        ],
    }


def fates(run: Path) -> dict[str, tuple[str, str]]:
    """id -> text with everything cut, and level of quality, of what stayed."""
    folder = RunFolder(str(run))
    return {
        line["id"]: (line["text"], line["quality_bucket_level"])
        for part in final_parts(folder)
        for batch in read_part(folder, part, ["quality_bucket_level"], text=True)
        for line in batch.select(["id", "text", "quality_bucket_level"]).to_pylist()
    }


def evidence(run: Path) -> set[tuple[Any, ...]]:
    """Who won over whom, and how similar they are, over all dedup gathers."""
    found: set[tuple[Any, ...]] = set()
    folder = RunFolder(str(run))
    for name in folder.names("evidence"):
        table = folder.read_table(name)
        if "winner_id" in table.column_names:
            columns = ("id", "winner_id", "shared_bands", "estimated", "similarity", "group", "batch")
            told = table.select([c for c in columns if c in table.column_names])
            found |= {(name.split("/")[1], *line.values()) for line in told.to_pylist()}
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Input in five files, an index, a suite, and an undisturbed run."""
    folder = tmp_path_factory.mktemp("gathers")
    all_records = records()
    write(folder / "in", [all_records[i::5] for i in range(5)])
    (folder / "suite.jsonl").write_text(json.dumps({"id": "1", "question": ITEM, "answer": "two"}) + "\n")
    write_vectors(folder / "vectors.parquet", all_records)
    from gather_rounds import documents

    old = [document(number) for number in (0, 21, 22)]
    new_index(str(folder / "index"), PRESETS["fineweb"], None).add("old", [documents(old, ids=["o/0", "o/21", "o/22"])])
    run_recipe(recipe(folder / "in", folder), folder / "straight")
    (folder / "recipe.json").write_text(json.dumps(recipe(folder / "in", folder)))
    return folder


def test_every_gather_has_something_to_do(place: Path) -> None:
    status = json.loads(json.dumps(RunFolder(str(place / "straight")).read_json("phases.json")))
    assert len([entry for entry in status if "/" in entry["name"]]) > 20
    kinds = {line[0] for line in evidence(place / "straight")}
    assert kinds == {"exact", "minhash", "known", "semantic"}
    left = fates(place / "straight")
    assert 40 < len(left) < 115
    assert sum(BOILERPLATE in text for text, _ in left.values()) == 1
    assert not any(ITEM in text for text, _ in left.values())
    assert {level for _, level in left.values()} == {"low", "high"}


@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), num_files=st.integers(1, 6), memory=st.sampled_from(["32KiB", "512MiB"]))
def test_fates_do_not_depend_on_shards_their_order_or_memory(
    place: Path, tmp_path_factory: pytest.TempPathFactory, seed: int, num_files: int, memory: str
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    shuffled = records()
    random.Random(seed).shuffle(shuffled)
    write(folder / "in", [shuffled[i::num_files] for i in range(num_files)])
    run_recipe(recipe(folder / "in", place, memory), folder / "run")
    assert fates(folder / "run") == fates(place / "straight")
    assert evidence(folder / "run") == evidence(place / "straight")


def test_same_bytes_with_two_workers_and_inputs_listed_backwards_elsewhere(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "in", tmp_path / "in")  # keeps modification times
    tree = recipe(tmp_path / "in", place)
    tree["sources"]["s"]["paths"] = sorted((str(path) for path in (tmp_path / "in").iterdir()), reverse=True)
    run_recipe(tree, tmp_path / "run", workers=2)
    assert contents(tmp_path / "run") == contents(place / "straight")


def test_same_bytes_after_kills_in_the_gathers(place: Path, tmp_path: Path) -> None:
    """Five builds in one folder, each killed in a later round than the one before, then one that ends."""
    phases = [entry["name"] for entry in json.loads((place / "straight" / "phases.json").read_text())]
    rounds = [name for name in phases if "/" in name]
    run, killed = tmp_path / "run", 0
    for turn, name in enumerate(rounds[1 :: max(1, len(rounds) // 5)]):
        point = ("start", "output", "receipt", "done")[turn % 4]
        fault = f"{name}:{point}=1={tmp_path}/count-{turn}"
        command = [sys.executable, str(SCRIPT), str(place / "recipe.json"), str(run), "1"]
        done = subprocess.run(command, env=os.environ | {"CORPUSMILL_FAULT": fault}, capture_output=True, timeout=300)
        killed += done.returncode == -9
    run_recipe(json.loads((place / "recipe.json").read_text()), run)
    assert killed >= 4
    assert contents(run) == contents(place / "straight")
