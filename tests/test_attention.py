"""Attention inside documents: flex attention's blocks against the matrix, and both against a loop."""

import warnings

import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.attention import attention, document_mask


def inputs(num_kv_heads: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    query = torch.randn(4, 4, 40, 16, generator=generator, dtype=torch.float64)
    key, value = (torch.randn(4, num_kv_heads, 40, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    lengths = [[40], [1, 39], [7, 3, 30], [20, 20]]
    documents = torch.stack([torch.repeat_interleave(torch.arange(len(each)), torch.tensor(each)) for each in lengths])
    return query, key, value, documents.view(2, 2, 40)


@pytest.mark.parametrize("num_kv_heads", [4, 2])
def test_blocks_and_matrix_are_the_loop(num_kv_heads: int) -> None:
    query, key, value, documents = inputs(num_kv_heads)
    expected = torch.empty(4, 40, 4, 16, dtype=torch.float64)
    for b, h, t in ((b, h, t) for b in range(4) for h in range(4) for t in range(40)):
        seen = [u for u in range(t + 1) if documents.view(4, 40)[b, u] == documents.view(4, 40)[b, t]]
        shared = h * num_kv_heads // 4
        scores = torch.stack([query[b, h, t] @ key[b, shared, u] / 4 for u in seen]).softmax(0)
        expected[b, t, h] = torch.stack([s * value[b, shared, u] for s, u in zip(scores, seen, strict=True)]).sum(0)
    matrix = attention(query, key, value, document_mask(documents, blocks=False))
    torch.testing.assert_close(matrix, expected.flatten(2), atol=1e-12, rtol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says, once a process, that it is slow uncompiled
        blocks = attention(query, key, value, document_mask(documents, blocks=True))
    torch.testing.assert_close(blocks, expected.flatten(2), atol=1e-12, rtol=0)


def test_without_documents_it_is_causal() -> None:
    query, key, value, documents = inputs(4)
    one = document_mask(torch.zeros_like(documents), blocks=False)
    torch.testing.assert_close(
        attention(query, key, value, None), attention(query, key, value, one), atol=1e-12, rtol=0
    )
