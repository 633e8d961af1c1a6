"""Text to ids through a table of segments already seen, each encoded once.

Text is cut between two characters that no piece holds side by side: no merge can cross there, so each side has the
ids that it has in the whole (and, without byte fallback, never between two unknown characters, which fuse). Segments
of one or two characters, three of four in Chinese, are answered by tables of the model (short_segments.py), found with
the look that tells whether two characters may be cut apart. Natural text repeats its segments, so nearly all others
are answered by the table of those seen, which compares bytes, never hashes alone. A full table is emptied and filled
anew, so memory is bounded.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.bpe_merges import PAIR_BITS, BpeTables, merge_segment
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.short_segments import pack_each
from corpusmill.stages.kernels.unaligned import load8

LONGEST = 128
"""Bytes of the longest segment that is stored: longer ones hardly come back."""
PACKED_BYTES = 15
PACKED_IDS = 3
"""A segment of so many bytes and ids is one 32-byte slot, a single access to memory: 3x over separate arrays."""
PACKED_IDS_BELOW = 1 << 20
PACKED_BITS = 18
PACKED_SLOTS = 1 << PACKED_BITS
PROBES = 4
SLOTS = 1 << 18
ENTRIES = SLOTS // 2
KEY_BYTES = 8 << 20
STORED_IDS = 4 << 20
WORK_BYTES = 256


class SegmentTable(NamedTuple):
    """Segments and their ids; about 40 MB when full, touched only as it fills."""

    packed: npt.NDArray[np.uint64]  # [PACKED_SLOTS * 4]: 15 bytes and their number, then ids of 20 bits; ids 0 is empty
    slots: npt.NDArray[np.int32]  # [SLOTS] entry + 1; 0 is empty: the segments that do not fit above
    hashes: npt.NDArray[np.uint64]  # [ENTRIES]
    key_ends: npt.NDArray[np.int32]  # [ENTRIES + 1] in keys
    id_ends: npt.NDArray[np.int32]  # [ENTRIES + 1] in ids
    keys: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int32]
    alone: npt.NDArray[np.uint64]  # [65536] ids, as in `packed`, of one character of three bytes (pretokens.py)
    numbers: npt.NDArray[np.int64]  # [5] entries, segments asked for, found, times emptied, whether some held U+2581


def new_table() -> SegmentTable:
    """An empty table."""
    return SegmentTable(
        packed=np.zeros(PACKED_SLOTS * 4, dtype=np.uint64),
        slots=np.zeros(SLOTS, dtype=np.int32),
        hashes=np.zeros(ENTRIES, dtype=np.uint64),
        key_ends=np.zeros(ENTRIES + 1, dtype=np.int32),
        id_ends=np.zeros(ENTRIES + 1, dtype=np.int32),
        keys=np.zeros(KEY_BYTES, dtype=np.uint8),
        ids=np.zeros(STORED_IDS, dtype=np.int32),
        alone=np.zeros(1 << 16, dtype=np.uint64),
        numbers=np.zeros(5, dtype=np.int64),
    )


@kernel
def encode_texts(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    tables: BpeTables,
    table: SegmentTable,
    end_id: int,
    ids: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int64],
) -> None:
    """Ids of every text into `ids` [bytes + texts + PACKED_IDS], and where each text's ids end into `ends` [texts].

    `end_id` follows every text unless it is negative.
    """
    # One loop, its parts inlined: a call with arrays, or a field of a tuple, counts references, 20 ns each time.
    pages, indices, symbol_of, near, alone = tables.pages, tables.indices, tables.symbol_of, tables.near, tables.alone
    pair_bits, pairs, pair_mask = tables.pair_bits, tables.pairs, len(tables.pairs) - 2
    num_pieces, fuse = tables.numbers[0], len(tables.byte_ids) == 0
    packed = table.packed
    small_ids = num_pieces <= PACKED_IDS_BELOW
    work = np.empty((6, WORK_BYTES), dtype=np.int32)
    count = asked = answered = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        right, length = 0, 0
        if at < stop:
            right, length = character(data, at, pages, indices)
        while at < stop:
            left, end = right, at + length
            packed_ids = alone[left]
            single = True
            while end < stop:
                right, length = character(data, end, pages, indices)
                following = uint64(0)
                if left < 128 and right < 128:
                    if near[left * 128 + right] == 0:
                        break
                else:
                    key = uint64(left) << uint64(32) | uint64(right)
                    mixed = key * uint64(0x9E3779B97F4A7C15)
                    bit = int(mixed >> uint64(64 - PAIR_BITS))
                    tied = (pair_bits[bit >> 3] >> (bit & 7)) & 1 != 0
                    if tied:
                        slot = int(mixed >> uint64(31)) & pair_mask
                        while pairs[slot] != uint64(0) and pairs[slot] != key:
                            slot = (slot + 2) & pair_mask
                        tied = pairs[slot] == key
                        following = pairs[slot + 1]
                    if not tied and fuse:
                        tied = not 0 <= symbol_of[left] < num_pieces and not 0 <= symbol_of[right] < num_pieces
                    if not tied:
                        break
                packed_ids = following if single else uint64(0)
                single = False
                left = right
                end += length
            asked += 1
            if packed_ids == uint64(0) and (end - at > PACKED_BYTES or not small_ids):
                count, known = _encode_long(data, at, end, tables, table, ids, count, work)
                answered += known
                at = end
                continue
            slot = -1
            first = second = uint64(0)
            if packed_ids == uint64(0):
                first, second = packed_key(data, at, end - at)
                slot = packed_home(first, second)
                for _ in range(PROBES):
                    packed_ids = packed[slot + 2]
                    if packed_ids == uint64(0) or (packed[slot] == first and packed[slot + 1] == second):
                        break
                    packed_ids = uint64(0)
                    slot = (slot + 4) & (PACKED_SLOTS * 4 - 1)
            if packed_ids != uint64(0):
                ids[count] = np.int32((packed_ids >> uint64(4)) & uint64(0xFFFFF))
                ids[count + 1] = np.int32((packed_ids >> uint64(24)) & uint64(0xFFFFF))
                ids[count + 2] = np.int32(packed_ids >> uint64(44))
                count += int(packed_ids & uint64(15))
                answered += 1
            else:
                after, known = _encode_long(data, at, end, tables, table, ids, count, work)
                put_packed(packed, slot, first, second, ids, count, after)
                answered += known
                count = after
            at = end
        if end_id >= 0:
            ids[count] = end_id
            count += 1
        ends[row] = count
    table.numbers[1] += asked
    table.numbers[2] += answered


@inlined
def character(
    data: npt.NDArray[np.uint8], at: int, pages: npt.NDArray[np.int32], indices: npt.NDArray[np.int32]
) -> tuple[int, int]:
    """(index, bytes) of the character at `at`; the index of one that no piece holds is 0."""
    byte = int(data[at])
    if byte < 128:
        return byte, 1
    code, length = byte & 0x1F, 2
    if byte >= 0xE0:
        code, length = byte & 0x0F, 3
        if byte >= 0xF0:
            code, length = byte & 0x07, 4
    for more in range(1, length):
        code = code << 6 | int(data[at + more]) & 0x3F
    return int(indices[int(pages[code >> 8]) * 256 + (code & 0xFF)]), length


@inlined
def packed_key(data: npt.NDArray[np.uint8], at: int, length: int) -> tuple[np.uint64, np.uint64]:
    """A segment of 1 to PACKED_BYTES bytes as two numbers: its bytes, the first one lowest, and their number on top."""
    first = second = uint64(0)
    if at + 16 <= len(data):
        first = load8(data, at) & (uint64(0xFFFFFFFFFFFFFFFF) >> uint64(64 - 8 * min(length, 8)))
        second = load8(data, at + 8) & ((uint64(1) << uint64(8 * max(length - 8, 0))) - uint64(1))
    else:
        for position in range(length):
            byte = uint64(data[at + position])
            if position < 8:
                first |= byte << uint64(8 * position)
            else:
                second |= byte << uint64(8 * (position - 8))
    return first, second | uint64(length) << uint64(56)


@inlined
def packed_home(first: np.uint64, second: np.uint64) -> int:
    """The first slot that a segment of this key is looked for in; the next PROBES - 1 follow."""
    return (
        int((first ^ second * uint64(0xC2B2AE3D27D4EB4F)) * uint64(0x9E3779B97F4A7C15) >> uint64(64 - PACKED_BITS)) * 4
    )


@kernel
def put_packed(
    packed: npt.NDArray[np.uint64],
    slot: int,
    first: np.uint64,
    second: np.uint64,
    ids: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """Put a segment with ids[start:stop], if they are few enough, into the slot at which looking for it ended."""
    if stop - start <= PACKED_IDS:
        if packed[slot + 2] != uint64(0):
            slot = packed_home(first, second)  # all probed slots are taken: the first one makes room
        packed_ids = uint64(stop - start)
        for position in range(start, stop):
            packed_ids |= uint64(ids[position]) << uint64(4 + 20 * (position - start))
        packed[slot], packed[slot + 1], packed[slot + 2] = first, second, packed_ids


@kernel
def _encode_long(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    tables: BpeTables,
    table: SegmentTable,
    ids: npt.NDArray[np.int32],
    count: int,
    work: npt.NDArray[np.int32],
) -> tuple[int, int]:
    """Append the ids of a segment that no packed slot has; gives their new number, and 1 if the table had them."""
    found, slot, after = find_long(data, start, stop, table, ids, count)
    if after > count:
        return after, 1
    for at in range(start, stop - 2):
        if data[at] == 0xE2 and data[at + 1] == 0x96 and data[at + 2] == 0x81:
            table.numbers[4] = 1
    after = merge_segment(data, start, stop, tables, ids, count, work)
    fits = stop - start <= PACKED_BYTES and after - count <= PACKED_IDS and tables.numbers[0] <= PACKED_IDS_BELOW
    if slot >= 0 and not fits:
        store(data[start:stop], ids[count:after], found, slot, table)
    return after, 0


@kernel
def find_long(
    data: npt.NDArray[np.uint8], start: int, stop: int, table: SegmentTable, ids: npt.NDArray[np.int32], count: int
) -> tuple[np.uint64, int, int]:
    """(hash, slot, new number of ids) of a segment outside of the packed slots: its ids are appended if it is there.

    The number stays `count` where it is not, and the slot is -1 where it is too long to be stored.
    """
    length = stop - start
    if length > LONGEST:
        return uint64(0), -1, count
    slots, hashes, key_ends, keys = table.slots, table.hashes, table.key_ends, table.keys
    found = uint64(length)
    at = start
    while at + 8 <= stop:
        found = (found ^ load8(data, at)) * uint64(0x9E3779B97F4A7C15)
        found ^= found >> uint64(32)
        at += 8
    while at < stop:
        found = (found ^ uint64(data[at])) * uint64(0x9E3779B97F4A7C15)
        at += 1
    found ^= found >> uint64(32)
    mask = len(slots) - 1
    slot = int(found) & mask
    while slots[slot] != 0:
        entry = slots[slot] - 1
        first = key_ends[entry]
        if hashes[entry] == found and key_ends[entry + 1] - first == length:
            at = 0
            while at + 8 <= length and load8(keys, first + at) == load8(data, start + at):
                at += 8
            while at < length and keys[first + at] == data[start + at]:
                at += 1
            if at == length:
                for position in range(table.id_ends[entry], table.id_ends[entry + 1]):
                    ids[count] = table.ids[position]
                    count += 1
                return found, slot, count
        slot = (slot + 1) & mask
    return found, slot, count


@kernel
def store(
    key: npt.NDArray[np.uint8], ids: npt.NDArray[np.int32], found: np.uint64, slot: int, table: SegmentTable
) -> None:
    """Add a segment and its ids in the empty `slot`, emptying the table first if it is full."""
    entry = table.numbers[0]
    if (
        entry == len(table.hashes)
        or table.key_ends[entry] + len(key) > len(table.keys)
        or table.id_ends[entry] + len(ids) > len(table.ids)
    ):
        table.slots[:] = 0
        table.numbers[0] = entry = 0
        table.numbers[3] += 1
        slot = int(found) & (len(table.slots) - 1)
    table.slots[slot] = entry + 1
    table.hashes[entry] = found
    key_start, id_start = table.key_ends[entry], table.id_ends[entry]
    table.keys[key_start : key_start + len(key)] = key
    table.ids[id_start : id_start + len(ids)] = ids
    table.key_ends[entry + 1] = key_start + len(key)
    table.id_ends[entry + 1] = id_start + len(ids)
    table.numbers[0] = entry + 1


def warmup() -> None:
    """Compile for the types that encoding uses."""
    one = np.zeros(1, dtype=np.int32)
    tables = BpeTables(
        pages=np.zeros(0x1100, dtype=np.int32),
        indices=np.zeros(256, dtype=np.int32),
        symbol_of=np.full(128, -1, dtype=np.int32),
        near=np.zeros(128 * 128, dtype=np.uint8),
        pair_bits=np.zeros(1 << PAIR_BITS - 3, dtype=np.uint8),
        alone=np.zeros(128, dtype=np.uint64),
        pairs=np.zeros(32, dtype=np.uint64),
        merge_keys=np.zeros(16, dtype=np.uint64),
        merge_values=np.zeros(16, dtype=np.int32),
        scores=np.zeros(1, dtype=np.float32),
        results=one,
        byte_ids=np.zeros(256, dtype=np.int32),
        own_offsets=np.zeros(1, dtype=np.int64),
        own_indices=one[:0],
        own_ids=one[:0],
        numbers=np.zeros(2, dtype=np.int64),
    )
    data = np.frombuffer(b"ab", dtype=np.uint8)
    pack_each(data, np.array([0, 1], np.int64), tables, np.zeros(1, np.uint64))
    encode_texts(data, np.array([0, 2], np.int64), tables, new_table(), 0, np.zeros(6, np.int32), np.zeros(1, np.int64))
