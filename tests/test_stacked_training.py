"""A stack trains as its models would alone: losses, order, divergence; and AdamW against torch's own."""

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.transformer import Shape, learning_rate_scale

SHAPE = Shape(vocab_size=31, width=16, num_layers=2, num_heads=2, ff_width=24)
TRAINING = Training(shape=SHAPE, num_steps=50, sequence_length=12, num_sequences=3, dtype="float64")
REPLICAS = [
    Replica(
        seed=number // 2,
        learning_rate=0.003 * (1 + number),
        weight_decay=0.05 * number,
        clip=[0.1, 0.5, 10.0][number % 3],
        schedule=[LearningRateSchedule(), LearningRateSchedule(kind="cosine", warmup=0.2)][number % 2],
    )
    for number in range(8)
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def rows(num_replicas: int = 8, num_steps: int = 50) -> npt.NDArray[np.int64]:
    """[steps, R, B, T + 1]: each replica its own, with something to learn (steps of its own stride)."""
    generator = np.random.default_rng(3)
    start = generator.integers(0, 31, (num_steps, num_replicas, 3, 1))
    stride = np.arange(1, num_replicas + 1)[None, :, None, None]
    return np.asarray((start + stride * np.arange(13)) % 31)


def trained(training: Training, replicas: list[Replica], data: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Losses [steps, R]."""
    stack = StackedTraining(training, replicas)
    return np.array([stack.train_step(batch).double().numpy() for batch in data])


@pytest.mark.parametrize(
    ("dtype", "optimizer", "tolerance"),
    [("float64", "adamw", 1e-12), ("float32", "adamw", 1e-6), ("float64", "muon", 1e-12)],
)
def test_stacked_equals_alone(dtype: str, optimizer: Literal["adamw", "muon"], tolerance: float) -> None:
    training, data = replace(TRAINING, dtype=dtype, optimizer=optimizer), rows()
    together = trained(training, REPLICAS, data)
    for number, replica in enumerate(REPLICAS):
        alone = trained(training, [replica], data[:, number : number + 1])
        np.testing.assert_allclose(together[:, number], alone[:, 0], rtol=tolerance, atol=0)
    assert (together[-5:].mean(0) < together[:5].mean(0) - 0.5).all()  # they did learn


def test_permuting_replicas_permutes_results() -> None:
    order = np.array([3, 0, 7, 5, 1, 6, 2, 4])
    training, data = replace(TRAINING, dtype="float32"), rows()
    straight = trained(training, REPLICAS, data)
    permuted = trained(training, [REPLICAS[number] for number in order], data[:, order])
    np.testing.assert_array_equal(permuted, straight[:, order])


def test_a_diverging_replica_touches_no_other() -> None:
    data = rows()[:20]
    straight = trained(TRAINING, REPLICAS, data)
    wild = [replace(replica, learning_rate=1e200) if r == 2 else replica for r, replica in enumerate(REPLICAS)]
    losses = trained(TRAINING, wild, data)
    assert np.isnan(losses[-1, 2])
    others = [r for r in range(8) if r != 2]
    np.testing.assert_array_equal(losses[:, others], straight[:, others])


def test_adamw_is_torchs() -> None:
    """A second implementation: torch.optim.AdamW with clipping by hand, on the same losses."""
    replica = Replica(seed=4, learning_rate=0.01, weight_decay=0.3, clip=0.2)
    data = rows(1, 20)
    stack = StackedTraining(TRAINING, [replica])
    other = StackedTraining(TRAINING, [replica])
    leaves = {name: value.clone().requires_grad_() for name, value in other.parameters.items()}
    matrices = ("query", "key", "value", "attention_out", "gate", "up", "down")
    optimizer = torch.optim.AdamW(
        [{"params": [leaf], "weight_decay": 0.0, "name": name} for name, leaf in leaves.items()],
        lr=1.0,
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    for step, batch in enumerate(data):
        loss = stack.train_step(batch)
        expected = other.losses(leaves, torch.from_numpy(batch))
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-10, atol=0)
        optimizer.zero_grad()
        expected.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
        gradients = [leaf.grad for leaf in leaves.values() if leaf.grad is not None]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        for gradient in gradients:  # torch's clip_grad_norm_ adds 1e-6 to the norm
            gradient.mul_(min(1.0, 0.2 / float(norm)))
        rate = 0.01 * replica.schedule.factor(step, 50)
        for group in optimizer.param_groups:
            group["lr"] = rate * learning_rate_scale(SHAPE, group["name"])
            if group["name"] in matrices:  # ours decays by the rate before it is scaled for width
                group["weight_decay"] = 0.3 * rate / group["lr"]
        optimizer.step()


def test_the_bias_starts_at_log_frequencies() -> None:
    stack = StackedTraining(TRAINING, REPLICAS[:2])
    counts = np.array([np.arange(31), np.zeros(31, dtype=np.int64)])
    stack.start_at_unigram(counts)
    expected = np.log((np.arange(31) + 1) / (np.arange(31) + 1).sum())
    np.testing.assert_allclose(stack.parameters["bias"][0].numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(stack.parameters["bias"][1].numpy(), np.log(1 / 31), rtol=1e-12)


def test_documents_are_kept_apart_when_asked() -> None:
    """A row of two documents loses what its documents lose alone; without the setting it does not."""
    first, second = [5, 6, 7, 0], [8, 9, 10, 11, 12, 13, 14, 15, 16]

    def mean_loss(tokens: list[int], end_of_document: int | None) -> float:
        training = replace(TRAINING, end_of_document=end_of_document)
        stack = StackedTraining(training, REPLICAS[:1])
        return float(stack.losses(stack.parameters, torch.tensor([[tokens]])))

    # targets 6 7 0 within the first, 8 from its end token, then 9 .. 16 within the second
    within = 3 * mean_loss(first, None) + 8 * mean_loss(second, None)
    across = 12 * mean_loss(first + second, 0) - within
    assert across == pytest.approx(4 * mean_loss([*first, 8], None) - 3 * mean_loss(first, None), rel=1e-9)
    assert mean_loss(first + second, None) != pytest.approx(mean_loss(first + second, 0), rel=1e-6)


def test_state_continues_bit_for_bit() -> None:
    data = rows()
    straight = trained(TRAINING, REPLICAS, data)
    first = StackedTraining(TRAINING, REPLICAS)
    for batch in data[:20]:
        first.train_step(batch)
    state = {name: value.clone() for name, value in first.state().items()}
    second = StackedTraining(TRAINING, REPLICAS)
    second.load_state(state, 20)
    losses = np.array([second.train_step(batch).numpy() for batch in data[20:]])
    np.testing.assert_array_equal(losses, straight[20:])


def test_kept_replicas_go_on_as_before() -> None:
    data = rows()[:30]
    straight = trained(TRAINING, REPLICAS, data)
    stack = StackedTraining(TRAINING, REPLICAS)
    for batch in data[:10]:
        stack.train_step(batch)
    stack.keep([5, 2])
    losses = np.array([stack.train_step(batch[[5, 2]]).numpy() for batch in data[10:]])
    np.testing.assert_allclose(losses, straight[10:, [5, 2]], rtol=1e-12)


def test_bfloat16_products_with_float32_masters_learn_alike() -> None:
    data = rows()
    exact = trained(replace(TRAINING, dtype="float32"), REPLICAS[:2], data[:, :2])
    rounded = trained(replace(TRAINING, dtype="float32", bfloat16=True), REPLICAS[:2], data[:, :2])
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded[:10], exact[:10], rtol=0.02)
    assert (rounded[-5:].mean(0) < rounded[:5].mean(0) - 0.5).all()


def test_micro_batches_change_rounding_alone() -> None:
    data = rows()[:10]
    np.testing.assert_allclose(
        trained(replace(TRAINING, num_micro_batches=2), REPLICAS, data), trained(TRAINING, REPLICAS, data), rtol=1e-9
    )


@pytest.mark.parametrize("many", [1, 3])
def test_some_replicas_after_the_others_change_nothing(many: int) -> None:
    training, data = replace(TRAINING, dtype="float32"), rows()[:15]
    np.testing.assert_array_equal(
        trained(replace(training, replicas_at_once=many), REPLICAS, data), trained(training, REPLICAS, data)
    )
