"""The rows of a fastText model that each line of text calls for, as a sparse matrix, and its products with a vector.

The same words, character n-grams and word n-grams that `text_classifier.mean_rows` adds up, in the same order, listed
instead: what a linear model over fastText's features is fitted to. Letters: N lines, R entries in all, M rows.
"""

import numpy as np
import numpy.typing as npt
from numba import int32

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.fasttext_lookup import Lookup
from corpusmill.stages.kernels.fasttext_words import (
    buffers,
    find_phrases,
    find_rows,
    is_label,
    next_word,
    put_word,
)


@kernel
def list_rows(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], lookup: Lookup
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """int32 [R] rows of all lines, one line after the other, and int64 [N + 1] where each line begins."""
    token, hashes, found = buffers(offsets, lookup)
    rows = np.empty(max(1024, offsets[-1] - offsets[0]), dtype=np.int32)
    begins = np.zeros(offsets.shape[0], dtype=np.int64)
    size = 0
    for line in range(offsets.shape[0] - 1):
        at, end = offsets[line], offsets[line + 1]
        num_hashes, ended = 0, False
        while not ended:
            start, at, value = next_word(data, at, end)
            length, value, ended = put_word(data, start, at, value, token)
            if is_label(token, length):
                continue
            hashes[num_hashes] = int32(value)
            num_hashes += 1
            num_found = find_rows(token, length, value, ended, lookup, found)
            rows = append(rows, size, found, num_found)
            size += num_found
        num_found = find_phrases(hashes, num_hashes, lookup, found)
        rows = append(rows, size, found, num_found)
        size += num_found
        begins[line + 1] = size
    return rows[:size].copy(), begins


@kernel
def append(
    rows: npt.NDArray[np.int32], size: int, found: npt.NDArray[np.int32], num_found: int
) -> npt.NDArray[np.int32]:
    """`rows`, twice as long where it is full, with the first of `found` from `size` on."""
    while size + num_found > rows.shape[0]:
        longer = np.empty(2 * rows.shape[0], dtype=np.int32)
        longer[:size] = rows[:size]
        rows = longer
    rows[size : size + num_found] = found[:num_found]
    return rows


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
    lookup = Lookup(empty, offsets, hashes, slots, bits, numbers, numbers, 1, 0, 0, 2)
    rows, begins = list_rows(empty, offsets, lookup)
    weights = np.zeros(3, dtype=np.float64)
    means(rows, begins, weights)
    spread(rows, begins, weights[:1], 3)
    sum_lines_with(rows, begins, weights[:1], 3)
    keep_rows(rows, begins, np.zeros(3, dtype=np.int32))
