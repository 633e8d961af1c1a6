"""Muon's orthogonalisation against the singular value decomposition, and its update by hand."""

import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.optimizers import MOMENTUM, muon_update, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6), (1, 1, 5)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = orthogonal(matrices)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    # The polynomial acts on singular values alone: the same steps on numbers are the second implementation.
    expected = values / values.square().sum(-1, keepdim=True).sqrt()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    torch.testing.assert_close(found, left @ torch.diag_embed(expected) @ right, atol=1e-6, rtol=1e-6)
    assert ((expected > 0.6) & (expected < 1.25)).all()


def test_zeros_stay_zeros() -> None:
    assert torch.equal(orthogonal(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


def test_update_is_of_the_nesterov_momentum() -> None:
    gradient = torch.randn(2, 3, 4, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    momentum = torch.zeros_like(gradient)
    update = muon_update(gradient, momentum)
    torch.testing.assert_close(momentum, (1 - MOMENTUM) * gradient)
    for r in range(2):
        for layer in range(3):
            expected = (
                0.2 * 4.0 * orthogonal(gradient[r, layer][None])[0]
            )  # sqrt(16); the scale of the gradient is lost
            torch.testing.assert_close(update[r, layer], expected, atol=1e-5, rtol=1e-5)
