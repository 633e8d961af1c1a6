"""What a tokenizer is and does: its card, and text to ids.

The card says which tokenizer it is by a hash of its content; ids of two tokenizers must never meet in one shard.
Text that spells a control token stays text: no engine here is ever asked to look for one.
"""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.document import Column

SMALL_VOCABULARY = 65_500
"""Below it ids take two bytes: Megatron's own threshold."""


@dataclass(frozen=True)
class TokenizerCard:
    """What a tokenizer is. `hash` covers the vocabulary, scores or merges, normaliser and special ids."""

    kind: str  # sentencepiece-bpe, sentencepiece-unigram, byte-level-bpe (a tokenizer.json), tiktoken
    hash: str
    vocab_size: int
    end_of_document: int
    path: str = "tokenizer/tokenizer.model"
    pattern: str = ""  # of a tiktoken file, which lacks it: the expression that splits text

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of stored ids, little-endian; ids stay below 2**31."""
        return np.dtype("<u2" if self.vocab_size < SMALL_VOCABULARY else "<u4")

    def as_json(self) -> dict[str, Any]:
        return {"format": 1, **asdict(self)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "TokenizerCard":
        names = ("kind", "hash", "vocab_size", "end_of_document", "path")
        return cls(**{name: body[name] for name in names}, pattern=body.get("pattern", ""))


class Encoder(Protocol):
    card: TokenizerCard

    def encode(self, texts: Column) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Ids of all texts one after the other, and offsets [texts + 1]; no end of document."""

    def decode(self, ids: npt.NDArray[Any]) -> str:
        """The text of ids that hold no end of document."""

    def piece(self, token: int) -> str:
        """How one id is written in the vocabulary."""

    def lossless(
        self, texts: Column, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Per text, whether its ids decode to it byte for byte."""
