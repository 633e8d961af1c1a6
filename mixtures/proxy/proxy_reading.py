"""A model of ours that reads documents: the settings and the loading that its measures share.

The model is the folder of a training (`corpusmill train`), its tokenizer the sentencepiece model of the run that it was
trained on. Documents are read from their beginning, in windows. Weights are safetensors, no pickle.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.stage import Kind, StageSettings


@dataclass(frozen=True, kw_only=True)
class ReadingSettings(StageSettings):
    """Which model, and how much of a document it reads."""

    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("torch", "safetensors", "sentencepiece")
    extra: ClassVar[str | None] = "proxy"

    model: Path  # the folder of a training: model.safetensors and result.json
    tokenizer: Path  # the sentencepiece model of its run
    sequence_length: int = 512
    max_tokens: int = 512  # of a document
    batch_tokens: int = 8192

    def files(self) -> tuple[Path, ...]:
        return (self.model / "model.safetensors", self.model / "result.json", self.tokenizer)


class ProxyReader:
    """Holds parameters [1, ...], their shape, and the tokenizer."""

    def __init__(self, settings: ReadingSettings) -> None:
        self.settings = settings
        self.parameters, self.shape, self.processor = open_proxy(settings.model, settings.tokenizer)


def first_ids(processor: Any, text: str, max_tokens: int) -> list[int]:
    """The first ids; of a long text only as much is encoded as they can need: a piece has at most 64 characters."""
    ids: list[int] = processor.EncodeAsIds(text[: 64 * max_tokens])
    return ids[:max_tokens]


def open_proxy(model: Path, tokenizer: Path) -> tuple[Any, Any, Any]:
    """Parameters [1, ...] and shape of a training, and the sentencepiece model of its run."""
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    except (RuntimeError, OSError) as error:
        raise RequestError(
            f"{tokenizer}: no sentencepiece model, and a proxy reads documents with no other. Train one on a run whose "
            "recipe says `tokenizer: {train: sentencepiece-bpe}`."
        ) from error
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
