"""One learning rate for every width and depth: activations move alike, and the best rate stays (muP, CompleteP)."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy import transformer
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.transformer import Shape, final_states

CONSTANT = LearningRateSchedule(kind="constant", warmup=0)


def shape(width: int, num_layers: int) -> Shape:
    """Heads of 16, as wide as the model, whatever the width."""
    return Shape(vocab_size=64, width=width, num_layers=num_layers, num_heads=width // 16, ff_width=2 * width)


def rows(num_steps: int) -> npt.NDArray[np.int64]:
    """[steps, 1, 8, 33] of a Markov chain with four next tokens for each."""
    generator = np.random.default_rng(0)
    chain = generator.integers(0, 64, (64, 4))
    out = np.empty((num_steps, 1, 8, 33), dtype=np.int64)
    out[..., 0] = generator.integers(0, 64, out.shape[:3])
    for t, branch in enumerate(np.moveaxis(generator.integers(0, 4, (*out.shape[:3], 32)), -1, 0)):
        out[..., t + 1] = chain[out[..., t], branch]
    return out


def movement(width: int, num_layers: int, optimizer: Literal["adamw", "muon"]) -> tuple[float, float]:
    """How far three steps at one learning rate move the last states on other text, root mean square; and the first
    layer's query matrix, by its largest singular value: what it can add to a normed input of that root mean square."""
    training = Training(
        shape=shape(width, num_layers),
        num_steps=9,
        sequence_length=32,
        num_sequences=8,
        optimizer=optimizer,
    )
    rate = 0.001 if optimizer == "adamw" else 0.01  # Muon's matrices move less, the embedding is AdamW's in both
    stack = StackedTraining(training, [Replica(seed=0, learning_rate=rate, weight_decay=0, schedule=CONSTANT)])
    data = rows(4)
    probe = torch.from_numpy(data[3][..., :-1])
    before = final_states(stack.parameters, training.shape, probe)
    query = stack.parameters["query"][0, 0].clone()
    for batch in data[:3]:
        stack.train_step(batch)
    moved = (final_states(stack.parameters, training.shape, probe) - before).square().mean().sqrt()
    return float(moved), float(torch.linalg.matrix_norm(stack.parameters["query"][0, 0] - query, 2))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_states_move_alike_at_every_width_and_depth(
    optimizer: Literal["adamw", "muon"], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_width = np.array([movement(width, 2, optimizer) for width in (32, 64, 128)])
    by_depth = np.array([movement(64, num_layers, optimizer)[0] for num_layers in (2, 8)])
    assert (by_width.max(axis=0) < [1.5, 2] * by_width.min(axis=0)).all(), by_width
    assert by_depth.max() < 1.6 * by_depth.min()

    def unscaled(*_: Any) -> float:
        return 1.0

    monkeypatch.setattr(transformer, "learning_rate_scale", unscaled)
    unlike = [movement(width, 2, optimizer)[1] for width in (32, 128)]
    assert unlike[1] > 1.5 * unlike[0], unlike  # what the scale is for


def test_the_best_learning_rate_stays() -> None:
    """Stacked: five rates at once. Between widths 32 and 64, 2 and 6 layers, it moves by a factor of two at most."""
    rates = [0.0025 * 2**power for power in range(5)]
    data = np.repeat(rows(50), len(rates), axis=1)
    found = {}
    for width, num_layers in ((32, 2), (64, 2), (32, 6)):
        training = Training(shape=shape(width, num_layers), num_steps=50, sequence_length=32, num_sequences=8)
        stack = StackedTraining(training, [Replica(seed=0, learning_rate=rate, weight_decay=0) for rate in rates])
        losses = np.array([stack.train_step(batch).numpy() for batch in data])[-10:].mean(axis=0)
        found[width, num_layers] = losses
    best = {key: int(losses.argmin()) for key, losses in found.items()}
    assert max(best.values()) - min(best.values()) <= 1
    for losses in found.values():  # the small model's best rate is as good as the other's own
        assert losses[best[32, 2]] < losses.min() + 0.02
