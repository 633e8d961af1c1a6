"""RMSNorm against torch's own, values and gradients."""

import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.rms_norm import rms_norm


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 3, 4, 16), (7, 0)])
def test_values_and_gradients_are_torchs(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(shape, generator=generator, dtype=torch.float64)
    found, wanted = rms_norm(x), torch.nn.functional.rms_norm(x, shape[-1:], eps=1e-6)
    torch.testing.assert_close(found, wanted, atol=1e-14, rtol=1e-14)
    (have,), (want,) = (torch.autograd.grad(y, x, upstream) for y in (found, wanted))
    torch.testing.assert_close(have, want, atol=1e-13, rtol=1e-13)


def test_zeros_stay_zeros() -> None:
    x = torch.zeros(2, 4).requires_grad_()
    y = rms_norm(x)
    assert torch.equal(y, torch.zeros(2, 4))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, torch.full((2, 4), 1000.0))  # 1 / sqrt(1e-6)
