"""Documents in a batch, by hand and against a loop; and the proof that nothing leaks between them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.mixtures.segments import (
    IGNORED,
    cu_seqlens,
    document_numbers,
    document_positions,
    mask_across_documents,
)

END = 0


def test_by_hand() -> None:
    inputs = np.array([[5, 6, END, 7, END, END], [END, 8, 9, 9, 9, 9]])
    assert document_numbers(inputs, END).tolist() == [[0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 1, 1]]
    assert document_positions(inputs, END).tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 3, 4]]
    bounds = cu_seqlens(inputs, END)
    assert bounds.tolist() == [0, 3, 5, 6, 7, 12]
    assert bounds.dtype == np.int32
    targets = np.array([[6, END, 7, END, END, 1], [8, 9, 9, 9, 9, 9]])
    mask_across_documents(inputs, targets, END)
    assert targets.tolist() == [[6, END, IGNORED, END, IGNORED, IGNORED], [IGNORED, 9, 9, 9, 9, 9]]


@given(st.lists(st.lists(st.integers(0, 2), min_size=7, max_size=7), min_size=1, max_size=4))
def test_against_a_plain_loop(rows: list[list[int]]) -> None:
    inputs = np.array(rows)
    numbers, positions, bounds = [], [], [0]
    for row in rows:
        number = position = 0
        for place, _ in enumerate(row):
            if place and row[place - 1] == END:
                number, position = number + 1, 0
            numbers.append(number)
            positions.append(position)
            position += 1
            if position == 1 and len(numbers) > 1:
                bounds.append(len(numbers) - 1)
    assert document_numbers(inputs, END).ravel().tolist() == numbers
    assert document_positions(inputs, END).ravel().tolist() == positions
    assert cu_seqlens(inputs, END).tolist() == [*bounds, len(numbers)]


@pytest.mark.parametrize("mask_documents", [True, False])
def test_no_gradient_crosses_a_document(mask_documents: bool) -> None:
    # One attention layer: the loss on the second document must not depend on the embeddings of the first.
    torch.manual_seed(0)
    inputs = np.array([4, 5, 6, END, 7, 8, 9])
    targets = np.array([5, 6, END, 7, 8, 9, 3])
    mask_across_documents(inputs, targets, END)
    embedded_TD = torch.randn(7, 16, requires_grad=True)
    allowed_TT = torch.ones(7, 7).tril().bool()
    if mask_documents:
        number = torch.from_numpy(document_numbers(inputs, END))
        allowed_TT &= number[:, None] == number[None, :]
    out_TD = torch.nn.functional.scaled_dot_product_attention(
        embedded_TD[None], embedded_TD[None], embedded_TD[None], attn_mask=allowed_TT[None]
    )[0]
    logits_TV = out_TD @ torch.randn(16, 10)
    losses_T = torch.nn.functional.cross_entropy(logits_TV, torch.from_numpy(targets), reduction="none")
    assert float(losses_T[3].detach()) == 0  # the end id predicts nothing
    (gradient,) = torch.autograd.grad(losses_T[4:].sum(), embedded_TD)
    leaks = bool((gradient[:4] != 0).any())
    assert leaks == (not mask_documents)
