"""Chunked cross-entropy against torch's own, values and gradients, whatever the size of a chunk."""

import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy import cross_entropy as chunked

R, N, D, V = 3, 5, 4, 7


def inputs(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(R, N, D, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(R, V, D, generator=generator, dtype=dtype).requires_grad_()
    bias = torch.randn(R, V, generator=generator, dtype=dtype).requires_grad_()
    targets = torch.randint(0, V, (R, N), generator=generator)
    weights = torch.rand(R, N, generator=generator, dtype=dtype)
    weights[1, 2] = 0.0
    return states, weight, bias, targets, weights


def plain_losses(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = 0.5 * states @ weight.transpose(1, 2) + bias[:, None]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(R, N)


@pytest.mark.parametrize("chunk", [1, V, 2 * V, N * V, 2 * N * V, 1 << 20])
def test_values_and_gradients_are_those_of_the_whole(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(chunked.CHUNK_LOGITS, "cpu", chunk)
    states, weight, bias, targets, weights = inputs()
    losses = chunked.cross_entropy(states, weight, bias, targets, weights, scale=0.5)
    expected = (plain_losses(states, weight, bias, targets) * weights).sum(1)
    torch.testing.assert_close(losses, expected, atol=1e-13, rtol=1e-13)
    upstream = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found = torch.autograd.grad((losses * upstream).sum(), [states, weight, bias])
    wanted = torch.autograd.grad((expected * upstream).sum(), [states, weight, bias])
    for have, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(have, want, atol=1e-13, rtol=1e-13)
    each = chunked.token_losses(states, weight, bias, targets, scale=0.5)
    torch.testing.assert_close(each, plain_losses(states, weight, bias, targets).detach(), atol=1e-13, rtol=1e-13)


def test_very_unlikely_targets_have_a_finite_loss() -> None:
    states, weight = torch.full((1, 1, 1), 500.0), torch.tensor([[[1.0], [-1.0]]])
    target, one = torch.ones(1, 1, dtype=torch.int64), torch.ones(1, 1)
    loss = chunked.cross_entropy(states.requires_grad_(), weight, torch.zeros(1, 2), target, one, scale=1.0)
    assert loss.item() == 1000.0


def test_a_replica_with_nan_touches_no_other() -> None:
    states, weight, bias, targets, weights = inputs()
    clean = chunked.cross_entropy(states, weight, bias, targets, weights, scale=1.0)
    broken = states.detach().clone()
    broken[1] = float("nan")
    broken.requires_grad_()
    losses = chunked.cross_entropy(broken, weight, bias, targets, weights, scale=1.0)
    assert losses[1].isnan()
    assert torch.equal(losses[[0, 2]], clean[[0, 2]])
    (gradient,) = torch.autograd.grad(losses.sum(), [weight])
    assert gradient[[0, 2]].isfinite().all()
