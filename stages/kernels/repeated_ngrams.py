"""Characters in repeated word n-grams, as datatrove's Gopher repetition filter counts them.

Top n-grams (n = 2, 3, 4): the most frequent n-gram, the earliest of equals; its characters with a blank between words,
times how often it occurs. Duplicate n-grams (n = 5 to 10): reading from the left, an n-gram that was read before adds
its characters, without blanks, and reading goes on behind it; words are compared written together. (Gopher's own
counting is another, see docs/decisions.md on dialects.) Time is 9 table look-ups per word.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hash_table import find_slot, insert, table_mask
from corpusmill.stages.kernels.word_spans import BASE, power, power_table

Hashes = npt.NDArray[np.uint64]
Int32s = npt.NDArray[np.int32]

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
BLANK = 0x20 + 1
"""A blank as a digit of a word's hash."""


@kernel
def count_repeated_ngrams(
    first: npt.NDArray[np.int64],
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
    most = 0
    for row in range(len(first) - 1):
        most = max(most, first[row + 1] - first[row])
    table = np.empty(table_mask(most) + 1, dtype=np.uint64)
    times = np.empty(len(table), dtype=np.int32)
    seen_at = np.empty(len(table), dtype=np.int32)
    grams = np.empty(most, dtype=np.uint64)
    lengths = np.empty(most, dtype=np.int32)
    factors = np.empty(most, dtype=np.uint64)
    for row in range(len(first) - 1):
        start = first[row]
        num_words = first[row + 1] - start
        mask = table_mask(num_words)
        words, chars = hashes[start : start + num_words], num_chars[start : start + num_words]
        for word in range(num_words):
            factors[word] = power(num_bytes[start + word], powers)
        grams[:num_words], lengths[:num_words] = words, chars
        size, scale = 1, per_word[row]
        for n in range(2, 5):
            while size < n * scale:
                size += 1
                _extend(grams, lengths, words, chars, factors, size, scale == 1)
            table[: mask + 1] = 0
            counts[row, n - 2] = _top(grams, lengths, num_words - size + 1, table, times, seen_at, mask)
        grams[:num_words], lengths[:num_words] = words, chars
        size = 1
        for n in range(2, 11):
            while size < n * scale:
                size += 1
                _extend(grams, lengths, words, chars, factors, size, False)
            if n >= 5:
                table[: mask + 1] = 0
                counts[row, n - 2] = _duplicate(grams, lengths, num_words - size + 1, size, table, mask)
    return counts


@kernel
def _extend(
    grams: Hashes, lengths: Int32s, words: Hashes, chars: Int32s, factors: Hashes, size: int, blanks: bool
) -> None:
    """Make n-grams of `size` words of those of one word less, in place."""
    for word in range(len(words) - size + 1):
        last = word + size - 1
        gram = grams[word]
        if blanks:
            gram = gram * uint64(BASE) + uint64(BLANK)
            lengths[word] += 1
        grams[word] = gram * factors[last] + words[last]
        lengths[word] += chars[last]


@kernel
def _top(
    grams: Hashes, lengths: Int32s, num_grams: int, table: Hashes, times: Int32s, seen_at: Int32s, mask: int
) -> int:
    """Characters times occurrences of the most frequent n-gram, the one that begins first among equals."""
    most, best = 0, 0
    for word in range(num_grams):
        key = max(grams[word], uint64(1))
        slot = find_slot(table, mask, key)
        if table[slot] == uint64(0):
            table[slot], times[slot], seen_at[slot] = key, 0, word
        times[slot] += 1
        if times[slot] > most or (times[slot] == most and seen_at[slot] < best):
            most, best = times[slot], seen_at[slot]
    return most * lengths[best] if num_grams > 0 else 0


@kernel
def _duplicate(grams: Hashes, lengths: Int32s, num_grams: int, n: int, table: Hashes, mask: int) -> int:
    """Characters of the n-grams that were read before, skipping each of them."""
    chars, word = 0, 0
    while word < num_grams:
        if insert(table, mask, grams[word]):
            chars += lengths[word]
            word += n
        else:
            word += 1
    return chars


def warmup() -> None:
    """Compile for the arrays of a layout."""
    first, twice = np.array([0, 2]), np.ones(2, dtype=np.int32)
    count_repeated_ngrams(first, twice, twice, np.ones(2, dtype=np.uint64), power_table(), np.ones(1, dtype=np.int64))
