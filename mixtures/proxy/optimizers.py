"""AdamW and Muon over a stack: every learning rate and decay is a vector over the replicas, all updates are in place.

AdamW: Loshchilov and Hutter 2019, decay decoupled. Muon: Jordan et al. 2024, Nesterov momentum made orthogonal by five
Newton-Schulz steps, batched over replicas and layers; scaled by 0.2 sqrt(max(rows, columns)) as Liu et al. 2025 do
(arXiv 2502.16982, section 2.2), so that it moves as far as AdamW and takes the same learning rate and decay. Muon is
for matrices; everything else is AdamW's.

Cost: AdamW 28 bytes of memory traffic a parameter and step where it is fused (on a GPU: `move_adamw` compiled is one
kernel, clipping and decay in it); Muon 20 and 15 small products a matrix.
"""

from typing import NamedTuple

from corpusmill.mixtures.proxy.optional import torch

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Knobs(NamedTuple):
    """What changes from step to step, as tensors, so that a captured step reads it from memory."""

    rate_R: torch.Tensor
    decay_R: torch.Tensor  # weight decay x rate
    inverse_correction1: torch.Tensor  # 1 / (1 - beta1^step), no dimension
    inverse_correction2: torch.Tensor


def knobs_in(numbers: torch.Tensor, replicas: slice) -> Knobs:
    """Those of some replicas, as views of the step's numbers [2 R + 2]: rates, decays, the two corrections."""
    R = len(numbers) // 2 - 1
    return Knobs(numbers[:R][replicas], numbers[R : 2 * R][replicas], numbers[-2], numbers[-1])


def move_adamw(
    value: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    clip_R: torch.Tensor,
    knobs: Knobs,
    beta1: float,
    beta2: float,
    epsilon: float,
    rate_scale: float,
    decays: bool,
) -> None:
    """One step of one parameter [R, ...]: clip, move the moments, decay, move. `gradient` is used up."""
    gradient.mul_(like(clip_R, value))
    update = adamw_update(gradient, first, second, knobs, beta1=beta1, beta2=beta2, epsilon=epsilon)
    _apply(value, update, knobs, rate_scale, decays)


def move_muon(
    value: torch.Tensor,
    gradient: torch.Tensor,
    momentum: torch.Tensor,
    clip_R: torch.Tensor,
    knobs: Knobs,
    rate_scale: float,
    bfloat16: bool,
) -> None:
    """The same for a matrix of every layer, [R, L, rows, columns]."""
    gradient.mul_(like(clip_R, value))
    _apply(value, muon_update(gradient, momentum, bfloat16=bfloat16), knobs, rate_scale, decays=True)


def _apply(value: torch.Tensor, update: torch.Tensor, knobs: Knobs, rate_scale: float, decays: bool) -> None:
    if decays:
        value.mul_(1 - like(knobs.decay_R, value))
    value.sub_(update.mul_(like(knobs.rate_R * rate_scale, value)))


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


def muon_update(gradient: torch.Tensor, momentum: torch.Tensor, *, bfloat16: bool = False) -> torch.Tensor:
    """Moves the momentum [R, L, rows, columns] and gives the update of the same shape."""
    momentum.lerp_(gradient, 1 - MOMENTUM)
    nesterov = gradient.lerp(momentum, MOMENTUM)
    size = 0.2 * max(gradient.shape[-2:]) ** 0.5
    return orthogonal(nesterov.flatten(0, -3), bfloat16=bfloat16).reshape(gradient.shape).mul(size)


def orthogonal(matrices: torch.Tensor, *, bfloat16: bool = False) -> torch.Tensor:
    """Each matrix [n, rows, columns] with its singular values brought near one (0.7 to 1.2); zeros stay zeros.

    The iteration forgives rounding, so a GPU does it in bfloat16.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x: torch.Tensor = matrices if wide else matrices.mT
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    if bfloat16:
        x = x.bfloat16()
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    result: torch.Tensor = x if wide else x.mT
    return result.to(matrices.dtype)


def like(vector_R: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A vector [R] with as many dimensions as `value`."""
    return vector_R.view(-1, *[1] * (value.dim() - 1))
