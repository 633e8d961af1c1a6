"""The merge loops of BPE on one segment of text: sentencepiece's, by characters, and byte-level BPE's, by bytes.

Characters are symbols; of all neighbours whose concatenation is a piece, the pair of highest score is merged, the
leftmost of equals, until none is left (sentencepiece bpe_model.cc). Short segments look for the best pair by scanning,
long ones keep candidates in a heap. User-defined symbols are found first, longest match from left to right, and take
no part in merges. A character that is no piece becomes its bytes' pieces, or, without them, a run becomes one unknown.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode

PAIR_BITS = 20
SCANNED = 48
"""Symbols up to which scanning is faster than a heap."""


class BpeTables(NamedTuple):
    """A model as arrays. A character index is its code below 128 (32 for U+2581 as well), else from 128; 0 is none."""

    pages: npt.NDArray[np.int32]  # [0x1100] number of the page of code >> 8
    indices: npt.NDArray[np.int32]  # [pages * 256] character index
    symbol_of: npt.NDArray[np.int32]  # [indices] symbol: the piece id, or >= num_pieces, or -1 outside all pieces
    near: npt.NDArray[np.uint8]  # [128 * 128] whether these two must not be cut apart
    pair_bits: npt.NDArray[np.uint8]  # 2**PAIR_BITS bits: a pair whose bit is not set is not in the set
    pairs: npt.NDArray[np.uint64]  # [slots * 2] the same for all others: left << 32 | right, and the packed ids of both
    alone: npt.NDArray[np.uint64]  # [indices] packed ids of a segment of this one character; 0 where it is to be merged
    merge_keys: npt.NDArray[np.uint64]  # left symbol << 32 | right symbol, plus 1; 0 is empty
    merge_values: npt.NDArray[np.int32]  # the number of their merge
    scores: npt.NDArray[np.float32]  # [merges]
    results: npt.NDArray[np.int32]  # [merges] the piece that a merge makes
    byte_ids: npt.NDArray[np.int32]  # [256], or empty without byte fallback
    own_offsets: npt.NDArray[np.int64]  # [user-defined + 1]
    own_indices: npt.NDArray[np.int32]  # their character indices
    own_ids: npt.NDArray[np.int32]  # their ids
    numbers: npt.NDArray[np.int64]  # [2] num_pieces, id of unknown


@kernel
def character_index(code: int, pages: npt.NDArray[np.int32], indices: npt.NDArray[np.int32]) -> int:
    """The index of a code point."""
    return int(indices[int(pages[code >> 8]) * 256 + (code & 0xFF)])


@kernel
def merged(left: int, right: int, keys: npt.NDArray[np.uint64], values: npt.NDArray[np.int32]) -> int:
    """The number of the merge of two symbols, -1 where there is none."""
    if left < 0 or right < 0:
        return -1
    key = (uint64(left) << uint64(32) | uint64(right)) + uint64(1)
    mask = len(keys) - 1
    slot = int((key * uint64(0x9E3779B97F4A7C15)) >> uint64(32)) & mask
    while keys[slot] != uint64(0):
        if keys[slot] == key:
            return int(values[slot])
        slot = (slot + 1) & mask
    return -1


@kernel
def own_symbol(data: npt.NDArray[np.uint8], at: int, stop: int, tables: BpeTables) -> tuple[int, int]:
    """(number, bytes) of the longest user-defined symbol that begins at byte `at`; (-1, 0) where none does."""
    pages, indices, own_indices = tables.pages, tables.indices, tables.own_indices
    best, best_bytes = -1, 0
    for number in range(len(tables.own_ids)):
        position = at
        matches = True
        for index in range(tables.own_offsets[number], tables.own_offsets[number + 1]):
            if position >= stop:
                matches = False
                break
            code, length = decode(data, position)
            if character_index(code, pages, indices) != own_indices[index]:
                matches = False
                break
            position += length
        if matches and position - at > best_bytes:
            best, best_bytes = number, position - at
    return best, best_bytes


@kernel
def merge_segment(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    tables: BpeTables,
    ids: npt.NDArray[np.int32],
    num_ids: int,
    work: npt.NDArray[np.int32],
) -> int:
    """Write the ids of data[start:stop] into `ids` from `num_ids` on; gives the new number of ids.

    `work` is room to write into, [6, any], that spares allocations for segments of fewer bytes than it is long.
    """
    room = stop - start
    if room > work.shape[1]:
        work = np.empty((6, room), dtype=np.int32)
    piece = work[0]  # what a symbol is written as, -1 for unknown
    symbol = work[1]  # what it merges as, -1 for never
    begin = work[2]  # its first byte, from `start`
    size = work[3]  # its bytes; 0 once it is part of the symbol before
    pages, indices, symbol_of, byte_ids = tables.pages, tables.indices, tables.symbol_of, tables.byte_ids
    num_pieces, unknown, num_own = tables.numbers[0], tables.numbers[1], len(tables.own_ids)
    count = 0
    at = start
    while at < stop:
        code, length = decode(data, at)
        own = -1
        if num_own:
            own, own_bytes = own_symbol(data, at, stop, tables)
            if own >= 0:
                length = own_bytes
                piece[count], symbol[count] = tables.own_ids[own], -1
        if own < 0:
            found = symbol_of[character_index(code, pages, indices)]
            piece[count] = found if found < num_pieces else -1
            symbol[count] = found
        begin[count], size[count] = at - start, length
        at += length
        count += 1
    if count > SCANNED:
        keys, values, scores, results = tables.merge_keys, tables.merge_values, tables.scores, tables.results
        merge_with_heap(symbol, piece, size, count, keys, values, scores, results)
    elif count > 1:
        keys, values, scores, results = tables.merge_keys, tables.merge_values, tables.scores, tables.results
        merge_by_scanning(symbol, piece, size, work[4], work[5], count, keys, values, scores, results)
    after_unknown = False
    for index in range(count):
        if size[index] == 0:
            continue
        if piece[index] >= 0:
            ids[num_ids] = piece[index]
            num_ids += 1
            after_unknown = False
        elif len(byte_ids):
            for position in range(start + begin[index], start + begin[index] + size[index]):
                ids[num_ids] = byte_ids[data[position]]
                num_ids += 1
        elif not after_unknown:
            ids[num_ids] = unknown
            num_ids += 1
            after_unknown = True
    return num_ids


@kernel
def merge_bytes(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    byte_ids: npt.NDArray[np.int32],
    keys: npt.NDArray[np.uint64],
    values: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    results: npt.NDArray[np.int32],
    ids: npt.NDArray[np.int32],
    num_ids: int,
    work: npt.NDArray[np.int32],
) -> int:
    """The same for byte-level BPE: symbols are token ids, at first those of the bytes, `byte_ids` [256]."""
    count = stop - start
    if count > work.shape[1]:
        work = np.empty((6, count), dtype=np.int32)
    symbol, piece, size = work[0], work[1], work[2]
    for index in range(count):
        symbol[index] = piece[index] = byte_ids[data[start + index]]
        size[index] = 1
    if count > SCANNED:
        merge_with_heap(symbol, piece, size, count, keys, values, scores, results)
    elif count > 1:
        merge_by_scanning(symbol, piece, size, work[3], work[4], count, keys, values, scores, results)
    for index in range(count):
        if size[index] != 0:
            ids[num_ids] = piece[index]
            num_ids += 1
    return num_ids


@kernel
def merge_by_scanning(
    symbol: npt.NDArray[np.int32],
    piece: npt.NDArray[np.int32],
    size: npt.NDArray[np.int32],
    following: npt.NDArray[np.int32],
    made: npt.NDArray[np.int32],
    count: int,
    keys: npt.NDArray[np.uint64],
    values: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    results: npt.NDArray[np.int32],
) -> None:
    """Merge in place; symbols that are taken up get size 0. `made` is the merge of a symbol and the one after it."""
    for index in range(count):
        following[index] = index + 1
        made[index] = -1
        if index + 1 < count:
            made[index] = merged(symbol[index], symbol[index + 1], keys, values)
    while True:
        best, before, before_best = -1, -1, -1
        index = 0
        while index < count:
            if made[index] >= 0 and (best < 0 or scores[made[index]] > scores[made[best]]):
                best, before_best = index, before
            before = index
            index = following[index]
        if best < 0:
            return
        taken = following[best]
        symbol[best] = piece[best] = results[made[best]]
        size[best] += size[taken]
        size[taken] = 0
        following[best] = following[taken]
        made[best] = -1
        if following[best] < count:
            made[best] = merged(symbol[best], symbol[following[best]], keys, values)
        if before_best >= 0:
            made[before_best] = merged(symbol[before_best], symbol[best], keys, values)


@kernel
def merge_with_heap(
    symbol: npt.NDArray[np.int32],
    piece: npt.NDArray[np.int32],
    size: npt.NDArray[np.int32],
    count: int,
    keys: npt.NDArray[np.uint64],
    values: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    results: npt.NDArray[np.int32],
) -> None:
    """The same in O(n log n). A candidate whose symbols have changed since is recognised by its size."""
    following = np.arange(1, count + 1).astype(np.int32)
    preceding = np.arange(-1, count - 1).astype(np.int32)
    heap = np.empty((1024, 4), dtype=np.int32)  # left, right, size of both, merge
    filled = 0
    for index in range(count - 1):
        heap, filled = _offer(heap, filled, index, index + 1, symbol, size, keys, values, scores)
    while filled > 0:
        left, right, both, made = heap[0, 0], heap[0, 1], heap[0, 2], heap[0, 3]
        filled = _remove_first(heap, filled, scores)
        if size[left] == 0 or size[right] == 0 or size[left] + size[right] != both:
            continue
        symbol[left] = piece[left] = results[made]
        size[left] = both
        size[right] = 0
        following[left] = following[right]
        if following[left] < count:
            preceding[following[left]] = left
            heap, filled = _offer(heap, filled, left, following[left], symbol, size, keys, values, scores)
        if preceding[left] >= 0:
            heap, filled = _offer(heap, filled, preceding[left], left, symbol, size, keys, values, scores)


@kernel
def _precedes(heap: npt.NDArray[np.int32], a: int, b: int, scores: npt.NDArray[np.float32]) -> bool:
    """Whether candidate `a` is merged before `b`: higher score, then further left."""
    first, second = scores[heap[a, 3]], scores[heap[b, 3]]
    return bool(first > second or (first == second and heap[a, 0] < heap[b, 0]))


@kernel
def _offer(
    heap: npt.NDArray[np.int32],
    filled: int,
    left: int,
    right: int,
    symbol: npt.NDArray[np.int32],
    size: npt.NDArray[np.int32],
    keys: npt.NDArray[np.uint64],
    values: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int32], int]:
    """Push a pair if it makes a piece; gives the heap, perhaps a larger one, and its new length."""
    made = merged(symbol[left], symbol[right], keys, values)
    if made < 0:
        return heap, filled
    if filled == len(heap):
        larger = np.empty((2 * len(heap), 4), dtype=np.int32)
        larger[:filled] = heap
        heap = larger
    heap[filled, 0], heap[filled, 1], heap[filled, 2], heap[filled, 3] = left, right, size[left] + size[right], made
    child = filled
    while child > 0:
        parent = (child - 1) >> 1
        if not _precedes(heap, child, parent, scores):
            break
        _swap(heap, child, parent)
        child = parent
    return heap, filled + 1


@kernel
def _remove_first(heap: npt.NDArray[np.int32], filled: int, scores: npt.NDArray[np.float32]) -> int:
    """Take the first candidate away; gives the new length."""
    filled -= 1
    _swap(heap, 0, filled)
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= filled:
            return filled
        if child + 1 < filled and _precedes(heap, child + 1, child, scores):
            child += 1
        if not _precedes(heap, child, parent, scores):
            return filled
        _swap(heap, child, parent)
        parent = child


@kernel
def _swap(heap: npt.NDArray[np.int32], a: int, b: int) -> None:
    for column in range(4):
        kept = heap[a, column]
        heap[a, column] = heap[b, column]
        heap[b, column] = kept
