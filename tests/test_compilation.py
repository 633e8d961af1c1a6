"""A step with everything fused, as a GPU does it, is the step without: traced by the compiler, run by plain kernels."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy import compilation
from corpusmill.mixtures.proxy.cross_entropy import softmax_gradient, softmax_gradient_by_passes
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.transformer import Shape

SHAPE = Shape(vocab_size=31, width=16, num_layers=2, num_heads=2, ff_width=24)
TRAINING = Training(shape=SHAPE, num_steps=6, sequence_length=12, num_sequences=3, dtype="float64")
REPLICAS = [Replica(seed=seed, learning_rate=0.01 * (seed + 1), clip=0.2 * seed + 0.1) for seed in range(3)]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tracing and the splitting into forward and backward of a GPU's compiler, without its kernels."""
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    yield
    torch._dynamo.reset()
    compilation._compiled.cache_clear()


def losses(training: Training) -> "np.ndarray[Any, np.dtype[np.float64]]":
    rows = np.random.default_rng(0).integers(0, 31, (6, 3, 3, 13))
    stack = StackedTraining(training, REPLICAS)
    return np.array([stack.train_step(batch).double().numpy() for batch in rows])


@pytest.mark.usefixtures("backend")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own tracer does
@pytest.mark.parametrize(
    "settings",
    [{}, {"replicas_at_once": 2, "end_of_document": 3}, {"optimizer": "muon"}],
)
def test_fused_is_the_same(settings: dict[str, Any]) -> None:
    plain = losses(replace(TRAINING, **settings | {"replicas_at_once": None}))
    np.testing.assert_allclose(losses(replace(TRAINING, fuse=True, **settings)), plain, rtol=1e-12)


@pytest.mark.scale
def test_the_compilers_kernels_give_the_same() -> None:
    """With the C++ compiler: a minute and a half."""
    training = replace(TRAINING, dtype="float32")
    np.testing.assert_allclose(losses(replace(training, fuse=True)), losses(training), rtol=2e-6)
    np.testing.assert_allclose(losses(replace(training, fuse=True, bfloat16=True)), losses(training), rtol=0.02)


def test_the_softmax_to_be_compiled_is_the_one_by_passes() -> None:
    generator = torch.Generator().manual_seed(1)
    product = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)
    bias = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 7, (2, 5, 1), generator=generator)
    weights = torch.rand(2, 5, 1, generator=generator, dtype=torch.float64)
    for one, other in zip(
        softmax_gradient(product.clone(), bias, targets, weights),
        softmax_gradient_by_passes(product.clone(), bias, targets, weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-14, rtol=1e-13)
