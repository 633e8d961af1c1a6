"""RMSNorm without a gain: x / sqrt(mean(x^2) + 1e-6) over the last dimension (Zhang and Sennrich 2019).

torch has a fused kernel on CUDA. On the CPU its version takes ten passes over memory forwards and backwards, ours five:
0.98 against 5.2 ms for 13 x 512 x 32 on one core, a quarter of a small proxy's whole step.
"""

from typing import Any, cast

from corpusmill.mixtures.proxy.optional import torch

EPSILON = 1e-6


def rms_norm(x: torch.Tensor) -> torch.Tensor:
    """Same shape and dtype as x."""
    if x.is_cuda or x.dtype == torch.bfloat16:
        return torch.nn.functional.rms_norm(x, (x.shape[-1],), eps=EPSILON)
    return cast("torch.Tensor", _RMSNorm.apply(x))  # type: ignore[no-untyped-call]  # torch's own


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        mean_square = torch.linalg.vecdot(x, x)[..., None].div_(x.shape[-1])
        scale = mean_square.add_(EPSILON).rsqrt_()
        y: torch.Tensor = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        """dx = scale * (dy - y mean(dy y))."""
        y, scale = ctx.saved_tensors
        mean = torch.linalg.vecdot(grads[0], y)[..., None].div_(-y.shape[-1])
        gradient: torch.Tensor = torch.addcmul(grads[0], y, mean).mul_(scale)
        return gradient
