"""AdamW and Muon over a stack: every learning rate and decay is a vector over the replicas, all updates are in place.

AdamW: Loshchilov and Hutter 2019, decay decoupled. Muon: Jordan et al. 2024, Nesterov momentum made orthogonal by five
Newton-Schulz steps, batched over replicas and layers; scaled by 0.2 sqrt(max(rows, columns)) as Liu et al. 2025 do
(arXiv 2502.16982, section 2.2), so that it moves as far as AdamW and takes the same learning rate and decay. Muon is
for matrices; everything else is AdamW's.

Cost: AdamW 28 bytes of memory traffic a parameter and step where it is fused; Muon 20 and 15 small products a matrix.
"""

from dataclasses import dataclass

from corpusmill.mixtures.proxy.optional import torch

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


@dataclass(frozen=True)
class Knobs:
    """What changes from step to step, as tensors, so that a captured step reads it from memory."""

    rate_R: torch.Tensor
    decay_R: torch.Tensor  # weight decay x rate
    inverse_correction1: torch.Tensor  # 1 / (1 - beta1^step), no dimension
    inverse_correction2: torch.Tensor

    def copy_(self, other: "Knobs") -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name).copy_(getattr(other, name))


def adamw_update(
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    knobs: Knobs,
    *,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> torch.Tensor:
    """Moves the moments and gives the update, which has about the size of one in every entry."""
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = (second * knobs.inverse_correction2).sqrt_().add_(epsilon)
    return torch.div(first, spread, out=spread).mul_(knobs.inverse_correction1)


def muon_update(gradient: torch.Tensor, momentum: torch.Tensor) -> torch.Tensor:
    """Moves the momentum [R, L, rows, columns] and gives the update of the same shape."""
    momentum.lerp_(gradient, 1 - MOMENTUM)
    nesterov = gradient.lerp(momentum, MOMENTUM)
    size = 0.2 * max(gradient.shape[-2:]) ** 0.5
    return orthogonal(nesterov.flatten(0, -3)).reshape(gradient.shape).mul(size)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Each matrix [n, rows, columns] with its singular values brought near one (0.7 to 1.2); zeros stay zeros."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x: torch.Tensor = matrices if wide else matrices.mT
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    result: torch.Tensor = x if wide else x.mT
    return result
