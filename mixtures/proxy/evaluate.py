"""Bits per byte of whole held-out documents, for every model of a stack at once.

A document's bits are the summed -log2 likelihood of its tokens and its end token; its first token is predicted from
the end token before it, as in training. Divided by the UTF-8 bytes of its normalised text, so models with different
tokenizers compare. A document longer than the models' sequence length T is read in windows of T that start afresh:
tokens early in a window have less context than they could have, alike for every model.

Windows are sorted by length and padded within a batch; padding comes last, where no causal model sees it.

Shapes: R replicas, n windows, t tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy import transformer
from corpusmill.mixtures.proxy.cross_entropy import token_losses
from corpusmill.mixtures.proxy.held_out import Domain
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.transformer import Parameters, Shape

MAX_PADDING = 0.1  # of a batch


@dataclass(frozen=True)
class Window:
    """Part of a document: tokens [t + 1], the first of them only context."""

    domain: int
    tokens: npt.NDArray[np.int64]


def bits_per_byte(
    parameters: Parameters,
    shape: Shape,
    domains: Sequence[Domain],
    *,
    sequence_length: int,
    end_of_document: int,
    batch_tokens: int = 4096,
    bfloat16: bool = False,
) -> npt.NDArray[np.float64]:
    """Bits per byte [R, K] of each model on each of K domains. `batch_tokens` bounds the tokens read at once."""
    bits_RK: npt.NDArray[np.float64] = summed_bits(
        parameters,
        shape,
        list(windows(domains, sequence_length, end_of_document)),
        num_domains=len(domains),
        batch_tokens=batch_tokens,
        bfloat16=bfloat16,
    )
    num_bytes_K = np.array([domain.num_bytes for domain in domains], dtype=np.float64)
    return np.asarray(bits_RK / num_bytes_K)


def windows(domains: Sequence[Domain], sequence_length: int, end_of_document: int) -> Iterator[Window]:
    """Every document of every domain in windows of at most `sequence_length` targets; each token is a target once."""
    for index, domain in enumerate(domains):
        for document in domain.documents:
            tokens = np.concatenate([[end_of_document], document])
            for start in range(0, len(document), sequence_length):
                yield Window(index, tokens[start : start + sequence_length + 1])


def summed_bits(
    parameters: Parameters,
    shape: Shape,
    windows: Sequence[Window],
    *,
    num_domains: int,
    batch_tokens: int,
    bfloat16: bool = False,
) -> npt.NDArray[np.float64]:
    """Summed -log2 likelihood [R, K] of the windows' targets, by domain."""
    embedding = parameters["embedding"]
    R, device = len(embedding), embedding.device
    bits_RK = np.zeros((R, num_domains))
    for batch in batches(windows, batch_tokens):
        length = max(len(window.tokens) for window in batch) - 1
        padded = np.zeros((len(batch), length + 1), dtype=np.int64)
        for row, window in enumerate(batch):
            padded[row, : len(window.tokens)] = window.tokens
        tokens = torch.from_numpy(padded).to(device).expand(R, *padded.shape)
        with torch.no_grad():
            states = transformer.final_states(parameters, shape, tokens[..., :-1], bfloat16=bfloat16)
        weight = transformer.head_weight(parameters, shape).to(states.dtype)
        targets, scale = tokens[..., 1:].flatten(1), transformer.logit_scale(shape)
        losses = token_losses(states, weight, parameters["bias"], targets, scale=scale)
        losses_Rnt = losses.double().view(R, len(batch), length).cpu().numpy()
        for row, window in enumerate(batch):
            nats_R = losses_Rnt[:, row, : len(window.tokens) - 1].sum(axis=1)
            bits_RK[:, window.domain] += nats_R / np.log(2)
    return bits_RK


def batches(windows: Sequence[Window], batch_tokens: int) -> Iterator[list[Window]]:
    """Windows of about one length together: at most `batch_tokens` padded tokens, of which a tenth is padding."""
    batch: list[Window] = []
    num_tokens = 0
    for window in sorted(windows, key=lambda window: -len(window.tokens)):
        longest = len(batch[0].tokens) if batch else len(window.tokens)
        size = (len(batch) + 1) * longest
        too_padded = size - num_tokens - len(window.tokens) > MAX_PADDING * size + 8
        if batch and (size > batch_tokens or too_padded):
            yield batch
            batch, num_tokens = [], 0
        batch.append(window)
        num_tokens += len(window.tokens)
    if batch:
        yield batch
