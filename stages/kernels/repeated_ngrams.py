"""Characters in repeated word n-grams, as datatrove's Gopher repetition filter counts them.

Top n-grams (n = 2, 3, 4): the most frequent n-gram, the earliest of equals; its characters with a blank between words,
times how often it occurs. Duplicate n-grams (n = 5 to 10): reading from the left, an n-gram that was read before adds
its characters, without blanks, and reading goes on behind it; words are compared written together.

Most n-grams of a text occur once, and only those that may occur twice are looked up:
- an n-gram occurs twice only where its first and its last n - 1 words do, so 3-grams are looked up only between
  2-grams that were found twice, and so on;
- 5- to 10-grams are compared written together ("ab c" equals "a bc"), for which that does not hold. But what is equal
  begins with equal bytes, so they are looked up only where the text without blanks has the same bytes twice: 12 of
  them, then 24 (`_keep_repeated`).

The hash of any n-gram comes from running sums (`_sum_up`), so it takes the same time for each n.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hash_table import insert, table_mask
from corpusmill.stages.kernels.hashing import mix
from corpusmill.stages.kernels.lines import FACTOR
from corpusmill.stages.kernels.unaligned import load8, store8
from corpusmill.stages.kernels.word_spans import BASE, power, power_table

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Int32s = npt.NDArray[np.int32]
Slots = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
BLANK = 0x20 + 1
"""A blank as a digit of a word's hash."""


