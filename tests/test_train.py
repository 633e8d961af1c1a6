"""A single model on a plan: learns, resumes, and trains the same on one process, two, or in micro-batches."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from markov_shards import write_markov_run

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, Phase, make_plan
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.train import TrainSettings, rate_changes, train_plan, training_rows
from corpusmill.mixtures.proxy.transformer import shape_of
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.orphans import orphans
from corpusmill.pipeline.report.trained_models import trained_models, trained_section
from corpusmill.pipeline.run_folder import RunFolder

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


def test_trains_and_resumes_and_micro_batches_change_nothing(run: Path) -> None:
    from corpusmill.mixtures.plan import Plan

    plan = Plan.load(run / "plans" / "main.json")
    seen: list[tuple[int, int]] = []
    result = train_plan(run, plan, SETTINGS, lambda pace: seen.append((pace.done, pace.total)))
    assert seen[-1] == (12_800, 12_800)
    assert len(seen) == result.steps == 50
    assert all(result.bits_per_byte[name] < result.unigram[name] for name in ("web", "books"))
    assert result.tokens_per_s > 0
    assert result.mfu > 0
    table = pq.read_table(run / "trains/main/curve.parquet").to_pylist()
    assert table[-1]["bits_per_token"] < table[0]["bits_per_token"]
    parts = train_plan(run, plan, replace(SETTINGS, name="parts", num_micro_batches=4))
    assert parts.bits_per_byte == pytest.approx(result.bits_per_byte, rel=1e-3)

    killed = os.environ | {"CORPUSMILL_FAULT": f"train:step=30={run / 'count'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMAND, str(run), json.dumps(ARGUMENTS | {"name": "killed"})]
    assert subprocess.run(command, env=killed, check=False).returncode == -signal.SIGKILL
    steps: list[int] = []
    again = train_plan(run, plan, replace(SETTINGS, name="killed"), lambda pace: steps.append(pace.done))
    assert len(steps) == 21  # the 30th step was done, its checkpoint was not written
    assert again.bits_per_byte == pytest.approx(result.bits_per_byte, rel=1e-6)


def train(
    run: Path, name: str, *options: str, torchrun: int = 0, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """The real command, under torchrun where asked."""
    code = "import sys; from corpusmill.pipeline.cli import main; main()"
    script = run / "launch.py"
    script.write_text(code)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"]
    command = [*launcher, str(script)] if torchrun else [sys.executable, str(script)]
    settings = ["--size", "30k", "--tokens-per-step", "256", "--device", "cpu", "--checkpoint-s", "0", "--name", name]
    return subprocess.run(
        [*command, "train", str(run / "plans/main.json"), *settings, *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=check,
        timeout=300,
    )


def test_the_command_trains_the_same_model_in_one_process_and_under_torchrun(run: Path) -> None:
    one = json.loads(train(run, "one", "--json").stdout)
    done = train(run, "two", torchrun=2)
    two = json.loads((run / "trains/two/result.json").read_text())
    assert two["num_processes"] == 2
    assert two["bits_per_byte"] == pytest.approx(one["bits_per_byte"], rel=1e-3)
    assert done.stdout.count("12,800 tokens in 50 steps of 256") == 1  # one of the two speaks
    assert "tokens/s, MFU" in done.stdout
    page = trained_section(trained_models(RunFolder(str(run))))
    assert page.count("<polyline") == 2
    assert f"web {one['bits_per_byte']['web']:.4f}" in page
    assert f"<td>{one['mfu']:.1%}</td>" in page
    assert not [name for name in orphans(RunFolder(str(run))) if name.startswith("trains/")]


def test_a_plan_that_is_none_is_named(run: Path) -> None:
    failed = train(run, "none", "--tokens-per-step", "many", check=False)
    assert failed.returncode == 2
    assert "--tokens-per-step many: expected a number" in failed.stderr
    failed = train(run, "none", "--size", "3T", check=False)
    assert failed.returncode == 2
    assert "size '3T': unknown" in failed.stderr


def test_packed_plans_train_on_their_bins(run: Path) -> None:
    """A bin of one whole document loses what the document loses alone: padding and end ids count nothing."""
    mixture = Mixture(tokens=6_400, sequence_length=64, weights={"web": 1}, packing="document")
    plan = make_plan(read_manifest(run), mixture)
    result = train_plan(run, plan, replace(SETTINGS, tokens_per_step=None, document_masks=True))
    assert result.tokens_per_step == 64  # 0.58 x 6400^0.571 = 86 tokens, to whole rows
    assert result.bits_per_byte["web"] < result.unigram["web"]
    loader = PlanLoader(plan, read_manifest(run))
    rows = training_rows(loader, 0, 2)
    assert rows.shape == (2, 128)
    shape = shape_of("30k", plan.vocab_size)
    one = Training(shape=shape, num_steps=1, sequence_length=64, num_sequences=2, dtype="float64")
    stack = StackedTraining(one, [Replica(seed=1, learning_rate=0.0)])
    together = float(stack.losses(stack.parameters, torch.from_numpy(rows[None])))
    nats, counted = 0.0, 0
    for row in rows:
        length = int((row[64:] >= 0).sum())
        alone = np.concatenate([row[:length], row[64 + length - 1 : 64 + length]])
        nats += length * float(stack.losses(stack.parameters, torch.from_numpy(alone[None, None])))
        counted += length
    assert together == pytest.approx(nats / counted, rel=1e-12)
    for parts in (1, 2):  # of unequal numbers of counted tokens
        again = StackedTraining(replace(one, num_micro_batches=parts), [Replica(seed=1, learning_rate=0.0)])
        assert float(again.train_step(rows[None])) == pytest.approx(together, rel=1e-12)


def test_a_phases_learning_rate_is_a_factor(run: Path) -> None:
    phases = (
        Phase(name="main", share=0.8, weights={"web": 1}),
        Phase(name="end", share=0.2, weights={"books": 1}, learning_rate=0.1),
    )
    plan = make_plan(read_manifest(run), Mixture(tokens=12_800, sequence_length=32, phases=phases))
    changes = rate_changes(plan, 8)
    assert changes == ((0, 1.0), (40, 0.1))
    replica = Replica(
        seed=0, learning_rate=0.5, schedule=LearningRateSchedule(kind="constant", warmup=0), rate_changes=changes
    )
    assert [0.5 * replica.factor(step, 50) for step in (0, 39, 40, 49)] == [0.5, 0.5, 0.05, 0.05]
    moving = (phases[0], replace(phases[1], learning_rate=1.0, learning_rate_to=0.0))
    plan = make_plan(read_manifest(run), Mixture(tokens=12_800, sequence_length=32, phases=moving))
    found = dict(rate_changes(plan, 8))
    assert list(found) == [0, *range(40, 50)]
    assert [found[step] for step in (0, 40, 49)] == pytest.approx([1.0, 0.95, 0.05])
    shorter = (replace(phases[0], sequence_length=16), phases[1])
    plan = make_plan(read_manifest(run), Mixture(tokens=12_800, sequence_length=32, phases=shorter))
    with pytest.raises(RequestError, match="phase main has sequences of 16"):
        rate_changes(plan, 8)


@pytest.mark.parametrize(("tokens_per_step", "parts"), [(100, 1), (256, 3), (1 << 20, 1)])
def test_batches_that_do_not_fit_are_refused(run: Path, tokens_per_step: int, parts: int) -> None:
    from corpusmill.mixtures.plan import Plan

    settings = replace(SETTINGS, tokens_per_step=tokens_per_step, num_micro_batches=parts)
    with pytest.raises(RequestError, match="tokens_per_step"):
        train_plan(run, Plan.load(run / "plans" / "main.json"), settings)
