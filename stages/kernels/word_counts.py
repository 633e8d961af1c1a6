"""Counts of words per document, from a batch's layout."""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.word_spans import BASE, HAS_LETTER, HAS_TEXT, IS_ALPHABETIC, IS_SINGLE

COUNTS = (
    "words",
    "text_words",  # words with a character that is not in datatrove's punctuation set
    "text_word_chars",  # characters of these
    "letter_words",  # words with a letter
    "single_words",  # letters of scripts without spaces, a word each
    "longest_word",  # characters
    "alphabetic_words",  # of the single words: of Thai, Lao, Burmese, Khmer
)

Hashes = npt.NDArray[np.uint64]


@kernel
def count_words(
    first: npt.NDArray[np.int64], num_chars: npt.NDArray[np.int32], flags: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)]."""
    counts = np.zeros((len(first) - 1, 7), dtype=np.int64)
    for row in range(len(first) - 1):
        text, chars, letter, single, longest, alphabetic = 0, 0, 0, 0, 0, 0
        for word in range(first[row], first[row + 1]):
            kind, length = int(flags[word]), int(num_chars[word])
            if kind & HAS_TEXT:
                text += 1
                chars += length
            letter += kind & HAS_LETTER != 0
            single += kind & IS_SINGLE != 0
            alphabetic += kind & IS_ALPHABETIC != 0
            longest = max(longest, length)
        counts[row, 0], counts[row, 1], counts[row, 2] = first[row + 1] - first[row], text, chars
        counts[row, 3], counts[row, 4], counts[row, 5] = letter, single, longest
        counts[row, 6] = alphabetic
    return counts


@kernel
def count_listed_words(
    first: npt.NDArray[np.int64],
    hashes: Hashes,
    listed: Hashes,
    list_starts: npt.NDArray[np.int64],
    list_of_row: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """int64 [rows, 2]: different words of the row's list that occur, and all their occurrences.

    List i is listed[list_starts[i] : list_starts[i + 1]], sorted, of at most 64 words; a row of list -1 gives (-1, -1).
    """
    counts = np.full((len(first) - 1, 2), -1, dtype=np.int64)
    for row in range(len(first) - 1):
        number = list_of_row[row]
        if number < 0:
            continue
        words = listed[list_starts[number] : list_starts[number + 1]]
        sieve = uint64(0)  # one bit per top six bits of a hash: tells nearly all other words off at once
        for word in words:
            sieve |= uint64(1) << (word >> uint64(58))
        different, occurrences = uint64(0), 0
        for position in range(first[row], first[row + 1]):
            word = hashes[position]
            if (sieve >> (word >> uint64(58))) & uint64(1):
                index = np.searchsorted(words, word)
                if index < len(words) and words[index] == word:
                    different |= uint64(1) << uint64(index)
                    occurrences += 1
        counts[row, 0], counts[row, 1] = 0, occurrences
        while different != uint64(0):
            different &= different - uint64(1)
            counts[row, 0] += 1
    return counts


@kernel
def lower_hashes(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int32], num_bytes: npt.NDArray[np.int32]
) -> Hashes:
    """uint64 [words]: the hashes of the words with ASCII letters in lower case."""
    hashes = np.empty(len(starts), dtype=np.uint64)
    for word in range(len(starts)):
        value = uint64(0)
        for at in range(starts[word], starts[word] + num_bytes[word]):
            byte = data[at]
            lower = byte | 0x20 if 0x41 <= byte <= 0x5A else byte
            value = value * uint64(BASE) + uint64(lower) + uint64(1)
        hashes[word] = value
    return hashes


def warmup() -> None:
    """Compile for the arrays of a layout."""
    first, one = np.array([0, 1]), np.ones(1, dtype=np.uint64)
    count_words(first, np.ones(1, dtype=np.int32), np.ones(1, dtype=np.uint8))
    count_listed_words(first, one, one, first, np.zeros(1, dtype=np.int64))
    lower_hashes(np.frombuffer(b"A", dtype=np.uint8), np.zeros(1, dtype=np.int32), np.ones(1, dtype=np.int32))
