"""The words of a line as fastText reads them, and the rows of a model that they, their subwords and n-grams call for.

A line feed counts as a space.
"""

import numpy as np
import numpy.typing as npt
from numba import int64, uint32, uint64

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.fasttext_lookup import Lookup


@kernel
def buffers(
    offsets: npt.NDArray[np.int64], lookup: Lookup
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Room for what the longest of the lines needs: a token, the hashes of its words, the rows of one step."""
    longest = 0
    for line in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[line + 1] - offsets[line])
    token = np.empty(longest + 8, dtype=np.uint8)  # < and > around it; the end of the line has four bytes
    hashes = np.empty(longest // 2 + 2, dtype=np.int32)
    num_rows = max(max(lookup.maxn, 1) * token.shape[0], lookup.word_ngrams * hashes.shape[0])
    return token, hashes, np.empty(num_rows, dtype=np.int32)


@inlined
def next_word(data: npt.NDArray[np.uint8], at: int, end: int) -> tuple[int, int, np.uint32]:
    """First byte, end and hash of the word at byte `at` or behind; an empty one where the line ends."""
    while at < end and is_blank(data[at]):
        at += 1
    start = at
    value = uint32(2166136261)
    while at < end and not is_blank(data[at]):
        value = hash_byte(value, data[at])
        at += 1
    return start, at, value


@inlined
def put_word(
    data: npt.NDArray[np.uint8], start: int, end: int, value: np.uint32, token: npt.NDArray[np.uint8]
) -> tuple[int, np.uint32, bool]:
    """Puts a word into `token` from byte 1 on, the word that ends a line, </s>, for an empty one.

    Gives its length, its hash, and whether the line ends there: also where its text says so.
    """
    length = end - start
    if length > 0:
        token[1 : length + 1] = data[start:end]
    else:
        token[1], token[2], token[3], token[4] = 60, 47, 115, 62
        length = 4
        for i in range(1, 5):
            value = hash_byte(value, token[i])
    ends = length == 4 and token[1] == 60 and token[2] == 47 and token[3] == 115 and token[4] == 62
    return length, value, ends


@kernel
def find_rows(
    token: npt.NDArray[np.uint8],
    length: int,
    value: np.uint32,
    ends: bool,
    lookup: Lookup,
    found: npt.NDArray[np.int32],
) -> int:
    """Fills `found` with the rows of a word and of its character n-grams, which </s> has none of; their number."""
    num_found = 0
    word = find_word(token, length, value, lookup)
    if word >= 0:
        found[0] = word
        num_found = 1
    if lookup.maxn > 0 and not ends:
        token[0], token[length + 1] = 60, 62
        num_found = find_subwords(token, length + 2, lookup, found, num_found)
    return num_found


@kernel
def find_phrases(hashes: npt.NDArray[np.int32], num_hashes: int, lookup: Lookup, found: npt.NDArray[np.int32]) -> int:
    """Fills `found` with the rows of a line's word n-grams, and gives their number."""
    kept_bits, kept_before, kept_rows = lookup.kept_bits, lookup.kept_before, lookup.kept_rows
    num_words, bucket = lookup.word_offsets.shape[0] - 1, uint64(lookup.bucket)
    num_found = 0
    for first in range(num_hashes):
        joined = uint64(int64(hashes[first]))
        for second in range(first + 1, min(num_hashes, first + lookup.word_ngrams)):
            joined = joined * uint64(116049371) + uint64(int64(hashes[second]))
            row = place(kept_bits, kept_before, kept_rows, int64(joined % bucket))
            if row >= 0:
                found[num_found] = num_words + row
                num_found += 1
    return num_found


@kernel
def is_label(token: npt.NDArray[np.uint8], length: int) -> bool:
    """Whether the token from byte 1 begins with __label__, which fastText leaves out."""
    if length < 9 or token[1] != 95 or token[2] != 95 or token[8] != 95 or token[9] != 95:
        return False
    return bool(token[3] == 108 and token[4] == 97 and token[5] == 98 and token[6] == 101 and token[7] == 108)


@kernel
def find_word(token: npt.NDArray[np.uint8], length: int, value: np.uint32, lookup: Lookup) -> int:
    """The number of the word from byte 1 of `token`, whose hash is `value`; -1 if the model does not know it."""
    slots, word_offsets, word_hashes, word_bytes = (
        lookup.slots,
        lookup.word_offsets,
        lookup.word_hashes,
        lookup.word_bytes,
    )
    slot = int64(value) & (slots.shape[0] - 1)
    while slots[slot] >= 0:
        word = slots[slot]
        start = word_offsets[word]
        if word_hashes[word] == value and word_offsets[word + 1] - start == length:
            same = True
            for i in range(length):
                if token[i + 1] != word_bytes[start + i]:
                    same = False
                    break
            if same:
                return int(word)
        slot = (slot + 1) & (slots.shape[0] - 1)
    return -1


@kernel
def find_subwords(
    token: npt.NDArray[np.uint8],
    size: int,
    lookup: Lookup,
    found: npt.NDArray[np.int32],
    num_found: int,
) -> int:
    """Appends the rows of the character n-grams of <word>, and gives the number of rows found so far."""
    kept_bits, kept_before, kept_rows = lookup.kept_bits, lookup.kept_before, lookup.kept_rows
    bucket, minn, maxn = lookup.bucket, lookup.minn, lookup.maxn
    num_words = lookup.word_offsets.shape[0] - 1
    inverse = 1.0 / bucket if bucket > 0 else 0.0
    for start in range(size):
        if token[start] & 0xC0 == 0x80:
            continue
        value = uint32(2166136261)
        stop = start
        n = 0
        while stop < size and n < maxn:
            value = hash_byte(value, token[stop])
            stop += 1
            while stop < size and token[stop] & 0xC0 == 0x80:
                value = hash_byte(value, token[stop])
                stop += 1
            n += 1
            if n >= minn and not (n == 1 and (start == 0 or stop == size)):
                row = place(kept_bits, kept_before, kept_rows, remainder(value, bucket, inverse))
                if row >= 0:
                    found[num_found] = num_words + row
                    num_found += 1
    return num_found


@inlined
def place(
    kept_bits: npt.NDArray[np.uint64],
    kept_before: npt.NDArray[np.int32],
    kept_rows: npt.NDArray[np.int32],
    number: int,
) -> int:
    """Where n-gram `number` lies behind the words, -1 where pruning dropped it.

    A bit per n-gram, and the number of bits before each 64: half a MB for 2 million n-grams stays in the second-level
    cache, where a plain table (8 MB) does not.
    """
    if kept_bits.shape[0] == 0:
        return number
    block = kept_bits[number >> 6]
    bit = uint64(1) << uint64(number & 63)
    if block & bit == 0:
        return -1
    below = block & (bit - uint64(1))
    below -= (below >> uint64(1)) & uint64(0x5555555555555555)
    below = (below & uint64(0x3333333333333333)) + ((below >> uint64(2)) & uint64(0x3333333333333333))
    below = (below + (below >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    count = (below * uint64(0x0101010101010101)) >> uint64(56)
    return int(kept_rows[kept_before[number >> 6] + int64(count)])


@inlined
def remainder(value: np.uint32, divisor: int, inverse: float) -> int:
    """value % divisor by a multiplication: a 64-bit division takes ten times as long."""
    rest = int(value) - int(value * inverse) * divisor
    return rest + divisor if rest < 0 else rest - divisor if rest >= divisor else rest


@inlined
def hash_byte(value: np.uint32, byte: np.uint8) -> np.uint32:
    """One step of FNV-1a as fastText computes it: bytes above 127 are extended by their sign."""
    extended = uint32(byte) | uint32(0xFFFFFF00) if byte > 127 else uint32(byte)
    return uint32((value ^ extended) * uint32(16777619))


@inlined
def is_blank(byte: np.uint8) -> bool:
    """What fastText splits at: space, tab, line feed, vertical tab, form feed, carriage return, the null character."""
    return bool(byte <= 32 and (byte == 32 or byte == 0 or 9 <= byte <= 13))
