"""The model against a plain NumPy reading of its formula, and what no token may see."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.transformer import (
    Parameters,
    Shape,
    final_states,
    initial_parameters,
    shape_of,
)
from corpusmill.pipeline.errors import RequestError

SMALL = Shape(vocab_size=13, width=8, num_layers=2, num_heads=2, ff_width=12)
GROUPED = Shape(vocab_size=13, width=16, num_layers=1, num_heads=4, num_kv_heads=2, ff_width=12)


def norm(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(x / np.sqrt((x * x).mean() + 1e-6))


def turned(vector: npt.NDArray[np.float64], position: int) -> npt.NDArray[np.float64]:
    half = len(vector) // 2
    out = np.empty_like(vector)
    for i in range(half):
        angle = position * 10_000.0 ** (-2 * i / len(vector))
        out[i] = vector[i] * math.cos(angle) - vector[i + half] * math.sin(angle)
        out[i + half] = vector[i] * math.sin(angle) + vector[i + half] * math.cos(angle)
    return out


def plain_states(p: dict[str, npt.NDArray[np.float64]], shape: Shape, tokens: list[int]) -> npt.NDArray[np.float64]:
    """One replica, one sequence, token by token."""
    K, share = shape.head_width, shape.num_heads // shape.kv_heads
    xs = [norm(p["embedding"][token]) for token in tokens]
    for layer in range(shape.num_layers):
        us = [norm(x) for x in xs]
        attended = np.zeros((len(tokens), shape.num_heads * K))
        for head in range(shape.num_heads):
            own, shared = slice(head * K, head * K + K), slice(head // share * K, head // share * K + K)
            sharpness = p["sharpness"][layer, head]
            queries = [turned(norm((u @ p["query"][layer])[own]), t) * sharpness for t, u in enumerate(us)]
            keys = [turned(norm((u @ p["key"][layer])[shared]), t) for t, u in enumerate(us)]
            values = [(u @ p["value"][layer])[shared] for u in us]
            for t, query in enumerate(queries):
                scores = np.array([query @ key / math.sqrt(K) for key in keys[: t + 1]])
                weights = np.exp(scores) / np.exp(scores).sum()
                attended[t, own] = sum(w * v for w, v in zip(weights, values, strict=False))
        scale = 2 / shape.num_layers
        xs = [x + scale * (a @ p["attention_out"][layer]) for x, a in zip(xs, attended, strict=True)]
        for t, x in enumerate(xs):
            u = norm(x)
            gate = u @ p["gate"][layer]
            xs[t] = x + scale * ((gate / (1 + np.exp(-gate)) * (u @ p["up"][layer])) @ p["down"][layer])
    return np.array([norm(x) for x in xs])


def random_parameters(shape: Shape, num_replicas: int) -> Parameters:
    """All parameters away from their starting values, ones and zeros included."""
    parameters = initial_parameters(shape, list(range(num_replicas)), torch.float64)
    generator = torch.Generator().manual_seed(9)
    return {
        name: value + 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in parameters.items()
    }


@pytest.mark.parametrize("shape", [SMALL, GROUPED])
def test_matches_the_formula(shape: Shape) -> None:
    parameters = random_parameters(shape, 2)
    tokens = np.random.default_rng(0).integers(0, 13, (2, 3, 7))
    states = final_states(parameters, shape, torch.from_numpy(tokens)).numpy().reshape(2, 3, 7, shape.width)
    for r in range(2):
        one = {name: value[r].numpy() for name, value in parameters.items()}
        for b in range(3):
            np.testing.assert_allclose(states[r, b], plain_states(one, shape, tokens[r, b].tolist()), atol=1e-12)


def test_no_token_sees_a_later_one() -> None:
    parameters = random_parameters(SMALL, 1)
    tokens = torch.arange(12).view(1, 1, 12)
    before = final_states(parameters, SMALL, tokens)
    changed = tokens.clone()
    changed[..., 7] = 0
    after = final_states(parameters, SMALL, changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert (before[:, 7:] != after[:, 7:]).any(-1).all()


def test_no_token_sees_another_document() -> None:
    parameters = random_parameters(SMALL, 2)
    first, second = torch.tensor([3, 1, 4, 1, 5]), torch.tensor([9, 2, 6, 5, 3, 5, 8])
    documents = torch.tensor([0] * 5 + [1] * 7).expand(2, 1, 12)

    def states_of_second(start: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat((start, second)).expand(2, 1, 12)
        return final_states(parameters, SMALL, tokens, documents)[:, 5:]

    here = states_of_second(first)
    assert torch.equal(here, states_of_second(first.flip(0) + 2))
    alone = final_states(parameters, SMALL, second.expand(2, 1, 7))
    torch.testing.assert_close(here, alone, atol=1e-12, rtol=0)  # rotary positions are relative
    unmasked = final_states(parameters, SMALL, torch.cat((first, second)).expand(2, 1, 12))[:, 5:]
    assert (unmasked - alone).abs().max() > 1e-3


def test_a_replica_starts_from_its_seed_alone() -> None:
    together = initial_parameters(SMALL, [5, 6, 5])
    alone = initial_parameters(SMALL, [6])
    for name, value in together.items():
        assert torch.equal(value[0], value[2])
        assert torch.equal(value[1], alone[name][0])
    assert not torch.equal(together["query"][0], together["query"][1])


# Weights of the matrices in millions, and MFLOP a token with vocabulary and sequence: counted by hand from the shapes.
@pytest.mark.parametrize(
    ("size", "vocab_size", "length", "matrices", "mflop"),
    [
        ("1M", 4096, 512, 1.31, 15.7),
        ("4M", 8192, 512, 3.41, 36.2),
        ("10M", 8192, 1024, 10.6, 96.7),
        ("124M", 50304, 1024, 84.9, 798),
    ],
)
def test_sizes(size: str, vocab_size: int, length: int, matrices: float, mflop: float) -> None:
    shape = shape_of(size, vocab_size)
    inside = shape.num_parameters - vocab_size * (shape.width + 1) - shape.num_layers * shape.num_heads
    assert inside / 1e6 == pytest.approx(matrices, rel=0.005)
    assert shape.flops_per_token(length) / 1e6 == pytest.approx(mflop, rel=0.01)


@pytest.mark.parametrize("settings", [{"width": 10, "num_heads": 4}, {"width": 6, "num_heads": 2}, {"num_kv_heads": 3}])
def test_impossible_shapes_are_refused(settings: dict[str, Any]) -> None:
    shape = Shape(vocab_size=5, width=16, num_layers=1, num_heads=4, ff_width=8)
    with pytest.raises(RequestError):
        replace(shape, **settings)


def test_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"'2B': unknown. One of 30k, .*124M"):
        shape_of("2B", 100)
