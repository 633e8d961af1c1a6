"""What a byte-level BPE tokenizer is, from whichever file it came, and its own library behind one face.

`tokenizer.json` (HF tokenizers) and rank files (tiktoken) say the same: a split pattern, ids of the 256 bytes, merges
in order. They differ in what is found before merging: added tokens, a normaliser, a pretoken that is a token itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.document import Column
from corpusmill.stages.tokens.encoder import NO_END, Room, TokenizerCard, joined_lists, new_room


@dataclass(frozen=True)
class AddedToken:
    """Text that is one token wherever it stands; a control token's text stays text."""

    text: str
    id: int
    control: bool
    before_normalizing: bool = False  # it is looked for in the text as it is given


@dataclass(frozen=True)
class ByteLevelModel:
    """A tokenizer of this kind. `left`, `right`, `results` [merges] are ids, best merge first."""

    tokens: list[bytes]  # by id; empty where an id has no token
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    results: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int64]  # [merges]
    pattern: str
    whole_tokens: bool  # a pretoken that is a token is that token, whatever merges make of it
    added: tuple[AddedToken, ...] = ()
    normalize: Callable[[str], str] | None = None
    changed_by_normalizing: Callable[[], npt.NDArray[np.bool_]] | None = None
    """[code points] those that can make the normaliser change a text."""
    unsupported: str = ""  # why the table cannot be used, if so
    adds_space: bool = False  # before a text that begins with none
    members: Callable[[str], npt.NDArray[np.bool_]] = field(default=lambda _: np.zeros(0, np.bool_))


@dataclass
class ByteLevelLibrary:
    """The tokenizer's own library: the reference for ids, and the engine where ours is not exact."""

    card: TokenizerCard
    model: ByteLevelModel
    encode_batch: Callable[[list[str]], Sequence[Sequence[int]]]

    def encode(
        self, texts: Column, end: int = NO_END, room: Room = new_room
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        return joined_lists(self.encode_batch([text or "" for text in texts.to_pylist()]), end, room)

    def decode(self, ids: npt.NDArray[Any]) -> str:
        return b"".join(self.model.tokens[token] for token in ids.tolist()).decode("utf-8", errors="replace")

    def piece(self, token: int) -> str:
        """The token as text; bytes that are no whole character as `<0xE4>`."""
        return show_bytes(self.model.tokens[token])

    def spelled(self) -> list[bytes]:
        controls = {token.id for token in self.model.added if token.control} | {self.card.end_of_document}
        return [b"" if index in controls else token for index, token in enumerate(self.model.tokens)]

    def lossless(
        self, texts: Column, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        if self.model.adds_space:
            pairs = zip(texts.to_pylist(), np.split(ids, offsets[1:-1]), strict=True) if len(texts) else ()
            end = self.card.end_of_document
            return np.array([self.decode(found[found != end]) == text for text, found in pairs], dtype=np.bool_)
        if self.model.normalize is None:
            return np.ones(len(texts), dtype=np.bool_)
        normalize = self.model.normalize
        return np.array([normalize(text or "") == (text or "") for text in texts.to_pylist()], dtype=np.bool_)


UTF8_BYTES = [byte for byte in range(256) if byte not in (0xC0, 0xC1) and byte < 0xF5]
"""Bytes that occur in UTF-8; a tokenizer may lack the others."""


def show_bytes(token: bytes) -> str:
    """Bytes as text, those that are no UTF-8 as `<0xE4>`, one by one."""
    return "".join(
        f"<0x{ord(character) - 0xDC00:02X}>" if 0xDC80 <= ord(character) <= 0xDCFF else character
        for character in token.decode("utf-8", errors="surrogateescape")
    )


@cache
def every_character() -> str:
    """All code points but surrogates, once each, in order."""
    return "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))


def codes_of(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
