"""Bits per byte of each document under a model of ours: perplexity as a measure of a recipe.

    - proxy_bits: {model: runs/books/trains/main, tokenizer: runs/books/tokenizer/tokenizer.model}

A model trained on a reference corpus (`corpusmill train`) gives few bits to text like it: too many bits are noise or
another kind of text, very few are boilerplate. Per byte and not per token, so that models with different tokenizers
compare; 2^(bits per byte * bytes per token) is the perplexity. The first `max_tokens` of a document are read, in
windows of `sequence_length`. Slow on CPUs: for samples. Needs the extra `proxy`. Weights are safetensors, no pickle. It
lies in `mixtures/` because it is a proxy that measures.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold


@dataclass(frozen=True, kw_only=True)
class ProxyBits(StageSettings):
    """`proxy_bits_per_byte` of the part of the document that was read; null for an empty text."""

    name: ClassVar[str] = "proxy_bits"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("torch", "safetensors", "sentencepiece")
    extra: ClassVar[str | None] = "proxy"

    model: Path  # the folder of a training: model.safetensors and result.json
    tokenizer: Path  # the sentencepiece model of its run
    sequence_length: int = 512
    max_tokens: int = 2048  # of a document
    batch_tokens: int = 8192
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

    def files(self) -> tuple[Path, ...]:
        return (self.model / "model.safetensors", self.model / "result.json", self.tokenizer)

    def open(self) -> "ProxyBitsWorker":
        return ProxyBitsWorker(self, *open_proxy(self.model, self.tokenizer))


class ProxyBitsWorker:
    """Holds parameters [1, ...], their shape, and the tokenizer."""

    def __init__(self, settings: ProxyBits, parameters: Any, shape: Any, processor: Any) -> None:
        self.settings, self.parameters, self.shape, self.processor = settings, parameters, shape, processor

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


def first_ids(processor: Any, text: str, max_tokens: int) -> list[int]:
    """The first ids; of a long text only as much is encoded as they can need: a piece has at most 64 characters."""
    ids: list[int] = processor.EncodeAsIds(text[: 64 * max_tokens])
    return ids[:max_tokens]


def open_proxy(model: Path, tokenizer: Path) -> tuple[Any, Any, Any]:
    """Parameters [1, ...] and shape of a training, and the sentencepiece model of its run."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    parameters, shape = load_model(model)
    if processor.GetPieceSize() > shape.vocab_size:
        raise RequestError(
            f"{tokenizer}: has {processor.GetPieceSize()} pieces, the model {model} knows {shape.vocab_size}. "
            "Give the tokenizer of its run."
        )
    return parameters, shape, processor


def load_model(folder: Path) -> tuple[Any, Any]:
    """Parameters [1, ...] and shape of a training's folder. DamagedFileError where it is none."""
    from corpusmill.mixtures.proxy.transformer import shape_of

    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        size = json.loads((folder / "result.json").read_text(encoding="utf-8"))["size"]
        parameters = load_file(folder / "model.safetensors")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DamagedFileError(f"{folder}: holds no trained model: {error!r}. Train one: corpusmill train") from error
    found = {name: tuple(value.shape[1:]) for name, value in parameters.items()}
    vocab_size = found["embedding"][0]
    for num_kv_heads in (0, 1, 2, 4, 8):
        for tied in (True, False):
            try:
                shape = shape_of(size, vocab_size, num_kv_heads, tied)
            except RequestError:
                continue
            if shape.parameter_shapes() == found:
                return parameters, shape
    raise DamagedFileError(f"{folder}: its weights are not of size {size}. Train the model again: corpusmill train")
