"""What a tokenizer is and does: its card, and text to ids.

The card says which tokenizer it is by a hash of its content; ids of two tokenizers must never meet in one shard.
Text that spells a control token stays text: no engine here is ever asked to look for one.
"""

from collections.abc import Callable, Sequence
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


NO_END = -1
Room = Callable[[int], npt.NDArray[np.int32]]
"""Gives an array of so many ids to write into."""


def new_room(count: int) -> npt.NDArray[np.int32]:
    """An array of its own."""
    return np.empty(count, dtype=np.int32)


class Encoder(Protocol):
    card: TokenizerCard

    def encode(
        self, texts: Column, end: int = NO_END, room: Room = new_room
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Ids of all texts one after the other, each followed by `end` if one is given, and offsets [texts + 1].

        The ids are the first ones of what `room` gave.
        """

    def decode(self, ids: npt.NDArray[Any]) -> str:
        """The text of ids that hold no end of document."""

    def piece(self, token: int) -> str:
        """How one id is written in the vocabulary."""

    def spelled(self) -> list[bytes]:
        """By id, the bytes that it stands for in text; none for a control token."""

    def lossless(
        self, texts: Column, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Per text, whether its ids, with or without an end of document, decode to it byte for byte."""


def joined_lists(
    lists: Sequence[Sequence[int]], end: int, room: Room
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """What `Encoder.encode` gives, from a list of ids for each text."""
    extra = int(end != NO_END)
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(ids) + extra for ids in lists], out=offsets[1:])
    ids = room(int(offsets[-1]))[: offsets[-1]]
    for found, start, stop in zip(lists, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        ids[start : stop - extra] = found
    if extra:
        ids[offsets[1:] - 1] = end
    return ids, offsets
