"""Killed anywhere, with kill -9, driver or worker, and run again: the bytes of an undisturbed build."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_corpus import contents, run_recipe, small_recipe, write_corpus

from corpusmill.pipeline.orphans import clean, orphans
from corpusmill.pipeline.receipts import parse_receipt
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.verify import verify
from corpusmill.stages.tokens.verify_tokens import token_problems

SCRIPT = Path(__file__).with_name("killed_build.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpus, recipe and an undisturbed run of it."""
    folder = tmp_path_factory.mktemp("kill")
    write_corpus(folder / "in", num_files=8, documents=10)
    tree = small_recipe(
        folder / "in",
        stages=[
            "normalize",
            {"drop": {"when": "num_bytes < 300", "as": "short"}},
            "exact",
            "minhash",
            {"drop": {"when": "num_bytes > 800", "as": "long"}},
        ],
        tokenizer={"train": "sentencepiece-bpe", "vocab_size": 400},
        tokens={"held_out": 0.05},
    )
    (folder / "recipe.json").write_text(json.dumps(tree))
    run_recipe(tree, folder / "straight")
    return folder


def phases_of(place: Path) -> list[str]:
    return [entry["name"] for entry in json.loads((place / "straight" / "phases.json").read_text())]


def units_of(run: Path, phase: str) -> list[str]:
    entries = json.loads((run / "phases.json").read_text())
    return next((entry["units"] or [] for entry in entries if entry["name"] == phase), [])


def start(place: Path, run: Path, workers: int, faults: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"CORPUSMILL_FAULT": faults} if faults else dict(os.environ)
    command = [sys.executable, str(SCRIPT), str(place / "recipe.json"), str(run), str(workers)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def receipts_in(run: Path) -> dict[str, str]:
    """Receipt -> the attempt that wrote it."""
    found = {}
    for path in (run / "receipts").rglob("*.json"):
        found[str(path.relative_to(run))] = json.loads(path.read_text())["run"]["attempt"]
    return found


def assert_what_is_committed_equals_straight(place: Path, run: Path) -> None:
    """Every receipt names what the undisturbed run's does, and its files are there, byte for byte."""
    folder, straight = RunFolder(str(run)), RunFolder(str(place / "straight"))
    for name in receipts_in(run):
        receipt = parse_receipt(folder.read_bytes(name), name)
        expected = parse_receipt(straight.read_bytes(name), name)
        outputs, wanted = ({(o.kind, o.checksum) for o in each.outputs} for each in (receipt, expected))
        assert (receipt.key, receipt.books, outputs) == (expected.key, expected.books, wanted)
        assert all(folder.checksum(output.path) == output.checksum for output in receipt.outputs)


def files_of(run: Path) -> list[str]:
    """Every file but logs, without the attempt in its name: `part.<key>.<attempt>.parquet` is `part.<key>.parquet`."""
    names = (str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    return sorted(re.sub(r"\.[0-9a-f]{8}(?=\.\w+$)", "", name) for name in names if not name.startswith("logs/"))


def assert_equals_straight(place: Path, run: Path) -> None:
    folder = RunFolder(str(run))
    assert contents(run) == contents(place / "straight")
    assert verify(folder, [token_problems]).ok
    clean(folder)
    assert list(orphans(folder)) == []
    assert files_of(run) == files_of(place / "straight")  # what a kill left, clean knew
    assert verify(folder, [token_problems]).ok
    assert contents(run) == contents(place / "straight")


def test_the_corpus_has_units_enough(place: Path) -> None:
    assert len(units_of(place / "straight", "make")) >= 24


def test_driver_killed_in_every_phase_each_time_in_the_resumed_run(place: Path, tmp_path: Path) -> None:
    """One run folder; every build dies later than the one before. What has a receipt is never run again."""
    run = tmp_path / "run"
    before_commit, later = ("planned", "start", "output", "receipt"), ("receipt", "done", "output", "driver")
    kills = 0
    for index, phase in enumerate(phases_of(place)):
        alone = len(units_of(place / "straight", phase)) == 1  # workers of other phases are killed below
        points = [before_commit[index % 4], later[index // 4 % 4]][: 2 if alone else 1]
        for turn, point in enumerate(points):
            before = receipts_in(run) if run.exists() else {}
            counter = f"{tmp_path}/count-{index}-{turn}"
            done = start(place, run, 1, f"{phase}:{point}=1={counter}")
            assert done.returncode == -signal.SIGKILL, (phase, point, done.stderr)
            after = receipts_in(run)
            assert before.items() <= after.items(), "a unit with a receipt was run again"
            assert_what_is_committed_equals_straight(place, run)
            if kills % 8 == 0:  # resumed from here as well, in a folder of another name
                resumed = Path(shutil.copytree(run, tmp_path / f"resumed-{kills}"))
                run_recipe(json.loads((place / "recipe.json").read_text()), resumed)
                assert after.items() <= receipts_in(resumed).items()
                assert_equals_straight(place, resumed)
            kills += 1
    assert kills >= 24
    done = start(place, run, 1, "")
    assert done.returncode == 0, done.stderr
    assert_equals_straight(place, run)


@pytest.mark.parametrize("point", ["start", "receipt", "done"])
def test_workers_killed_in_every_phase(place: Path, tmp_path: Path, point: str) -> None:
    """The build itself goes on: a dead worker's unit is tried again by another."""
    run = tmp_path / "run"
    busy = [phase for phase in phases_of(place) if len(units_of(place / "straight", phase)) > 1]
    faults = [f"{phase}:{point}=2={tmp_path}/count-{index}" for index, phase in enumerate(busy)]
    done = start(place, run, 2, ",".join(faults))
    assert done.returncode == 0, done.stderr
    killed = [index for index in range(len(busy)) if (tmp_path / f"count-{index}").stat().st_size >= 2]
    assert len(killed) == len(busy) >= 6
    assert_equals_straight(place, run)


def test_a_unit_whose_worker_dies_every_time_is_set_aside_by_name(place: Path, tmp_path: Path) -> None:
    done = start(place, tmp_path / "run", 2, f"make:output=0={tmp_path}/count")
    ended = time.time()
    assert done.returncode == 1
    assert "its worker died 3 times" in done.stderr
    last_death = (tmp_path / "count").stat().st_mtime
    assert ended - last_death < 30  # not a figure of speed: a death that is not noticed would wait for ever
    assert start(place, tmp_path / "run", 1, "").returncode == 0
    assert_equals_straight(place, tmp_path / "run")


def test_workers_end_with_their_driver(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(place / "recipe.json"), str(tmp_path / "run"), "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children: list[int] = []
    while len(children) < 2 and process.poll() is None:
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert start(place, tmp_path / "run", 1, "").returncode == 0
    assert_equals_straight(place, tmp_path / "run")
