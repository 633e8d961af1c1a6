"""Cross-entropy of a vocabulary head without ever holding all logits.

The head, the softmax and their gradient are done for one chunk of tokens after the other, the idea of Cut
Cross-Entropy (Wijmans et al. 2024): a chunk's logits [r, n, V] are turned into its part of the gradients and dropped.
So the memory is `CHUNK_LOGITS` numbers instead of R N V, and on a CPU they stay in its cache. The gradients are made in
the forward pass and only scaled in the backward pass, since the loss is the last thing that a step computes. On a GPU
the softmax and its gradient are one compiled kernel over a chunk (`softmax_gradient`), which writes the gradient over
the logits; small chunks stay in the GPU's second cache between it and the products.

Shapes: R replicas, N tokens, D width, V vocabulary.
"""

from collections.abc import Iterator
from typing import Any, cast

from corpusmill.mixtures.proxy.compilation import compiled
from corpusmill.mixtures.proxy.optional import torch

CHUNK_LOGITS = {"cpu": 1 << 18, "cuda": 1 << 24}
"""CPU: 1 MiB of float32 stays in a core's second cache. GPU: 32 MiB of bfloat16, of 50 MB on an H100: a guess."""


def cross_entropy(
    states_RND: torch.Tensor,
    weight_RVD: torch.Tensor,
    bias_RV: torch.Tensor,
    targets_RN: torch.Tensor,
    weights_RN: torch.Tensor,
    *,
    scale: float,
    fuse: bool = False,
) -> torch.Tensor:
    """Each replica's loss [R] in nats: sum over tokens of weight * -log softmax(scale * W h + b)[target].

    A token of weight 0 counts nothing, but its target must be in the vocabulary.
    """
    inputs = (states_RND, weight_RVD, bias_RV, targets_RN, weights_RN, scale, fuse)
    return cast("torch.Tensor", _ChunkedCrossEntropy.apply(*inputs))  # type: ignore[no-untyped-call]  # torch's own


def token_losses(
    states_RND: torch.Tensor, weight_RVD: torch.Tensor, bias_RV: torch.Tensor, targets_RN: torch.Tensor, *, scale: float
) -> torch.Tensor:
    """Each token's loss [R, N] in nats, without gradients."""
    losses_RN = states_RND.new_empty(targets_RN.shape, dtype=at_least_float32(states_RND.dtype))
    with torch.no_grad():
        for r, n in chunks(states_RND, weight_RVD):
            logits = chunk_logits(states_RND[r, n] * scale, weight_RVD[r], bias_RV[r])
            shifted = logits.sub_(logits.amax(-1, keepdim=True))
            picked = shifted.gather(-1, targets_RN[r, n, None])[..., 0]
            losses_RN[r, n] = shifted.exp_().sum(-1).log_().sub_(picked)
    return losses_RN


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states_RND: torch.Tensor,
        weight_RVD: torch.Tensor,
        bias_RV: torch.Tensor,
        targets_RN: torch.Tensor,
        weights_RN: torch.Tensor,
        scale: float,
        fuse: bool,
    ) -> torch.Tensor:
        wide = at_least_float32(states_RND.dtype)
        losses_R = states_RND.new_zeros(len(states_RND), dtype=torch.float64)
        d_states = torch.empty_like(states_RND)
        d_weight = torch.zeros_like(weight_RVD, dtype=wide)
        d_bias = torch.zeros_like(bias_RV, dtype=wide)
        turn = compiled(softmax_gradient) if fuse else softmax_gradient_by_passes
        for r, n in chunks(states_RND, weight_RVD):
            weight, states = weight_RVD[r], states_RND[r, n] * scale
            product = states @ weight.transpose(1, 2)
            losses, d_logits, d_bias_part = turn(product, bias_RV[r], targets_RN[r, n, None], weights_RN[r, n, None])
            losses_R[r] += losses
            d_bias[r] += d_bias_part
            d_states[r, n] = d_logits @ weight * scale
            d_weight[r] += (d_logits.transpose(1, 2) @ states).to(wide)
        ctx.save_for_backward(d_states, d_weight.to(weight_RVD.dtype), d_bias.to(bias_RV.dtype))
        return losses_R.to(wide)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d_states, d_weight, d_bias = ctx.saved_tensors
        grad_R11 = grads[0][:, None, None]
        by = (grad_R11.to(d_states.dtype), grad_R11.to(d_weight.dtype), grads[0][:, None].to(d_bias.dtype))
        return d_states * by[0], d_weight * by[1], d_bias * by[2], None, None, None, None


def softmax_gradient(
    product: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Summed losses [r], the gradient of the logits [r, n, V], and its sum over tokens [r, V]: to be compiled.

    `product` is the logits without their bias; the gradient takes its place. No scatter, so that it is deterministic.
    """
    logits = product.to(at_least_float32(product.dtype)) + bias[:, None]
    log_total = logits.logsumexp(-1, keepdim=True)
    hit = torch.arange(logits.shape[-1], device=logits.device) == targets
    picked = torch.where(hit, logits, 0.0).sum(-1, keepdim=True)
    losses = ((log_total - picked) * weights).flatten(1).sum(1, dtype=torch.float64)
    d_logits = (logits - log_total).exp() * weights - torch.where(hit, weights, 0.0)
    d_bias = d_logits.sum(1)
    product.copy_(d_logits)
    return losses, product, d_bias


def softmax_gradient_by_passes(
    product: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same without a compiler: in place, as few passes as there can be."""
    logits = product.to(at_least_float32(product.dtype)).add_(bias[:, None])
    shifted = logits.sub_(logits.amax(-1, keepdim=True))
    picked = shifted.gather(-1, targets)
    powers = shifted.exp_()
    total = powers.sum(-1, keepdim=True)
    losses = ((total.log() - picked) * weights).flatten(1).sum(1, dtype=torch.float64)
    d_logits = powers.mul_(weights / total).scatter_add_(-1, targets, -weights)
    return losses, d_logits.to(product.dtype), d_logits.sum(1)


def chunk_logits(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """[r, n, V] in at least float32: the softmax of a wide vocabulary loses its small terms in bfloat16."""
    product = states @ weight.transpose(1, 2)
    return product.to(at_least_float32(product.dtype)).add_(bias[:, None])


def chunks(states_RND: torch.Tensor, weight_RVD: torch.Tensor) -> Iterator[tuple[slice, slice]]:
    """(replicas, tokens) of each chunk: some replicas with all their tokens, or some tokens of one replica."""
    (R, N, _), V = states_RND.shape, weight_RVD.shape[1]
    most = CHUNK_LOGITS["cuda" if states_RND.is_cuda else "cpu"]
    num_replicas = max(1, min(R, most // (N * V)))
    num_tokens = min(N, max(1, most // V))
    for r in range(0, R, num_replicas):
        for n in range(0, N, num_tokens):
            yield slice(r, r + num_replicas), slice(n, n + num_tokens)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
