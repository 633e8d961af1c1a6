"""The rows of a fastText model that each line of text calls for, as a sparse matrix, and its products with a vector.

The same words, character n-grams and word n-grams that `text_classifier.mean_rows` adds up, in the same order, listed
instead: what a linear model over fastText's features is fitted to. Letters: N lines, R entries in all, M rows.
"""

import numpy as np
import numpy.typing as npt
from numba import int32, int64, uint32, uint64

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.text_classifier import find_subwords, find_word, hash_byte, is_blank, is_label, place


@kernel
def list_rows(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    word_bytes: npt.NDArray[np.uint8],
    word_offsets: npt.NDArray[np.int64],
    word_hashes: npt.NDArray[np.uint32],
    slots: npt.NDArray[np.int32],
    kept_bits: npt.NDArray[np.uint64],
    kept_before: npt.NDArray[np.int32],
    kept_rows: npt.NDArray[np.int32],
    bucket: int,
    minn: int,
    maxn: int,
    word_ngrams: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """int32 [R] rows of all lines, one line after the other, and int64 [N + 1] where each line begins."""
    num_words = word_offsets.shape[0] - 1
    inverse = 1.0 / bucket if bucket > 0 else 0.0
    longest = 0
    for line in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[line + 1] - offsets[line])
    token = np.empty(longest + 8, dtype=np.uint8)
    found = np.empty(max(1, maxn) * (longest + 8) + 1, dtype=np.int32)
    hashes = np.empty(longest // 2 + 2, dtype=np.int32)
    rows = np.empty(max(1024, offsets[-1] - offsets[0]), dtype=np.int32)
    begins = np.zeros(offsets.shape[0], dtype=np.int64)
    size = int64(0)
    for line in range(offsets.shape[0] - 1):
        at, end = offsets[line], offsets[line + 1]
        num_hashes = 0
        ended = False
        while not ended:
            while at < end and is_blank(data[at]):
                at += 1
            start = at
            value = uint32(2166136261)
            while at < end and not is_blank(data[at]):
                value = hash_byte(value, data[at])
                at += 1
            length = at - start
            if length > 0:
                token[1 : length + 1] = data[start:at]
            else:
                token[1], token[2], token[3], token[4] = 60, 47, 115, 62
                length = 4
                for i in range(1, 5):
                    value = hash_byte(value, token[i])
            ended = length == 4 and token[1] == 60 and token[2] == 47 and token[3] == 115 and token[4] == 62
            if is_label(token, length):
                continue
            hashes[num_hashes] = int32(value)
            num_hashes += 1
            num_found = 0
            word = find_word(token, length, value, word_bytes, word_offsets, word_hashes, slots)
            if word >= 0:
                found[0] = word
                num_found = 1
            if maxn > 0 and not ended:
                token[0], token[length + 1] = 60, 62
                num_found = find_subwords(
                    token,
                    length + 2,
                    kept_bits,
                    kept_before,
                    kept_rows,
                    bucket,
                    inverse,
                    minn,
                    maxn,
                    num_words,
                    found,
                    num_found,
                )
            while size + num_found + num_hashes * word_ngrams > rows.shape[0]:
                longer = np.empty(2 * rows.shape[0], dtype=np.int32)
                longer[:size] = rows[:size]
                rows = longer
            rows[size : size + num_found] = found[:num_found]
            size += num_found
        for first in range(num_hashes):
            joined = uint64(int64(hashes[first]))
            for second in range(first + 1, min(num_hashes, first + word_ngrams)):
                joined = joined * uint64(116049371) + uint64(int64(hashes[second]))
                row = place(kept_bits, kept_before, kept_rows, int64(joined % uint64(bucket)))
                if row >= 0:
                    rows[size] = num_words + row
                    size += 1
        begins[line + 1] = size
    return rows[:size].copy(), begins


@kernel
def means(
    rows: npt.NDArray[np.int32], begins: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """float64 [N]: the mean weight of each line's rows; 0 for a line without any."""
    made = np.zeros(begins.shape[0] - 1, dtype=np.float64)
    for line in range(begins.shape[0] - 1):
        total = 0.0
        for i in range(begins[line], begins[line + 1]):
            total += weights[rows[i]]
        if begins[line + 1] > begins[line]:
            made[line] = total / (begins[line + 1] - begins[line])
    return made


@kernel
def spread(
    rows: npt.NDArray[np.int32], begins: npt.NDArray[np.int64], values: npt.NDArray[np.float64], num_rows: int
) -> npt.NDArray[np.float64]:
    """float64 [M]: the transpose of `means` applied to a value per line."""
    made = np.zeros(num_rows, dtype=np.float64)
    for line in range(begins.shape[0] - 1):
        if begins[line + 1] > begins[line]:
            share = values[line] / (begins[line + 1] - begins[line])
            for i in range(begins[line], begins[line + 1]):
                made[rows[i]] += share
    return made


@kernel
def sum_lines_with(
    rows: npt.NDArray[np.int32], begins: npt.NDArray[np.int64], values: npt.NDArray[np.float64], num_rows: int
) -> npt.NDArray[np.float64]:
    """float64 [M]: the sum of the values [N] of the lines in which each row occurs."""
    sums = np.zeros(num_rows, dtype=np.float64)
    last = np.full(num_rows, -1, dtype=np.int32)
    for line in range(begins.shape[0] - 1):
        for i in range(begins[line], begins[line + 1]):
            row = rows[i]
            if last[row] != line:
                last[row] = line
                sums[row] += values[line]
    return sums


@kernel
def keep_rows(
    rows: npt.NDArray[np.int32], begins: npt.NDArray[np.int64], numbers: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The same matrix with row r as numbers[r], or left out where that is negative."""
    kept = np.empty(rows.shape[0], dtype=np.int32)
    starts = np.zeros(begins.shape[0], dtype=np.int64)
    size = 0
    for line in range(begins.shape[0] - 1):
        for i in range(begins[line], begins[line + 1]):
            number = numbers[rows[i]]
            if number >= 0:
                kept[size] = number
                size += 1
        starts[line + 1] = size
    return kept[:size].copy(), starts


def warmup() -> None:
    """Compiles for the types in use."""
    offsets, empty = np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    slots, bits = np.full(2, -1, dtype=np.int32), np.zeros(0, dtype=np.uint64)
    hashes, numbers = np.zeros(1, dtype=np.uint32), np.zeros(0, dtype=np.int32)
    rows, begins = list_rows(empty, offsets, empty, offsets, hashes, slots, bits, numbers, numbers, 1, 0, 0, 2)
    weights = np.zeros(3, dtype=np.float64)
    means(rows, begins, weights)
    spread(rows, begins, weights[:1], 3)
    sum_lines_with(rows, begins, weights[:1], 3)
    keep_rows(rows, begins, np.zeros(3, dtype=np.int32))
