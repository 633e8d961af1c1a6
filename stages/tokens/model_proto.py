"""A sentencepiece model file, read and changed without protobuf.

The file is a ModelProto (sentencepiece_model.proto): pieces (field 1: piece 1, score 2, type 3), trainer_spec (2:
model_type 3, treat_whitespace_as_suffix 24, byte_fallback 35), normalizer_spec (3: name 1, precompiled_charsmap 2,
add_dummy_prefix 3, remove_extra_whitespaces 4, escape_whitespaces 5).
Wire format: protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import hash_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Types of a piece."""
UNIGRAM, BPE = 1, 2
"""The model types that we meet; the library also has words (3) and characters (4)."""


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    type: int


@dataclass(frozen=True)
class SentencePieceModel:
    """A model's bytes and what they say. Raises RequestError where they are no model."""

    data: bytes

    @cached_property
    def pieces(self) -> list[Piece]:
        """The vocabulary; a piece's index is its id."""
        found = []
        try:
            for field, value in self._fields:
                if field == 1:
                    entry = dict(read_fields(value))
                    score = struct.unpack("<f", entry.get(2, b"\0\0\0\0"))[0]
                    found.append(Piece(entry.get(1, b"").decode(), score, number(entry.get(3), NORMAL)))
        except (IndexError, ValueError, struct.error) as error:
            raise RequestError(
                f"not a sentencepiece model: piece {len(found)}: {error}. Give the .model file."
            ) from error
        if not found:
            raise RequestError("not a sentencepiece model: it has no pieces. Give the .model file.")
        return found

    @cached_property
    def _fields(self) -> list[tuple[int, bytes]]:
        try:
            return list(read_fields(self.data))
        except (IndexError, ValueError) as error:
            raise RequestError(f"not a sentencepiece model: {error}. Give the .model file.") from error

    @cached_property
    def trainer(self) -> dict[int, bytes]:
        return self._spec(2)

    @cached_property
    def normalizer(self) -> dict[int, bytes]:
        return self._spec(3)

    def _spec(self, field: int) -> dict[int, bytes]:
        merged: dict[int, bytes] = {}
        for found, value in self._fields:
            if found == field:
                try:
                    merged |= dict(read_fields(value))
                except (IndexError, ValueError) as error:
                    raise RequestError(f"not a sentencepiece model: field {field}: {error}. Give the file.") from error
        return merged

    @property
    def model_type(self) -> int:
        return number(self.trainer.get(3), UNIGRAM)

    @property
    def byte_fallback(self) -> bool:
        return bool(number(self.trainer.get(35), 0))

    @property
    def whitespace_as_suffix(self) -> bool:
        return bool(number(self.trainer.get(24), 0))

    @property
    def keeps_text(self) -> bool:
        """Whether encoding changes nothing but spaces to U+2581: no character map, no prefix, no trimming."""
        switches = (number(self.normalizer.get(field), 1) for field in (3, 4))
        return not self.normalizer.get(2) and not any(switches)

    def content_hash(self) -> str:
        """Identity: pieces, scores, types, normaliser and what else changes ids; not how it was trained."""
        return hash_json(
            {
                "pieces": [[piece.text, piece.score, piece.type] for piece in self.pieces],
                "normalizer": {
                    str(field): self.normalizer[field].hex() for field in sorted(self.normalizer) if field != 1
                },
                "model": [self.model_type, self.byte_fallback, self.whitespace_as_suffix],
            }
        )

    def without_normalizer(self) -> bytes:
        """A copy of the model that takes text as already normalised: identity map, no prefix, no trimming."""
        spec = field_bytes(1, b"identity") + field_number(3, 0) + field_number(4, 0) + field_number(5, 0)
        kept = b"".join(field_bytes(field, value) for field, value in self._fields if field not in (3, 5))
        return kept + field_bytes(3, spec)


def read_fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of one message in order: number and content; a varint is given as its bytes."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        field, wire = tag >> 3, tag & 7
        start = at
        if wire == 0:
            _, at = read_varint(data, at)
        elif wire == 2:
            length, start = read_varint(data, at)
            at = start + length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at > len(data):
            raise ValueError(f"truncated at byte {len(data)}")
        yield field, data[start:at]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A base-128 number and the offset behind it."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def number(field: bytes | None, default: int) -> int:
    return default if field is None else read_varint(field, 0)[0]


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_bytes(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def field_number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)
