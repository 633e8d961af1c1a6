"""An embedding of each document by a model of ours, for the gather `semantic`.

    - proxy_embedding: {model: runs/books/trains/main, tokenizer: runs/books/tokenizer/tokenizer.model}
    - semantic: {column: proxy_embedding, min_cosine: 0.95}

The mean over the document's first `max_tokens` tokens of the normed residual stream after the last layer, read in
windows of `sequence_length` as `proxy_bits` reads. A small model tells topics and wording apart, not meaning as a model
trained for it does. Slow on CPUs; needs the extra `proxy`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.mixtures.proxy.proxy_reading import ProxyReader, ReadingSettings, first_ids
from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Scratch

VECTOR: pa.DataType = pa.list_(pa.float32())


@dataclass(frozen=True, kw_only=True)
class ProxyEmbedding(ReadingSettings):
    """`proxy_embedding`: as many numbers as the model is wide; null for an empty text."""

    name: ClassVar[str] = "proxy_embedding"

    def __post_init__(self) -> None:
        if self.sequence_length < 1 or self.max_tokens < 1:
            raise RequestError("proxy_embedding: sequence_length and max_tokens are at least 1.")

    def adds(self) -> dict[str, pa.DataType]:
        return {"proxy_embedding": VECTOR}

    def open(self) -> "ProxyEmbeddingWorker":
        return ProxyEmbeddingWorker(self)


class ProxyEmbeddingWorker(ProxyReader):
    """Holds the model and its tokenizer."""

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.mixtures.proxy.evaluate import Window, batches
        from corpusmill.mixtures.proxy.optional import torch
        from corpusmill.mixtures.proxy.transformer import final_states

        settings = self.settings
        windows: list[Window] = []
        for row, text in enumerate(batch.column("text").to_pylist()):
            tokens = np.array(first_ids(self.processor, text or "", settings.max_tokens), dtype=np.int64)
            for start in range(0, len(tokens), settings.sequence_length):
                windows.append(Window(row, tokens[start : start + settings.sequence_length]))
        sums = np.zeros((batch.num_rows, self.shape.width))
        num_tokens = np.zeros(batch.num_rows, dtype=np.int64)
        for some in batches(windows, settings.batch_tokens):
            length = len(some[0].tokens)
            padded = np.zeros((1, len(some), length), dtype=np.int64)  # padding comes last: no token sees it
            for place, window in enumerate(some):
                padded[0, place, : len(window.tokens)] = window.tokens
            with torch.no_grad():
                states = final_states(self.parameters, self.shape, torch.from_numpy(padded))
            states_ntD = states.double().view(len(some), length, -1).numpy()
            for place, window in enumerate(some):
                sums[window.domain] += states_ntD[place, : len(window.tokens)].sum(axis=0)
                num_tokens[window.domain] += len(window.tokens)
        means = (sums / np.maximum(num_tokens, 1)[:, None]).astype(np.float32)
        rows = [mean if count else None for mean, count in zip(means, num_tokens, strict=True)]
        return {"proxy_embedding": pa.array(rows, VECTOR)}
