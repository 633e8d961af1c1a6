"""Exact fast encoding for byte-level BPE: pretokens by an automaton, segments through a table (kernels/pretokens.py).

When it is opened it encodes adversarial text and compares with the tokenizer's own library; if one id differs, or if
the tokenizer does something that the tables cannot say, the library encodes and `why_not` tells the reason.
Opening costs about two seconds per 100,000 tokens.
"""

import logging
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import take
from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.stages.kernels.pretokens import (
    MEMO_BITS,
    ByteTables,
    encode_pretokens,
    fill_hash_table,
    merges_make,
    texts_with,
)
from corpusmill.stages.kernels.segment_table import PACKED_IDS, PACKED_IDS_BELOW, new_table
from corpusmill.stages.tokens.adversarial_texts import adversarial_texts
from corpusmill.stages.tokens.byte_level import UTF8_BYTES, ByteLevelLibrary, ByteLevelModel
from corpusmill.stages.tokens.encoder import NO_END, Encoder, Room, TokenizerCard, new_room
from corpusmill.stages.tokens.split_pattern import SplitTable, UnsupportedPattern, compile_pattern, paged_classes

MAX_WHOLE = 4096
"""Tokens that merges do not make, up to which looking for them one by one is quick enough."""


class ByteLevelEncoder:
    """A byte-level BPE tokenizer through the segment table. Not for several threads at once."""

    def __init__(self, library: ByteLevelLibrary, tables: ByteTables) -> None:
        self.library, self.tables = library, tables
        ask = library.model.changed_by_normalizing
        self._changing = None if ask is None else paged_classes(ask().astype(np.uint8))
        self._early = early_tokens(library.model)
        self.card: TokenizerCard = library.card
        self.table, self.memo = new_table(), np.zeros(1 << MEMO_BITS, dtype=np.uint64)

    def encode(
        self, texts: Column, end: int = NO_END, room: Room = new_room
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        return self.encode_by_table(texts, end, room) or self.library.encode(texts, end, room)

    def encode_by_table(
        self, texts: Column, end: int = NO_END, room: Room = new_room
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]] | None:
        """As `encode`; None where the tables cannot tell: the pattern matches nothing at some place, which libraries
        treat differently, or an added token appears or goes with normalising."""
        texts, whole = self.normalized(texts)
        if not whole:
            return None
        data, offsets = text_buffers(texts)
        ids = room(int(offsets[-1] - offsets[0]) + len(offsets) + PACKED_IDS)
        ends = np.zeros(len(offsets), dtype=np.int64)
        whole = encode_pretokens(data, offsets, self.tables, self.table, self.memo, end, ids, ends[1:])
        return (ids[: ends[-1]], ends) if whole else None

    def normalized(self, texts: Column) -> tuple[Column, bool]:
        """Texts as the tokenizer's normaliser leaves them, which is asked only for those that it might change.

        False where added tokens that are looked for before it are not the same ones in what it leaves.
        """
        normalize = self.library.model.normalize
        if normalize is None:
            return texts, True
        rows = np.flatnonzero(self.may_change(texts))
        if not len(rows):
            return texts, True
        found = texts.to_pylist()
        for row in rows.tolist():
            text = found[row] or ""
            if self._early is None:
                found[row] = normalize(text)
                continue
            parts = apart(text, self._early)
            parts[::2] = [normalize(part) for part in parts[::2]]  # between them, as the library does
            found[row] = "".join(parts)
            if apart("".join(parts), self._early) != parts:
                return texts, False
        return pa.array(found, pa.large_string()), True

    def may_change(self, texts: Column) -> npt.NDArray[np.bool_]:
        """Per text, whether it holds a character that can make the normaliser change it."""
        found = np.ones(len(texts), dtype=np.bool_)
        if self._changing is not None:
            data, offsets = text_buffers(texts)
            texts_with(data, offsets, *self._changing, found)
        return found

    def decode(self, ids: npt.NDArray[Any]) -> str:
        return self.library.decode(ids)

    def piece(self, token: int) -> str:
        return self.library.piece(token)

    def spelled(self) -> list[bytes]:
        return self.library.spelled()

    def lossless(
        self, texts: Column, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        same = np.ones(len(texts), dtype=np.bool_)
        if self.library.model.normalize is not None:
            rows = np.flatnonzero(self.may_change(texts))
            same[rows] = self.library.lossless(take(texts, rows), ids, offsets)
        return same

    def share_answered(self) -> float:
        """Share of segments so far that the table answered."""
        return float(self.table.numbers[2] / max(1, self.table.numbers[1]))


EarlyTokens = tuple["re.Pattern[str]", frozenset[str]]


def early_tokens(model: ByteLevelModel) -> EarlyTokens | None:
    """How to find the added tokens that are looked for before normalising, and which of them are control tokens."""
    early = [token for token in model.added if token.before_normalizing]
    if all(token.control for token in early):
        return None  # their text stays text
    texts = sorted((token.text for token in early), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, texts))), frozenset(token.text for token in early if token.control)


