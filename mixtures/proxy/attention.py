"""Causal attention, and attention that stays inside documents.

Without documents torch's scaled_dot_product_attention takes its flash kernel. With documents that kernel knows no mask:
on a GPU flex attention (Dong et al. 2024) does, and passes over blocks of keys that are of other documents; compiled it
is about as fast as flash. On a CPU the mask is a matrix, [R B, 1, T, T], which for proxies is small.

Shapes: R replicas, B sequences, T tokens, H heads, G key-value heads, K head width.
"""

from typing import TYPE_CHECKING, TypeAlias, Union

from corpusmill.mixtures.proxy.compilation import compiled
from corpusmill.mixtures.proxy.optional import torch

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

Mask: TypeAlias = Union[torch.Tensor, "BlockMask"]


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Mask | None) -> torch.Tensor:
    """[R B, H, T, K] and twice [R B, G, T, K] in, [R B, T, H K] out; causal."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    grouped = key.shape[1] != query.shape[1]
    if mask is None or isinstance(mask, torch.Tensor):
        attended = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped
        )
    else:
        from torch.nn.attention.flex_attention import flex_attention

        attended = flex_attention(query, key, value, block_mask=mask, enable_gqa=grouped)
    return attended.transpose(1, 2).flatten(2)


def document_mask(documents_RBT: torch.Tensor, *, blocks: bool) -> Mask:
    """Where a token may look: at itself and what came earlier in its own document.

    A matrix [R B, 1, T, T], true where it may; with `blocks` what flex attention takes.
    """
    documents_NT = documents_RBT.flatten(0, 1)
    if not blocks:
        same: torch.Tensor = documents_NT[:, None, :, None] == documents_NT[:, None, None, :]
        return same.tril()
    return block_mask(documents_NT)


def block_mask(documents_NT: torch.Tensor) -> "BlockMask":
    """The mask as flex attention takes it."""
    from torch.nn.attention.flex_attention import create_block_mask

    def may_look(sequence: torch.Tensor, head: torch.Tensor, token: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (token >= other) & (documents_NT[sequence, token] == documents_NT[sequence, other])

    number, length = documents_NT.shape
    make = compiled(create_block_mask) if documents_NT.is_cuda else create_block_mask
    return make(may_look, number, None, length, length, device=documents_NT.device)
