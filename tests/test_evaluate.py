"""Bits per byte against a reading of one document at a time."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.evaluate import batches, bits_per_byte, windows
from corpusmill.mixtures.proxy.held_out import Domain
from corpusmill.mixtures.proxy.transformer import Shape, final_states, initial_parameters, logit_scale

SHAPE = Shape(vocab_size=17, width=8, num_layers=1, num_heads=2, ff_width=8)
END = 0


def domains() -> list[Domain]:
    generator = np.random.default_rng(0)
    made = []
    for name, lengths in (("long", [40, 25]), ("short", [1, 2, 9, 10, 11, 3])):
        documents = tuple(np.append(generator.integers(1, 17, length - 1), END) for length in lengths)
        made.append(Domain(name, documents, num_bytes=5 * sum(lengths)))
    return made


@pytest.mark.parametrize(("length", "batch_tokens"), [(10, 1), (10, 64), (10, 10_000), (64, 64), (64, 10_000)])
def test_every_token_is_counted_once_with_the_context_of_its_window(length: int, batch_tokens: int) -> None:
    parameters = initial_parameters(SHAPE, [1, 2, 3], torch.float64)
    parameters["bias"] += torch.linspace(-1, 1, 17, dtype=torch.float64)
    found = bits_per_byte(
        parameters, SHAPE, domains(), sequence_length=length, end_of_document=END, batch_tokens=batch_tokens
    )
    for r in range(3):
        one = {name: value[r : r + 1] for name, value in parameters.items()}
        for k, domain in enumerate(domains()):
            bits = 0.0
            for document in domain.documents:
                tokens = [END, *document.tolist()]
                for position in range(1, len(tokens)):
                    start = (position - 1) // length * length
                    states = final_states(one, SHAPE, torch.tensor([[tokens[start:position]]]))[0, -1]
                    logits = logit_scale(SHAPE) * one["embedding"][0] @ states + one["bias"][0]
                    bits -= float(logits.log_softmax(0)[tokens[position]]) / math.log(2)
            assert found[r, k] == pytest.approx(bits / domain.num_bytes, rel=1e-12)


@pytest.mark.parametrize("batch_tokens", [1, 40, 64, 10_000])
def test_batches_hold_every_window_with_little_padding(batch_tokens: int) -> None:
    all_windows = list(windows(domains(), 16, END))
    made = list(batches(all_windows, batch_tokens))
    assert sorted(id(window) for batch in made for window in batch) == sorted(id(window) for window in all_windows)
    for batch in made:
        longest = max(len(window.tokens) for window in batch)
        assert len(batch) == 1 or len(batch) * longest <= batch_tokens
        assert len(batch) * longest - sum(len(window.tokens) for window in batch) <= 0.1 * len(batch) * longest + 8