def apart(text: str, early: EarlyTokens) -> list[str]:
    """[text, token, text, …, text]: leftmost and longest; a control token is stepped over and stays in the text."""
    expression, controls = early
    parts, last = [], 0
    for found in expression.finditer(text):
        if found.group() not in controls:
            parts += [text[last : found.start()], found.group()]
            last = found.end()
    return [*parts, text[last:]]


def open_byte_level(library: ByteLevelLibrary) -> Encoder:
    """The fast encoder where its ids are those of the library, else the library."""
    found = checked_encoder(library)
    if isinstance(found, ByteLevelEncoder):
        return found
    logging.getLogger(__name__).warning(
        "this tokenizer is encoded by its own library, which is slower, because %s", found
    )
    return library


def checked_encoder(library: ByteLevelLibrary) -> ByteLevelEncoder | str:
    """The fast encoder, or why it cannot be used."""
    tables = byte_tables(library.model, library.card.vocab_size)
    if isinstance(tables, str):
        return tables
    encoder = ByteLevelEncoder(library, tables)
    texts = pa.array(adversarial_texts(library.model), pa.large_string())
    found = encoder.encode_by_table(texts)
    if found is None:
        return "its split pattern leaves text out"
    ids, offsets = found
    expected, ends = library.encode(texts)
    if not np.array_equal(offsets, ends) or not np.array_equal(ids, expected):
        rows = zip(np.split(ids, offsets[1:-1]), np.split(expected, ends[1:-1]), strict=True)
        row = next(row for row, (ours, theirs) in enumerate(rows) if not np.array_equal(ours, theirs))
        return f"the ids of {str(texts[row])[:80]!r} differ"
    return encoder


def byte_tables(model: ByteLevelModel, vocab_size: int) -> ByteTables | str:
    """The model as arrays for the kernels, or why it must be left to its library."""
    if model.unsupported:
        return model.unsupported
    if vocab_size > PACKED_IDS_BELOW:
        return f"it has {vocab_size} ids"
    try:
        split = compile_pattern(model.pattern, model.members)
    except UnsupportedPattern as reason:
        return f"its split pattern has {reason}"
    byte_ids = np.full(256, -1, dtype=np.int32)
    for index, token in enumerate(model.tokens):
        if len(token) == 1:
            byte_ids[token[0]] = index
    if (byte_ids[UTF8_BYTES] < 0).any():
        return "it lacks a token for some byte"
    tables = tables_of(model, split, byte_ids)
    whole = unmade(model, tables) if model.whole_tokens else []
    if len(whole) > MAX_WHOLE:
        return f"merges do not make {len(whole)} of its tokens"
    ends, content = joined_bytes([model.tokens[index] for index in whole])
    return tables._replace(whole_ends=ends, whole_bytes=content, whole_ids=np.array(whole, dtype=np.int32))


