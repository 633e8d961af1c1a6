"""Exact fast encoding for sentencepiece BPE models: segments, each encoded once (kernels/segment_table.py).

A model whose text passes unchanged is read directly, spaces as U+2581; for another the library normalises the whole
text first, and the segments are those of the result. Ids equal the library's own, always, or this path is not taken:
`segment_tables` says why not. Opening costs about a second per 100,000 pieces.
"""

import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.stages.kernels.bpe_merges import PAIR_BITS, BpeTables
from corpusmill.stages.kernels.segment_table import PACKED_IDS, PACKED_IDS_BELOW, encode_texts, new_table
from corpusmill.stages.kernels.short_segments import fill_pairs, pack_each
from corpusmill.stages.tokens.encoder import NO_END, Encoder, Room, TokenizerCard, new_room
from corpusmill.stages.tokens.model_proto import (
    BPE,
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    SentencePieceModel,
    number,
)
from corpusmill.stages.tokens.sentencepiece_library import SentencePieceLibrary

SPACE_MARK_INDEX = 32
SPACE_MARK_CODE = 0x2581
ESCAPE_WHITESPACES = 5
GOLDEN = 0x9E3779B97F4A7C15
"""The multiplier of the kernels' hashes."""


class SegmentEncoder(SentencePieceLibrary):
    """A sentencepiece BPE model through the segment table. Not for several threads at once."""

    def __init__(self, model: SentencePieceModel, card: TokenizerCard, tables: BpeTables) -> None:
        super().__init__(model, card)
        self.tables, self.table = tables, new_table()

    def encode(
        self, texts: Column, end: int = NO_END, room: Room = new_room
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        if not self.keeps_text:
            normalised = [self.processor.Normalize(text or "") for text in texts.to_pylist()]
            texts = pa.array(normalised, pa.large_string())
        data, offsets = text_buffers(texts)
        ids = room(int(offsets[-1] - offsets[0]) + len(offsets) + PACKED_IDS)
        ends = np.zeros(len(offsets), dtype=np.int64)
        encode_texts(data, offsets, self.tables, self.table, end, ids, ends[1:])
        return ids[: ends[-1]], ends

    def lossless(
        self, texts: Column, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        if self.keeps_text and self.model.byte_fallback and not self.table.numbers[4]:
            return np.ones(len(texts), dtype=np.bool_)  # no text so far had the space mark, or an unknown character
        return super().lossless(texts, ids, offsets)

    def share_answered(self) -> float:
        """Share of segments so far that the table answered."""
        return float(self.table.numbers[2] / max(1, self.table.numbers[1]))


def segment_tables(model: SentencePieceModel) -> BpeTables | str:
    """The model as arrays for the kernels, or why it must be left to the library."""
    kinds = {piece.type for piece in model.pieces}
    if model.model_type != BPE:
        return "only BPE merges are local; a unigram search breaks ties by rounding"
    if UNUSED in kinds:
        return "unused pieces are taken apart again by the library"
    if number(model.normalizer.get(ESCAPE_WHITESPACES), 1) != 1:
        return "spaces are not escaped"
    if any(len(piece.text) == 1 for piece in model.pieces if piece.type in (CONTROL, UNKNOWN, BYTE)):
        return "a single character stands for a control piece"
    symbols = {p.text: index for index, p in enumerate(model.pieces) if p.type in (NORMAL, USER_DEFINED)}
    if "\u2581" not in symbols or any("\0" in text or not text for text in symbols):
        return "the vocabulary lacks the space mark, or has an empty piece or NUL"
    if any(" " in text for text in symbols):
        return "a user-defined symbol holds a plain space, which the normaliser leaves as it is"
    index_of = character_indices(symbols)
    merging = dict(symbols)
    for text in symbols:
        for character in text:
            merging.setdefault(character, len(merging) + len(model.pieces))
    symbol_of = np.full(max(128, *index_of.values()) + 1, -1, dtype=np.int32)
    for character, index in index_of.items():
        symbol_of[index] = merging[character]
    pages, indices = paged(index_of)
    near, pairs = side_by_side(symbols, index_of)
    if not model.byte_fallback:
        near |= unknown_pairs(symbol_of, len(model.pieces))
    merge_keys, merge_values = merge_table(model, merging)
    own = [(text, symbols[text]) for text in symbols if model.pieces[symbols[text]].type == USER_DEFINED]
    bytes_found = [index for index, piece in enumerate(model.pieces) if piece.type == BYTE]
    if model.byte_fallback and len(bytes_found) != 256:
        return "byte fallback without a piece for every byte"
    tables = BpeTables(
        pages=pages,
        indices=indices,
        symbol_of=symbol_of,
        near=near,
        pair_bits=np.zeros(1 << PAIR_BITS - 3, dtype=np.uint8),
        pairs=np.zeros(power_of_two(4 * len(pairs)), dtype=np.uint64),
        alone=np.zeros(len(symbol_of), dtype=np.uint64),
        merge_keys=merge_keys,
        merge_values=merge_values,
        scores=np.array([piece.score for piece in model.pieces], dtype=np.float32),
        results=np.arange(len(model.pieces), dtype=np.int32),
        byte_ids=np.array(sorted(bytes_found, key=lambda i: byte_of(model.pieces[i].text)), np.int32)
        if model.byte_fallback
        else np.zeros(0, np.int32),
        own_offsets=np.r_[0, np.cumsum([len(text) for text, _ in own])].astype(np.int64),
        own_indices=np.array([index_of[c] for text, _ in own for c in text], dtype=np.int32),
        own_ids=np.array([index for _, index in own], dtype=np.int32),
        numbers=np.array([len(model.pieces), next(i for i, p in enumerate(model.pieces) if p.type == UNKNOWN)]),
    )
    settle_short_segments(tables, index_of, pairs)
    return tables


def settle_short_segments(tables: BpeTables, index_of: dict[str, int], pairs: list[tuple[str, str]]) -> None:
    """Fill `alone`, `pairs` and `pair_bits`. What a space may be part of is left open: U+2581 has the same index."""
    characters = list(index_of)
    texts = [*characters, *(left + right for left, right in pairs)]
    ends = np.r_[0, np.cumsum([len(text.encode()) for text in texts])].astype(np.int64)
    packed = np.zeros(len(texts), dtype=np.uint64)
    if tables.numbers[0] <= PACKED_IDS_BELOW:
        pack_each(np.frombuffer("".join(texts).encode(), dtype=np.uint8), ends, tables, packed)
    packed[[index for index, text in enumerate(texts) if chr(SPACE_MARK_CODE) in text]] = 0
    tables.alone[list(index_of.values())] = packed[: len(characters)]
    keys = np.array([index_of[left] << 32 | index_of[right] for left, right in pairs], dtype=np.uint64)
    fill_pairs(keys, packed[len(characters) :], tables.pair_bits, tables.pairs)


def byte_of(piece: str) -> int:
    """65 of `<0x41>`."""
    return int(piece[3:-1], 16)


def character_indices(symbols: dict[str, int]) -> dict[str, int]:
    """An index for every character in a piece: its code below 128, SPACE_MARK_INDEX for the mark, else from 128."""
    index_of: dict[str, int] = {chr(SPACE_MARK_CODE): SPACE_MARK_INDEX}
    following = 128
    for text in symbols:
        for character in text:
            if character not in index_of:
                index_of[character] = ord(character) if ord(character) < 128 else following
                following += ord(character) >= 128
    return index_of


def paged(index_of: dict[str, int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Two-level table from code point to index. Page 0 is empty; a space has the mark's index."""
    pages = np.zeros(0x1100, dtype=np.int32)
    codes = {ord(character): index for character, index in index_of.items()}
    codes |= {code: code for code in range(1, 128) if code not in codes}
    codes[0x20] = SPACE_MARK_INDEX
    used = sorted({code >> 8 for code in codes})
    pages[used] = np.arange(1, len(used) + 1)
    indices = np.zeros((len(used) + 1) * 256, dtype=np.int32)
    for code, index in codes.items():
        indices[pages[code >> 8] * 256 + (code & 0xFF)] = index
    return pages, indices


def side_by_side(
    symbols: dict[str, int], index_of: dict[str, int]
) -> tuple[npt.NDArray[np.uint8], list[tuple[str, str]]]:
    """Which characters some piece holds next to each other: a matrix of indices below 128, and all other pairs."""
    pairs = {(a, b) for text in symbols for a, b in itertools.pairwise(text)}
    near = np.zeros(128 * 128, dtype=np.uint8)
    others = []
    for left, right in sorted(pairs):
        if index_of[left] < 128 and index_of[right] < 128:
            near[index_of[left] * 128 + index_of[right]] = 1
        else:
            others.append((left, right))
    return near, others


def unknown_pairs(symbol_of: npt.NDArray[np.int32], num_pieces: int) -> npt.NDArray[np.uint8]:
    """Pairs of indices below 128 that are both unknown: without byte fallback a run of them is one id."""
    unknown = np.ones(128, dtype=np.bool_)
    known = symbol_of[:128]
    unknown[: len(known)] = (known < 0) | (known >= num_pieces)
    return np.outer(unknown, unknown).astype(np.uint8).ravel()


def merge_table(
    model: SentencePieceModel, merging: dict[str, int]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """(left symbol, right symbol) to the piece that is both together, which is also the number of the merge."""
    keys, values = [], []
    for index, piece in enumerate(model.pieces):
        if piece.type == NORMAL or piece.type == USER_DEFINED:
            for cut in range(1, len(piece.text)):
                left, right = merging.get(piece.text[:cut]), merging.get(piece.text[cut:])
                if left is not None and right is not None:
                    keys.append((left << 32 | right) + 1)
                    values.append(index)
    return hash_set(keys, np.array(values, dtype=np.int32))


def hash_set(keys: list[int], values: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Open addressing as the kernels look it up; at most half full."""
    slots = power_of_two(2 * len(keys))
    table, found = np.zeros(slots, dtype=np.uint64), np.zeros(slots, dtype=np.int32)
    for key, value in zip(keys, values.tolist(), strict=True):
        slot = (key * GOLDEN & (1 << 64) - 1) >> 32 & slots - 1
        while table[slot]:
            slot = slot + 1 & slots - 1
        table[slot], found[slot] = key, value
    return table, found


def power_of_two(least: int) -> int:
    """The smallest power of two that is not below `least`, nor 16."""
    return 1 << max(4, (least - 1).bit_length())


def open_sentencepiece(model: SentencePieceModel, card: TokenizerCard) -> Encoder:
    """The fast encoder where it is exact, else the library."""
    tables = segment_tables(model)
    return SentencePieceLibrary(model, card) if isinstance(tables, str) else SegmentEncoder(model, card, tables)
