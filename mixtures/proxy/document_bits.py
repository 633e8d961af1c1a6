"""Bits per byte of each document under a model of ours: perplexity as a measure of a recipe.

    - proxy_bits: {model: runs/books/trains/main, tokenizer: runs/books/tokenizer/tokenizer.model}

A model trained on a reference corpus (`corpusmill train`) gives few bits to text like it: too many bits are noise or
another kind of text, very few are boilerplate. Per byte and not per token, so that models with different tokenizers
compare; 2^(bits per byte * bytes per token) is the perplexity. The first `max_tokens` of a document are read, in
windows of `sequence_length`. Slow on CPUs: for samples. Needs the extra `proxy`. Weights are safetensors, no pickle. It
lies in `mixtures/` because it is a proxy that measures.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.mixtures.proxy.proxy_reading import ProxyReader, ReadingSettings, first_ids
from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule, Scratch, threshold


@dataclass(frozen=True, kw_only=True)
class ProxyBits(ReadingSettings):
    """`proxy_bits_per_byte` of the part of the document that was read; null for an empty text."""

    name: ClassVar[str] = "proxy_bits"

    max_tokens: int = 2048  # of a document
    max_bits: float | None = threshold(None)
    min_bits: float | None = threshold(None)

    def __post_init__(self) -> None:
        if self.sequence_length < 2 or self.max_tokens < 1:
            raise RequestError("proxy_bits: sequence_length is at least 2, max_tokens at least 1.")

    def adds(self) -> dict[str, pa.DataType]:
        return {"proxy_bits_per_byte": pa.float32()}

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.max_bits is not None:
            made.append(Rule("proxy_bits.too_many", value=("proxy_bits_per_byte",), op=">", limit=self.max_bits))
        if self.min_bits is not None:
            made.append(Rule("proxy_bits.too_few", value=("proxy_bits_per_byte",), op="<", limit=self.min_bits))
        return tuple(made)

    def open(self) -> "ProxyBitsWorker":
        return ProxyBitsWorker(self)


class ProxyBitsWorker(ProxyReader):
    """Holds the model and its tokenizer."""

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.mixtures.proxy.evaluate import Window, summed_bits

        end = self.processor.eos_id()
        windows: list[Window] = []
        num_bytes = np.zeros(batch.num_rows, dtype=np.int64)
        for row, text in enumerate(batch.column("text").to_pylist()):
            ids = first_ids(self.processor, text or "", self.settings.max_tokens)
            num_bytes[row] = len(self._read(text or "", ids).encode())
            tokens = np.array([end, *ids], dtype=np.int64)
            for start in range(0, len(ids), self.settings.sequence_length):
                windows.append(Window(row, tokens[start : start + self.settings.sequence_length + 1]))
        bits = np.zeros(batch.num_rows)
        if windows:
            given = (self.parameters, self.shape, windows)
            bits = summed_bits(*given, num_domains=batch.num_rows, batch_tokens=self.settings.batch_tokens)[0]
        made = (bits / np.maximum(num_bytes, 1)).astype(np.float32)
        return {"proxy_bits_per_byte": pa.array(made, mask=num_bytes == 0)}

    def _read(self, text: str, ids: list[int]) -> str:
        """The part of the text that the ids spell."""
        return text if len(ids) < self.settings.max_tokens else str(self.processor.DecodeIds(ids))
