"""Byte-level BPE: text to ids by way of pretokens and a table of segments already seen.

The tokenizer's split pattern, an automaton (stages/tokens/split_pattern.py), gives the pretokens. Where one holds
other than ASCII characters it is cut on between two characters that no token joins, since no merge can cross there:
Chinese has hardly a pretoken twice, but the same segments again and again. Each segment is looked up in the table of
segment_table.py, which compares bytes; what is new is merged (bpe_merges.py) and stored. One character of three bytes,
two of five segments in Chinese, is answered by its code point: half a MB that stays in the cache; the table has 8.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.bpe_merges import merge_bytes
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.segment_table import (
    PACKED_BYTES,
    PACKED_IDS,
    PACKED_SLOTS,
    PROBES,
    WORK_BYTES,
    SegmentTable,
    find_long,
    new_table,
    packed_home,
    packed_key,
    put_packed,
    store,
)
from corpusmill.stages.kernels.unaligned import load8

MEMO_BITS = 16


class ByteTables(NamedTuple):
    """A byte-level BPE tokenizer as arrays."""

    pages: npt.NDArray[np.int32]  # [0x1100] number of the page of code >> 8
    classes: npt.NDArray[np.uint8]  # [pages * 256] class of a character; page 0 is that of code points below 256
    steps: npt.NDArray[np.int32]  # [states * classes] next state << 1 | 1 if the pretoken may end before the character
    fragments: npt.NDArray[np.uint64]  # set of (left bytes << 32 | right bytes) + 1 that a token has side by side
    byte_ids: npt.NDArray[np.int32]  # [256]
    merge_keys: npt.NDArray[np.uint64]  # (left id << 32 | right id) + 1; 0 is empty
    merge_values: npt.NDArray[np.int32]  # the number of their merge
    scores: npt.NDArray[np.float32]  # [merges] minus its rank
    results: npt.NDArray[np.int32]  # [merges] the id that it makes
    whole_ends: npt.NDArray[
        np.int64
    ]  # [wholes + 1] tokens that merges do not make, taken where one is a whole pretoken
    whole_bytes: npt.NDArray[np.uint8]
    whole_ids: npt.NDArray[np.int32]
    own_ends: npt.NDArray[np.int64]  # [added tokens + 1], longest first
    own_bytes: npt.NDArray[np.uint8]
    own_ids: npt.NDArray[np.int32]  # -1 for a control token: its text is skipped over, and stays text
    own_starts: npt.NDArray[np.uint8]  # [65536] whether an added token begins with these two bytes
    num_classes: int


@kernel
def encode_pretokens(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    tables: ByteTables,
    table: SegmentTable,
    memo: npt.NDArray[np.uint64],
    end_id: int,
    ids: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int64],
) -> bool:
    """Ids of every text into `ids` [bytes + texts + PACKED_IDS], where each text's ids end into `ends` [texts].

    False where some text holds a place at which the pattern matches nothing: then nothing is to be used. `memo`
    [2**MEMO_BITS] remembers which characters may be cut apart.
    """
    # One loop without calls on the usual way, as in segment_table.py.
    pages, classes, steps, num_classes = tables.pages, tables.classes, tables.steps, tables.num_classes
    packed, alone = table.packed, table.alone
    num_whole, num_own = len(tables.whole_ids), len(tables.own_ids)
    work = np.empty((6, WORK_BYTES), dtype=np.int32)
    count = asked = answered = 0
    for row in range(len(offsets) - 1):
        at, text_end = offsets[row], offsets[row + 1]
        stop, own_end, own_id = text_end, text_end, -1
        if num_own:
            stop, own_end, own_id = next_own(data, at, text_end, tables)
        pretoken_end = at
        wide = False
        while True:
            if at == stop:
                if own_id >= 0:
                    ids[count] = own_id
                    count += 1
                if own_end == text_end:
                    break
                at = pretoken_end = own_end
                stop, own_end, own_id = next_own(data, at, text_end, tables)
                continue
            if at == pretoken_end:
                # The next pretoken: the last place where the automaton says that it may end.
                position, state, pretoken_end, wide = at, 1, -1, False
                while True:
                    length, kind = 1, 0
                    if position < stop:
                        byte = int(data[position])
                        if byte < 128:
                            kind = int(classes[byte])
                        else:
                            code, length = wide_character(data, position)
                            kind = int(classes[int(pages[code >> 8]) * 256 + (code & 0xFF)])
                            wide = True
                    step = int(steps[state * num_classes + kind])
                    if step & 1:
                        pretoken_end = position
                    state = step >> 1
                    if state == 0 or position >= stop:
                        break
                    position += length
                if pretoken_end <= at:
                    return False
                if num_whole:
                    whole = whole_token(data, at, pretoken_end, tables)
                    if whole >= 0:
                        ids[count] = whole
                        count += 1
                        at = pretoken_end
                        continue
            end = next_cut(data, at, pretoken_end, tables.fragments, memo) if wide else pretoken_end
            asked += 1
            length = end - at
            if length > PACKED_BYTES:
                count, known = encode_long(data, at, end, tables, table, ids, count, work)
                answered += known
                at = end
                continue
            code = wide_character(data, at)[0] if length == 3 and data[at] >= 0xE0 else 0
            packed_ids = alone[code]
            if packed_ids == uint64(0):
                first, second = packed_key(data, at, length)
                slot = packed_home(first, second)
                for _ in range(PROBES):
                    packed_ids = packed[slot + 2]
                    if packed_ids == uint64(0) or (packed[slot] == first and packed[slot + 1] == second):
                        break
                    packed_ids = uint64(0)
                    slot = (slot + 4) & (PACKED_SLOTS * 4 - 1)
                if code:
                    alone[code] = packed_ids
            if packed_ids != uint64(0):
                ids[count] = np.int32((packed_ids >> uint64(4)) & uint64(0xFFFFF))
                ids[count + 1] = np.int32((packed_ids >> uint64(24)) & uint64(0xFFFFF))
                ids[count + 2] = np.int32(packed_ids >> uint64(44))
                count += int(packed_ids & uint64(15))
                answered += 1
            else:
                after, known = encode_long(data, at, end, tables, table, ids, count, work)
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
    return True


@inlined
def wide_character(data: npt.NDArray[np.uint8], at: int) -> tuple[int, int]:
    """(code point, bytes) of a character of two bytes or more."""
    byte, second = int(data[at]), int(data[at + 1]) & 0x3F
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | second, 2
    third = int(data[at + 2]) & 0x3F
    if byte < 0xF0:
        return (byte & 0xF) << 12 | second << 6 | third, 3
    return (byte & 0x7) << 18 | second << 12 | third << 6 | int(data[at + 3]) & 0x3F, 4


@kernel
def next_cut(
    data: npt.NDArray[np.uint8], at: int, stop: int, fragments: npt.NDArray[np.uint64], memo: npt.NDArray[np.uint64]
) -> int:
    """The end of the segment that begins at `at`: before a character that no token joins to the one before it."""
    left = -1
    left_start = at
    while at < stop:
        code, length = int(data[at]), 1
        if code >= 128:
            code, length = wide_character(data, at)
        if left >= 0 and (left >= 128 or code >= 128):
            pair = uint64(left) << uint64(21) | uint64(code)
            slot = int((pair * uint64(0x9E3779B97F4A7C15)) >> uint64(64 - MEMO_BITS))
            known = memo[slot]
            if known >> uint64(1) != pair:
                known = pair << uint64(1) | uint64(joined(data, left_start, at, at + length, fragments))
                memo[slot] = known
            if known & uint64(1) == uint64(0):
                return at
        left, left_start = code, at
        at += length
    return stop


@kernel
def joined(data: npt.NDArray[np.uint8], start: int, middle: int, stop: int, fragments: npt.NDArray[np.uint64]) -> bool:
    """Whether some token holds the last bytes of one character and the first ones of the next side by side."""
    mask = len(fragments) - 1
    for begin in range(start, middle):
        left = uint64(0)
        for position in range(begin, middle):
            left = left << uint64(8) | uint64(data[position])
        right = uint64(0)
        for position in range(middle, stop):
            right = right << uint64(8) | uint64(data[position])
            key = (left << uint64(32) | right) + uint64(1)
            slot = int((key * uint64(0x9E3779B97F4A7C15)) >> uint64(32)) & mask
            while fragments[slot] != uint64(0):
                if fragments[slot] == key:
                    return True
                slot = (slot + 1) & mask
    return False


@kernel
def whole_token(data: npt.NDArray[np.uint8], at: int, end: int, tables: ByteTables) -> int:
    """The id of a pretoken that is a token which merges do not make; -1 for others. There are few such tokens."""
    for number in range(len(tables.whole_ids)):
        first = tables.whole_ends[number]
        if tables.whole_ends[number + 1] - first == end - at:
            position = 0
            while position < end - at and tables.whole_bytes[first + position] == data[at + position]:
                position += 1
            if position == end - at:
                return int(tables.whole_ids[number])
    return -1


@kernel
def next_own(data: npt.NDArray[np.uint8], at: int, stop: int, tables: ByteTables) -> tuple[int, int, int]:
    """(start, end, id) of the next added token, leftmost and longest; (stop, stop, -1) where there is none.

    A control token's text is stepped over, as HF tokenizers does with `encode_special_tokens`.
    """
    starts, own_ends, own_bytes = tables.own_starts, tables.own_ends, tables.own_bytes
    while at < stop:
        following = int(data[at + 1]) if at + 1 < stop else 0
        if not starts[int(data[at]) << 8 | following]:
            at += 1
            continue
        length = 0
        found = -1
        for number in range(len(tables.own_ids)):
            first, last = own_ends[number], own_ends[number + 1]
            if last - first <= stop - at:
                position = 0
                while position < last - first and own_bytes[first + position] == data[at + position]:
                    position += 1
                if position == last - first:
                    found, length = number, position
                    break
        if found < 0:
            at += 1
        elif tables.own_ids[found] < 0:
            at += length
        else:
            return at, at + length, int(tables.own_ids[found])
    return stop, stop, -1


@kernel
def encode_long(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    tables: ByteTables,
    table: SegmentTable,
    ids: npt.NDArray[np.int32],
    count: int,
    work: npt.NDArray[np.int32],
) -> tuple[int, int]:
    """Append the ids of a segment that no packed slot has; gives their new number, and 1 if the table had them."""
    found, slot, after = find_long(data, start, stop, table, ids, count)
    if after > count:
        return after, 1
    keys, values, scores, results = tables.merge_keys, tables.merge_values, tables.scores, tables.results
    after = merge_bytes(data, start, stop, tables.byte_ids, keys, values, scores, results, ids, count, work)
    if slot >= 0 and (stop - start > PACKED_BYTES or after - count > PACKED_IDS):
        store(data[start:stop], ids[count:after], found, slot, table)
    return after, 0


@kernel
def texts_with(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    pages: npt.NDArray[np.int32],
    members: npt.NDArray[np.uint8],
    found: npt.NDArray[np.bool_],
) -> None:
    """Per text, whether it holds one of the characters whose entry in the two-level table is not 0."""
    skip = not members[int(pages[0]) * 256 : int(pages[0]) * 256 + 128].any()  # ASCII, eight bytes at a time
    for row in range(len(found)):
        at = offsets[row]
        found[row] = False
        while at < offsets[row + 1]:
            if skip and at + 8 <= offsets[row + 1] and load8(data, at) & uint64(0x8080808080808080) == uint64(0):
                at += 8
                continue
            code, length = int(data[at]), 1
            if code >= 128:
                code, length = wide_character(data, at)
            if members[int(pages[code >> 8]) * 256 + (code & 0xFF)] != 0:
                found[row] = True
                break
            at += length


@kernel
def merges_make(
    data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], tables: ByteTables, made: npt.NDArray[np.int32]
) -> None:
    """For each of these tokens [tokens] the id that merging its bytes gives, -1 where it gives several."""
    work = np.empty((6, WORK_BYTES), dtype=np.int32)
    keys, values, scores, results = tables.merge_keys, tables.merge_values, tables.scores, tables.results
    for number in range(len(made)):
        start, stop = ends[number], ends[number + 1]
        ids = np.empty(stop - start, dtype=np.int32)
        count = merge_bytes(data, start, stop, tables.byte_ids, keys, values, scores, results, ids, 0, work)
        made[number] = ids[0] if count == 1 else -1


@kernel
def fill_hash_table(
    given: npt.NDArray[np.uint64],
    numbers: npt.NDArray[np.int32],
    keys: npt.NDArray[np.uint64],
    values: npt.NDArray[np.int32],
) -> None:
    """Put keys, none of them 0, with their numbers into an empty open-addressing table; of equals the first stays."""
    mask = len(keys) - 1
    for index in range(len(given)):
        slot = int((given[index] * uint64(0x9E3779B97F4A7C15)) >> uint64(32)) & mask
        while keys[slot] != uint64(0) and keys[slot] != given[index]:
            slot = (slot + 1) & mask
        if keys[slot] == uint64(0):
            keys[slot], values[slot] = given[index], numbers[index]


def warmup() -> None:
    """Compile for the types that encoding uses."""
    none, bytes_ = np.zeros(0, dtype=np.int32), np.zeros(2, dtype=np.uint8)
    tables = ByteTables(
        pages=np.zeros(0x1100, dtype=np.int32),
        classes=np.ones(256, dtype=np.uint8),
        steps=np.array([0, 0, 0, 4, 1, 4], dtype=np.int32),  # any run of characters
        fragments=np.zeros(16, dtype=np.uint64),
        byte_ids=np.zeros(256, dtype=np.int32),
        merge_keys=np.zeros(16, dtype=np.uint64),
        merge_values=np.zeros(16, dtype=np.int32),
        scores=np.zeros(1, dtype=np.float32),
        results=np.zeros(1, dtype=np.int32),
        whole_ends=np.zeros(1, dtype=np.int64),
        whole_bytes=bytes_[:0],
        whole_ids=none,
        own_ends=np.zeros(1, dtype=np.int64),
        own_bytes=bytes_[:0],
        own_ids=none,
        own_starts=np.zeros(65536, dtype=np.uint8),
        num_classes=2,
    )
    data, offsets = np.frombuffer(b"ab", dtype=np.uint8), np.array([0, 2], np.int64)
    memo = np.zeros(1 << MEMO_BITS, dtype=np.uint64)
    encode_pretokens(data, offsets, tables, new_table(), memo, 0, np.zeros(6, np.int32), np.zeros(1, np.int64))
    texts_with(data, offsets, tables.pages, tables.classes, np.zeros(1, np.bool_))
    merges_make(data, offsets, tables, np.zeros(1, np.int32))
    keys = np.zeros(16, np.uint64)
    fill_hash_table(keys[:1] + np.uint64(1), np.zeros(1, np.int32), keys, np.zeros(16, np.int32))
