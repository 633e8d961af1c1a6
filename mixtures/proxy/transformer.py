"""A decoder-only transformer, R of them at once: every parameter leads with a replica dimension.

For each replica, with x the residual stream and u the normed input of a branch:

    x   = rmsnorm(E[token])
    x  += s * W_o attention(g * rotary(rmsnorm(W_q u)), rotary(rmsnorm(W_k u)), W_v u)     u = rmsnorm(x)
    x  += s * W_d (silu(W_g u) * W_u u)                                                    u = rmsnorm(x)
    logits = m * E rmsnorm(x) + b

Pre-norm with RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021, halves rotated against each other),
SwiGLU (Shazeer 2020), QK norm (Dehghani et al. 2023), grouped heads (Ainslie et al. 2023) where `num_kv_heads` is set.
We depart in three places: norms have no gains (the next matrix can absorb them; only the sharpness g of attention is
learned, a number per head); the embedding is normed at once, so its scale is free to serve the head that shares it;
the head has a bias, which training starts at the log frequencies of the tokens (`StackedTraining.start_at_unigram`):
a model of 100 thousand tokens need not spend them on learning which tokens are frequent.

One learning rate serves all widths and depths, as in muP (Yang et al. 2022) and CompleteP (Dey et al. 2025):
m = 64 / D, s = 2 / L, matrices start with variance 1 / fan-in, and their learning rate carries 64 / D.

Shapes: R replicas, B sequences, T tokens, N = B T, D width, H heads, G key-value heads, K head width, F feed-forward
width, L layers, V vocabulary. Cost: `Shape.flops_per_token`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy.attention import Mask, attention, document_mask
from corpusmill.mixtures.proxy.compilation import compiled
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.rms_norm import rms_norm
from corpusmill.pipeline.errors import RequestError

Tensor: TypeAlias = torch.Tensor
Parameters: TypeAlias = dict[str, Tensor]

BASE_WIDTH = 64
BASE_LAYERS = 2
ROTARY_BASE = 10_000.0
EMBEDDING_STD = 0.05  # times m |rmsnorm(x)|, so logits start with a standard deviation of 0.4 at any width below 64


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of one model."""

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    ff_width: int
    num_kv_heads: int = 0  # 0: as many as num_heads
    tied: bool = True  # the head shares the embedding

    def __post_init__(self) -> None:
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise RequestError(
                f"size: width {self.width} over {self.num_heads} heads is not an even number each; choose another."
            )
        if self.num_kv_heads and self.num_heads % self.num_kv_heads:
            raise RequestError(f"size: {self.num_heads} heads cannot share {self.num_kv_heads} key-value heads evenly.")

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads

    @property
    def kv_heads(self) -> int:
        return self.num_kv_heads or self.num_heads

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Each parameter of one replica, in the order in which they are drawn."""
        vocab, width, layers, ff, head = self.vocab_size, self.width, self.num_layers, self.ff_width, self.head_width
        shapes: dict[str, tuple[int, ...]] = {
            "embedding": (vocab, width),
            "query": (layers, width, self.num_heads * head),
            "key": (layers, width, self.kv_heads * head),
            "value": (layers, width, self.kv_heads * head),
            "attention_out": (layers, self.num_heads * head, width),
            "gate": (layers, width, ff),
            "up": (layers, width, ff),
            "down": (layers, ff, width),
            "sharpness": (layers, self.num_heads),
            "bias": (vocab,),
        }
        return shapes if self.tied else {**shapes, "head": (vocab, width)}

    @property
    def num_parameters(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.parameter_shapes().values())

    def flops_per_token(self, sequence_length: int) -> int:
        """Forward and backward: 6 a weight that multiplies, the head among them, and causal attention (half of T)."""
        matrices = sum(int(np.prod(s)) for n, s in self.parameter_shapes().items() if n in MATRICES)
        attention = self.num_layers * self.num_heads * self.head_width * sequence_length
        return 6 * (matrices + self.vocab_size * self.width + attention)


MATRICES = ("query", "key", "value", "attention_out", "gate", "up", "down")

# name: (width, layers, heads, feed-forward width); named by the weights of their matrices, without embedding and head,
# but 124M and 350M, which count a tied embedding of 50 thousand as GPT-2 did.
SIZES: dict[str, tuple[int, int, int, int]] = {
    "30k": (32, 2, 2, 96),
    "100k": (64, 2, 4, 176),
    "400k": (128, 2, 4, 352),
    "1M": (256, 2, 4, 512),
    "4M": (256, 4, 4, 768),
    "10M": (384, 6, 6, 1024),
    "30M": (512, 9, 8, 1408),
    "60M": (640, 12, 10, 1728),
    "124M": (768, 12, 12, 2048),
    "300M": (1024, 24, 16, 2816),
    "350M": (1024, 24, 16, 2688),
}


def shape_of(size: str, vocab_size: int, num_kv_heads: int = 0, tied: bool = True) -> Shape:
    """A named size for a vocabulary. Raises RequestError for a name that is none."""
    if size not in SIZES:
        raise RequestError(f"size {size!r}: unknown. One of {', '.join(SIZES)}.")
    width, num_layers, num_heads, ff_width = SIZES[size]
    return Shape(
        vocab_size=vocab_size,
        width=width,
        num_layers=num_layers,
        num_heads=num_heads,
        ff_width=ff_width,
        num_kv_heads=num_kv_heads,
        tied=tied,
    )


def initial_parameters(shape: Shape, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> Parameters:
    """Parameters [R, ...] on the CPU. A replica's depend on its own seed alone: equal seeds start as equal models."""
    drawn = {seed: list(_draw(shape, seed)) for seed in set(seeds)}
    return {
        name: torch.stack([drawn[seed][number] for seed in seeds]).to(dtype)
        for number, name in enumerate(shape.parameter_shapes())
    }


