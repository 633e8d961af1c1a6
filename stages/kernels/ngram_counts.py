"""What programs count of word n-grams, all of it: each dialect of Gopher's repetition rules takes its own of these.

N-grams are equal where their words are. Time is one look-up per word and n; datatrove's own counting, which needs far
fewer, is in kernels/repeated_ngrams.py.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hash_table import find_slot, table_mask
from corpusmill.stages.kernels.hashing import mix

SIZES = (2, 3, 4, 5, 6, 7, 8, 9, 10)

COUNTS = (
    "times",  # of the most frequent n-gram; 0 without n words
    "first_chars",  # characters of its words: of the one that begins first among equals
    "longest_chars",  # of the longest among equals
    "first_word",  # where the first of them begins
    "covered_chars",  # characters of the words that lie in an n-gram which occurs more than once
    "copied_chars",  # characters of all n-grams that occur more than once, words counted as often as they lie in one
    "all_chars",  # the same of all n-grams
    "later_chars",  # of n-grams that occurred before: words not counted with the one before, and a blank before each
)

Hashes = npt.NDArray[np.uint64]
Int32s = npt.NDArray[np.int32]


@kernel
def count_ngrams(first: npt.NDArray[np.int64], num_chars: Int32s, hashes: Hashes) -> npt.NDArray[np.int64]:
    """int64 [rows, len(SIZES), len(COUNTS)]."""
    counts = np.zeros((len(first) - 1, 9, 8), dtype=np.int64)
    most = 0
    for row in range(len(first) - 1):
        most = max(most, first[row + 1] - first[row])
    table = np.empty(table_mask(most) + 1, dtype=np.uint64)
    times, slots = np.empty(len(table), dtype=np.int32), np.empty(most, dtype=np.int32)
    grams, seen = np.empty(most, dtype=np.uint64), np.empty(len(table), dtype=np.bool_)
    for row in range(len(first) - 1):
        words, chars = hashes[first[row] : first[row + 1]], num_chars[first[row] : first[row + 1]]
        grams[: len(words)] = words
        for n in range(2, 11):
            num_grams = len(words) - n + 1
            if num_grams <= 0:
                break
            mask = table_mask(num_grams)
            table[: mask + 1] = 0
            for word in range(num_grams):
                grams[word] = mix(grams[word]) * uint64(0x9E3779B97F4A7C15) + words[word + n - 1]
                key = max(mix(grams[word]), uint64(1))
                slot = find_slot(table, mask, key)
                if table[slot] == uint64(0):
                    table[slot], times[slot], seen[slot] = key, 0, False
                times[slot] += 1
                slots[word] = slot
            _add_up(counts[row, n - 2], n, num_grams, chars, times, slots, seen)
    return counts


@inlined
def _add_up(
    count: npt.NDArray[np.int64],
    n: int,
    num_grams: int,
    chars: Int32s,
    times: Int32s,
    slots: Int32s,
    seen: npt.NDArray[np.bool_],
) -> None:
    size = 0  # characters of the n-gram
    for word in range(n - 1):
        size += chars[word]
    counted_to, later_to = 0, 0
    for word in range(num_grams):
        size += chars[word + n - 1]
        often = int(times[slots[word]])
        if often > count[0]:
            count[0], count[1], count[2], count[3] = often, size, size, word
        elif often == count[0]:
            count[2] = max(count[2], size)
        count[6] += size
        if often > 1:
            count[5] += size
            for inside in range(max(word, counted_to), word + n):
                count[4] += chars[inside]
            counted_to = word + n
            if seen[slots[word]]:
                begin = max(word, later_to)
                for inside in range(begin, word + n):
                    count[7] += chars[inside]
                count[7] += min(word + n - begin, n - 1)
                later_to = word + n
            seen[slots[word]] = True
        size -= chars[word]


def warmup() -> None:
    """Compile for the arrays of a layout."""
    count_ngrams(np.array([0, 2]), np.ones(2, dtype=np.int32), np.ones(2, dtype=np.uint64))
