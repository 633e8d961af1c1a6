"""Checkpoints: what is written comes back, and a damaged file is named with the way out."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.checkpoint import History, load_stack, save_stack, stacked_runs
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.transformer import Shape
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.pipeline.run_folder import RunFolder

SHAPE = Shape(vocab_size=11, width=8, num_layers=1, num_heads=2, ff_width=8)
TRAINING = Training(shape=SHAPE, num_steps=4, sequence_length=5, num_sequences=2)
REPLICAS = [Replica(seed=seed, learning_rate=0.01) for seed in (1, 2)]


def trained() -> tuple[StackedTraining, History]:
    stack, history = StackedTraining(TRAINING, REPLICAS), History.empty(4, 1, 2, 3, "cpu")
    rows = np.random.default_rng(0).integers(0, 11, (3, 2, 2, 6))
    for step, batch in enumerate(rows):
        history.losses_SR[step] = stack.train_step(batch)
    history.seconds_R[:] = 1.25, 2.5
    return stack, history


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    stack, history = trained()
    save_stack(folder, "a.safetensors", stack, ["x", "y"], history)
    assert stacked_runs(folder, "a.safetensors") == ["x", "y"]
    again, past = StackedTraining(TRAINING, REPLICAS), History.empty(4, 1, 2, 3, "cpu")
    load_stack(folder, "a.safetensors", again, past)
    assert again.step == 3
    assert past.seconds_R.tolist() == [1.25, 2.5]
    assert torch.equal(past.losses_SR.nan_to_num(-1), history.losses_SR.nan_to_num(-1))
    for name, value in stack.state().items():
        assert torch.equal(again.state()[name], value)


def test_some_of_the_models_come_back_in_any_order(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    stack, history = trained()
    save_stack(folder, "a.safetensors", stack, ["x", "y"], history)
    again, past = StackedTraining(TRAINING, REPLICAS[1:]), History.empty(4, 1, 1, 3, "cpu")
    load_stack(folder, "a.safetensors", again, past, ["y"])
    assert past.seconds_R.tolist() == [2.5]
    assert torch.equal(past.losses_SR[:3], history.losses_SR[:3, 1:])
    for name, value in stack.state().items():
        assert torch.equal(again.state()[name], value[1:])


def test_nothing_there_changes_nothing(tmp_path: Path) -> None:
    stack, history = trained()
    load_stack(RunFolder(str(tmp_path)), "a.safetensors", stack, history)
    assert stack.step == 3


@pytest.mark.parametrize("keep", [0, 7, 100, 2000])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    folder = RunFolder(str(tmp_path))
    stack, history = trained()
    save_stack(folder, "a.safetensors", stack, ["x", "y"], history)
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError, match=r"a\.safetensors.*delete it"):
        load_stack(folder, "a.safetensors", stack, history)
    if keep < 200:
        with pytest.raises(DamagedFileError, match=r"a\.safetensors.*delete it"):
            stacked_runs(folder, "a.safetensors")