@kernel
def count_repeated_ngrams(
    data: Bytes,
    first: npt.NDArray[np.int64],
    starts: Int32s,
    num_bytes: Int32s,
    num_chars: Int32s,
    hashes: Hashes,
    powers: Hashes,
    per_word: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """int64 [rows, 9]: characters of the top 2-, 3- and 4-gram, then of duplicate 5- to 10-grams; 0 without n words.

    per_word: int64 [rows], 1, or how many of the row's words stand for one where they are letters of a script without
    spaces: an n-gram has n times as many, and no blanks.
    """
    counts = np.zeros((len(first) - 1, 9), dtype=np.int64)
    most, most_bytes = 0, 0
    for row in range(len(first) - 1):
        most = max(most, first[row + 1] - first[row])
        most_bytes = max(most_bytes, num_bytes[first[row] : first[row + 1]].sum())
    slots = table_mask(most) + 1
    table, counting = np.empty(slots, dtype=np.uint64), np.empty((slots, 2), dtype=np.uint64)
    times, slot_of = np.empty(4 * slots, dtype=np.uint8), np.empty(most, dtype=np.int32)
    sums, begins = np.empty(most + 1, dtype=np.uint64), np.empty(most + 1, dtype=np.int32)
    marks, spots = np.empty(most, dtype=np.bool_), np.empty(most, dtype=np.int32)
    stream = np.empty(most_bytes + 24, dtype=np.uint8)
    for row in range(len(first) - 1):
        start, stop = first[row], first[row + 1]
        words, sizes, chars = hashes[start:stop], num_bytes[start:stop], num_chars[start:stop]
        scale, num_words = per_word[row], stop - start
        _sum_up(words, sizes, powers, scale == 1, sums, begins)
        num_spots = _all_spots(num_words, 2 * scale, spots)
        for n in range(2, 5):
            if n > 2:
                num_spots = _narrow(spots, num_spots, num_words - n * scale, marks, scale)
            counts[row, n - 2] = _top(
                sums, begins, chars, powers, n * scale, scale == 1, spots, num_spots, marks, counting, slot_of
            )
        _sum_up(words, sizes, powers, False, sums, begins)
        _write_together(data, starts[start:stop], begins, stream)
        num_spots = _all_spots(num_words, 5 * scale, spots)
        for n in range(5, 11):
            if n == 5:
                num_spots = _keep_repeated(stream, begins, num_words, n * scale, 12, spots, num_spots, times)
            elif n == 8:
                num_spots = _keep_repeated(stream, begins, num_words, n * scale, 24, spots, num_spots, times)
            if num_spots > 1:
                counts[row, n - 2] = _duplicate(sums, begins, chars, powers, n * scale, spots, num_spots, table)
    return counts


@inlined
def _sum_up(words: Hashes, sizes: Int32s, powers: Hashes, blanks: bool, sums: Hashes, begins: Int32s) -> None:
    """Hashes of the first 0, 1, ... words written together (with a blank before each), and their bytes."""
    value, size = uint64(0), 0
    sums[0], begins[0] = value, 0
    for word in range(len(words)):
        if blanks:
            value = value * uint64(BASE) + uint64(BLANK)
            size += 1
        value = value * power(sizes[word], powers) + words[word]
        size += sizes[word]
        sums[word + 1], begins[word + 1] = value, size


@inlined
def _gram(sums: Hashes, begins: Int32s, powers: Hashes, word: int, size: int) -> np.uint64:
    """Hash of the n-gram of `size` words that begins with `word`; never 0."""
    last = word + size
    value = sums[last] - sums[word] * power(begins[last] - begins[word], powers)
    return max(mix(value), uint64(1))


@kernel
def _top(
    sums: Hashes,
    begins: Int32s,
    chars: Int32s,
    powers: Hashes,
    size: int,
    blanks: bool,
    spots: Int32s,
    num_spots: int,
    marks: Flags,
    table: Slots,
    slot_of: Int32s,
) -> int:
    """Characters times occurrences of the most frequent n-gram, the one that begins first among equals.

    spots: the words where an n-gram may begin that occurs twice. `marks` is left telling where one that does begins.
    """
    num_grams = len(chars) - size + 1
    marks[: len(chars)] = False
    if num_grams <= 0:
        return 0
    mask = table_mask(num_spots)
    table[: mask + 1, 0] = 0
    most, best = 1, 0
    for index in range(num_spots):
        word = int(spots[index])
        key = _gram(sums, begins, powers, word, size)
        slot = int((key * uint64(FACTOR)) >> uint64(32)) & mask
        while table[slot, 0] != uint64(0) and table[slot, 0] != key:
            slot = (slot + 1) & mask
        slot_of[index] = slot
        if table[slot, 0] == uint64(0):
            table[slot, 0], table[slot, 1] = key, uint64(word) << uint64(32) | uint64(1)
            continue
        table[slot, 1] += uint64(1)
        times, begin = int(table[slot, 1] & uint64(0xFFFFFFFF)), int(table[slot, 1] >> uint64(32))
        if times > most or (times == most and begin < best):
            most, best = times, begin
    for index in range(num_spots):
        marks[spots[index]] = table[slot_of[index], 1] & uint64(0xFFFFFFFF) > uint64(1)
    length = size - 1 if blanks else 0
    for word in range(best, best + size):
        length += chars[word]
    return most * length


@inlined
def _all_spots(num_words: int, size: int, spots: Int32s) -> int:
    """List the words where an n-gram of `size` words begins; how many these are."""
    num_grams = max(num_words - size + 1, 0)
    for word in range(num_grams):
        spots[word] = word
    return num_grams


@inlined
def _narrow(spots: Int32s, num_spots: int, last: int, marks: Flags, longer: int) -> int:
    """Keep those spots up to word `last` where all parts, `longer` words shorter, are marked; how many these are."""
    kept = 0
    for index in range(num_spots):
        word = int(spots[index])
        every = word <= last
        for further in range(longer + 1):
            every &= marks[min(word + further, len(marks) - 1)]
        spots[kept] = word
        kept += every
    return kept


@inlined
def _write_together(data: Bytes, starts: Int32s, begins: Int32s, stream: Bytes) -> None:
    """Write the words into `stream` one behind the other, and 24 zeros behind them."""
    for word in range(len(starts)):
        at, to, end = starts[word], begins[word], begins[word + 1]
        while to < end and at + 8 <= len(data):  # bytes written too many are written over by the next word
            store8(stream, to, load8(data, at))
            at, to = at + 8, to + 8
        while to < end:
            stream[to] = data[at]
            at, to = at + 1, to + 1
    end = begins[len(starts)]
    stream[end : end + 24] = 0


@kernel
def _keep_repeated(
    stream: Bytes, begins: Int32s, num_words: int, size: int, prefix: int, spots: Int32s, num_spots: int, times: Bytes
) -> int:
    """Keep the spots where an n-gram of `size` words or more may begin that occurs twice; how many these are.

    It may where the next `prefix` bytes (12 or 24) begin another spot too. Those bytes are told apart by a table of
    counts without keys, which keeps a few too many. An n-gram shorter than `prefix` may occur before other bytes, so
    spots that begin one are kept.
    """
    mask = 4 * (table_mask(num_words) + 1) - 1
    times[: mask + 1] = 0
    for index in range(num_spots):
        place = _place(stream, begins[spots[index]], prefix, mask)
        times[place] = min(int(times[place]) + 1, 2)
    kept = 0
    for index in range(num_spots):
        word = int(spots[index])
        begin, end = begins[word], begins[min(word + size, num_words)]
        spots[kept] = word
        kept += (word + size <= num_words) & ((end - begin < prefix) | (times[_place(stream, begin, prefix, mask)] > 1))
    return kept


@inlined
def _place(stream: Bytes, at: int, prefix: int, mask: int) -> int:
    value = load8(stream, at) * uint64(FACTOR) ^ load8(stream, at + prefix - 8)
    if prefix == 24:
        value = value * uint64(FACTOR) ^ load8(stream, at + 8)
    value ^= value >> uint64(32)
    return int((value * uint64(FACTOR)) >> uint64(32)) & mask


@kernel
def _duplicate(
    sums: Hashes,
    begins: Int32s,
    chars: Int32s,
    powers: Hashes,
    size: int,
    spots: Int32s,
    num_spots: int,
    table: Hashes,
) -> int:
    """Characters of the n-grams that were read before, skipping each of them; all others than `spots` occur once."""
    mask = table_mask(num_spots)
    table[: mask + 1] = 0
    found, next_word, last = 0, 0, len(chars) - size
    for index in range(num_spots):
        word = int(spots[index])
        if word < next_word or word > last:
            continue
        if insert(table, mask, _gram(sums, begins, powers, word, size)):
            for inside in range(word, word + size):
                found += chars[inside]
            next_word = word + size
    return found


def warmup() -> None:
    """Compile for the arrays of a layout."""
    first, twice = np.array([0, 2]), np.ones(2, dtype=np.int32)
    data = np.frombuffer(b"ab", dtype=np.uint8)
    hashes, per_word = np.ones(2, dtype=np.uint64), np.ones(1, dtype=np.int64)
    count_repeated_ngrams(data, first, np.arange(2, dtype=np.int32), twice, twice, hashes, power_table(), per_word)