def tables_of(model: ByteLevelModel, split: SplitTable, byte_ids: npt.NDArray[np.int32]) -> ByteTables:
    """The arrays, still without the tokens that merges do not make."""
    keys = (model.left.astype(np.uint64) << np.uint64(32) | model.right.astype(np.uint64)) + np.uint64(1)
    best = np.argsort(model.ranks, kind="stable")
    merge_keys, merge_values = hash_table(keys[best], best.astype(np.int32))
    made = sorted({model.tokens[index] for index in set(model.results.tolist())})
    fragments, _ = hash_table(np.array(sorted(joined_fragments(made)), dtype=np.uint64))
    added = sorted(model.added, key=lambda token: -len(token.text.encode()))
    own_ends, own_bytes = joined_bytes([token.text.encode() for token in added])
    return ByteTables(
        pages=split.pages,
        classes=split.classes,
        steps=split.steps,
        fragments=fragments,
        byte_ids=byte_ids,
        merge_keys=merge_keys,
        merge_values=merge_values,
        scores=-model.ranks.astype(np.float32),
        results=model.results.astype(np.int32),
        whole_ends=np.zeros(1, dtype=np.int64),
        whole_bytes=np.zeros(0, dtype=np.uint8),
        whole_ids=np.zeros(0, dtype=np.int32),
        own_ends=own_ends,
        own_bytes=own_bytes,
        own_ids=np.array([-1 if token.control else token.id for token in added], dtype=np.int32),
        own_starts=first_bytes([token.text.encode() for token in added]),
        num_classes=split.num_classes,
    )


def joined_fragments(tokens: list[bytes]) -> set[int]:
    """(left << 32 | right) + 1 for every place in a token where a character begins that is not its first byte.

    `left` are the bytes of the character before as far as the token has them, `right` those of the one that begins.
    Places between two ASCII characters are left out: pretokens are not cut there.
    """
    found: set[int] = set()
    for token in tokens:
        if token.isascii():
            continue
        for middle in range(1, len(token)):
            if token[middle] & 0xC0 == 0x80 or token[middle - 1] < 0x80 > token[middle]:
                continue
            start = middle - 1
            while start > 0 and token[start] & 0xC0 == 0x80:
                start -= 1
            stop = middle + 1
            while stop < len(token) and token[stop] & 0xC0 == 0x80:
                stop += 1
            found.add((int.from_bytes(token[start:middle]) << 32 | int.from_bytes(token[middle:stop])) + 1)
    return found


def unmade(model: ByteLevelModel, tables: ByteTables) -> list[int]:
    """Ids of the tokens that merging their bytes does not give."""
    ends, content = joined_bytes(model.tokens)
    made = np.zeros(len(model.tokens), dtype=np.int32)
    merges_make(content, ends, tables, made)
    return [index for index in np.flatnonzero(made != np.arange(len(made))).tolist() if model.tokens[index]]


def hash_table(
    keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int32] | None = None
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Open addressing as the kernels look it up; at most half full."""
    slots = 16
    while slots < 2 * len(keys):
        slots *= 2
    table, values = np.zeros(slots, dtype=np.uint64), np.zeros(slots, dtype=np.int32)
    fill_hash_table(keys, np.zeros(len(keys), np.int32) if numbers is None else numbers, table, values)
    return table, values


def joined_bytes(parts: list[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Where each part ends [parts + 1], and all of them end to end."""
    ends = np.r_[0, np.cumsum([len(part) for part in parts])].astype(np.int64)
    return ends, np.frombuffer(b"".join(parts), dtype=np.uint8).copy()


def first_bytes(parts: list[bytes]) -> npt.NDArray[np.uint8]:
    """[65536] whether a part begins with these two bytes; a part of one byte with any second one."""
    found = np.zeros((256, 256), dtype=np.uint8)
    for part in parts:
        if len(part) == 1:
            found[part[0]] = 1
        else:
            found[part[0], part[1]] = 1
    return found.ravel()