def _draw(shape: Shape, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for name, size in shape.parameter_shapes().items():
        if name == "sharpness":
            yield torch.ones(size)
        elif name == "bias":
            yield torch.zeros(size)
        else:
            std = size[-2] ** -0.5 if name in MATRICES else EMBEDDING_STD
            yield torch.randn(size, generator=generator) * std


def learning_rate_scale(shape: Shape, name: str, optimizer: str = "adamw") -> float:
    """What a parameter's learning rate is multiplied by, so that one rate serves every width and depth.

    Adam moves every entry of a matrix alike, and entries that agree add up over the width; Muon's entries have the same
    size but its update all singular values alike, so they add up over the width's square root (Bernstein 2025).
    """
    if name not in MATRICES:
        return 1.0
    return float((BASE_WIDTH / shape.width) ** (0.5 if optimizer == "muon" else 1.0))


def decays(name: str) -> bool:
    """Weight decay is for matrices: not for sharpness, the bias, nor an embedding."""
    return name in MATRICES


def final_states(
    parameters: Parameters,
    shape: Shape,
    tokens_RBT: Tensor,
    documents_RBT: Tensor | None = None,
    *,
    bfloat16: bool = False,
    fuse: bool = False,
) -> Tensor:
    """The normed residual stream after the last layer, [R, N, D]; multiply by `head_weight` for logits.

    With `documents_RBT` (any numbers that differ between neighbouring documents) no token attends across documents.
    `bfloat16`: the stream and the products are, the weights are rounded on the way. `fuse`: compiled.
    """
    embedding = parameters["embedding"]
    dtype = torch.bfloat16 if bfloat16 else embedding.dtype
    cos_TK, sin_TK = rotary_angles(tokens_RBT.shape[2], shape.head_width, dtype, embedding.device)
    mask = None if documents_RBT is None else document_mask(documents_RBT, blocks=fuse and tokens_RBT.is_cuda)
    stream = compiled(residual_stream) if fuse else residual_stream
    return stream(parameters, shape, tokens_RBT, cos_TK, sin_TK, mask, dtype)


def residual_stream(
    parameters: Parameters,
    shape: Shape,
    tokens_RBT: Tensor,
    cos_TK: Tensor,
    sin_TK: Tensor,
    mask: Mask | None,
    dtype: torch.dtype,
) -> Tensor:
    """The layers, as at the head of this file."""
    R, B, T = tokens_RBT.shape
    scale = BASE_LAYERS / shape.num_layers
    x = rms_norm(look_up(parameters["embedding"], tokens_RBT.reshape(R, B * T)).to(dtype))
    for layer in layers(parameters, dtype):
        u = rms_norm(x)
        query = heads(u @ layer["query"], T, shape.num_heads)
        key = heads(u @ layer["key"], T, shape.kv_heads)
        value = heads(u @ layer["value"], T, shape.kv_heads)
        query = rotate(rms_norm(query), cos_TK, sin_TK) * per_sequence(layer["sharpness"], B)
        key = rotate(rms_norm(key), cos_TK, sin_TK)
        attended = attention(query, key, value, mask).reshape(R, B * T, -1)
        x = x + attended @ (scale * layer["attention_out"])  # scaling the small side of the product is free
        u = rms_norm(x)
        x = x + (silu(u @ layer["gate"]) * (u @ layer["up"])) @ (scale * layer["down"])
    return rms_norm(x)


def head_weight(parameters: Parameters, shape: Shape) -> Tensor:
    """[R, V, D], the multiplier m included by whoever uses it (`logit_scale`)."""
    return parameters["embedding" if shape.tied else "head"]


def logit_scale(shape: Shape) -> float:
    return BASE_WIDTH / shape.width


def layers(parameters: Parameters, dtype: torch.dtype) -> Iterator[Parameters]:
    """Each layer's parameters [R, ...], in order, in the type to compute in."""
    names = (*MATRICES, "sharpness")
    for tensors in zip(*(parameters[name].to(dtype).unbind(1) for name in names), strict=True):
        yield dict(zip(names, tensors, strict=True))


silu = torch.nn.functional.silu


def look_up(embedding_RVD: Tensor, tokens_RN: Tensor) -> Tensor:
    """[R, N, D]: one gather over the R vocabularies laid end to end."""
    R, V, D = embedding_RVD.shape
    offsets = torch.arange(R, device=tokens_RN.device)[:, None] * V
    return torch.nn.functional.embedding(tokens_RN + offsets, embedding_RVD.reshape(R * V, D))


def heads(x_RNE: Tensor, T: int, num_heads: int) -> Tensor:
    """[R, N, H K] as [R B, H, T, K], which is how attention wants it."""
    return x_RNE.reshape(-1, T, num_heads, x_RNE.shape[-1] // num_heads).transpose(1, 2)


def per_sequence(sharpness_RH: Tensor, B: int) -> Tensor:
    """[R B, H, 1, 1]: each replica's numbers for each of its sequences."""
    R, H = sharpness_RH.shape
    return sharpness_RH[:, None].expand(R, B, H).reshape(R * B, H, 1, 1)


def rotary_angles(T: int, head_width: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, K / 2] of position * base^(-2 i / K), computed in float64, kept for the next step."""
    cos, sin = _rotary_angles(1 << (T - 1).bit_length(), head_width, dtype, device)
    return cos[:T], sin[:T]


@cache  # never dropped: a captured step reads them. Evaluation has windows of every length, so powers of two.
def _rotary_angles(T: int, head_width: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    rates = ROTARY_BASE ** (-np.arange(0, head_width, 2) / head_width)
    angles: npt.NDArray[np.float64] = np.outer(np.arange(T), rates)
    return torch.from_numpy(np.cos(angles)).to(device, dtype), torch.from_numpy(np.sin(angles)).to(device, dtype)


def rotate(x: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
    """Rotary positions: each pair (x_i, x_{i + K/2}) turned by its angle."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos_TK - right * sin_TK, left * sin_TK + right * cos_TK), dim=-1)
