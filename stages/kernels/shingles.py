"""Texts as sets of shingles: every run of `size` tokens, as a 32-bit hash.

A token is a word (a run of letters and digits), or one character in scripts that write no spaces; with
`unit=CHARACTER` every folded character is a token and every run of blanks between two is one more. A text of fewer
tokens than `size` is one shingle of them all; a text without tokens has none. Numbers can count as one ("3.14" and
"1234" both as 0), as FineWeb's normalisation has it.

32 bits are enough: two documents of 10,000 different shingles each share 0.02 of them by chance.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint32, uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.folding import (
    BLANK,
    CHARACTER_MASK,
    CLASS_SHIFT,
    DIGIT,
    IGNORED,
    LETTER,
    SINGLE,
    folding_table,
)
from corpusmill.stages.kernels.hashing import decode, mix, spelled

WORD, CHARACTER = 0, 1


@kernel
def tokenize(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    table: npt.NDArray[np.uint32],
    unit: int,
    same_numbers: bool,
    tokens: npt.NDArray[np.uint64],
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
) -> int:
    """Hashes of the tokens of data[start:stop] into `tokens`, their bytes into `starts` and `stops`; gives how many.

    The three arrays need stop - start entries (a blank token stands between two others, so there are no more).
    """
    num_tokens = 0
    open_word = False
    after_blank = False
    in_number = False
    value = uint64(0)
    at = start
    while at < stop:
        code, size = int(data[at]), 1
        second = third = 0
        if code >= 0x80:
            code, size = decode(data, at)
            code, second, third = spelled(code)
        entry = table[code]
        kind = (entry >> CLASS_SHIFT) & 15
        begin = at
        at += size
        if kind == IGNORED:
            continue
        if kind == BLANK:
            if in_number and same_numbers and (code == 46 or code == 44) and at < stop:  # 3.14 and 1,000 are one number
                following, _ = decode(data, at)
                if (table[following] >> CLASS_SHIFT) & 15 == DIGIT:
                    continue
            if open_word:
                tokens[num_tokens - 1] = mix(value)
                open_word = False
            after_blank, in_number = True, False
            continue
        character = uint64(entry & CHARACTER_MASK)
        if unit == CHARACTER:
            if same_numbers and kind == DIGIT:
                if in_number:
                    stops[num_tokens - 1] = at
                    continue
                character = uint64(48)
            in_number = kind == DIGIT
            if after_blank and num_tokens > 0:
                tokens[num_tokens] = mix(uint64(32))
                starts[num_tokens], stops[num_tokens] = stops[num_tokens - 1], begin
                num_tokens += 1
            after_blank = False
            for each in (character, uint64(second), uint64(third)):
                if each != 0:
                    tokens[num_tokens] = mix(each)
                    starts[num_tokens], stops[num_tokens] = begin, at
                    num_tokens += 1
            continue
        if kind == SINGLE:
            if open_word:
                tokens[num_tokens - 1] = mix(value)
                open_word = False
            in_number = False
            tokens[num_tokens] = mix(character + uint64(0x9E3779B97F4A7C15))
            starts[num_tokens], stops[num_tokens] = begin, at
            num_tokens += 1
            continue
        if not open_word:
            open_word = True
            value = uint64(0x9E3779B97F4A7C15)
            starts[num_tokens] = begin
            num_tokens += 1
            in_number = False
        stops[num_tokens - 1] = at
        if same_numbers and kind == DIGIT:
            if in_number:
                continue
            character = uint64(48)
        in_number = kind == DIGIT
        value = (value ^ character) * uint64(0x9E3779B97F4A7C15)
        if second != 0:
            value = (value ^ uint64(second)) * uint64(0x9E3779B97F4A7C15)
            value = (value ^ uint64(third)) * uint64(0x9E3779B97F4A7C15) if third != 0 else value
        while at < stop and data[at] < 0x80 and (table[data[at]] >> CLASS_SHIFT) & 15 == LETTER:  # ASCII letters, tight
            value = (value ^ uint64(table[data[at]] & CHARACTER_MASK)) * uint64(0x9E3779B97F4A7C15)
            at += 1
            in_number = False
        stops[num_tokens - 1] = at
    if open_word:
        tokens[num_tokens - 1] = mix(value)
    return num_tokens


@kernel
def shingle_hashes(tokens: npt.NDArray[np.uint64], num_tokens: int, size: int, shingles: npt.NDArray[np.uint32]) -> int:
    """32-bit hashes of the runs of `size` tokens into `shingles`, in order, repeats included; gives how many."""
    if num_tokens == 0:
        return 0
    multiplier = uint64(0xD6E8FEB86659FD93)
    leaving = uint64(1)
    rolled = uint64(0)
    length = min(size, num_tokens)
    for i in range(length):
        rolled = rolled * multiplier + tokens[i]
        leaving = leaving * multiplier
    shingles[0] = uint32(mix(rolled + uint64(length)) >> uint64(32))
    num_shingles = 1
    for i in range(length, num_tokens):
        rolled = rolled * multiplier + tokens[i] - leaving * tokens[i - length]
        shingles[num_shingles] = uint32(mix(rolled + uint64(length)) >> uint64(32))
        num_shingles += 1
    return num_shingles


@kernel
def longest_row(offsets: npt.NDArray[np.int64]) -> int:
    """Bytes of the longest row, at least 1."""
    longest = 1
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@kernel
def shingle_sets(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint32],
    unit: int,
    same_numbers: bool,
    size: int,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The shingle set of each row: values (sorted inside a row, distinct) and int64 offsets [rows + 1]."""
    longest = longest_row(offsets)
    tokens = np.empty(longest, dtype=np.uint64)
    starts, stops = np.empty(longest, dtype=np.int64), np.empty(longest, dtype=np.int64)
    shingles, spare = np.empty(longest, dtype=np.uint32), np.empty(longest, dtype=np.uint32)
    sets = np.empty(max(1, (offsets[-1] - offsets[0]) // 4), dtype=np.uint32)
    bounds = np.zeros(len(offsets), dtype=np.int64)
    filled = 0
    for row in range(len(offsets) - 1):
        num_tokens = tokenize(data, offsets[row], offsets[row + 1], table, unit, same_numbers, tokens, starts, stops)
        num_shingles = shingle_hashes(tokens, num_tokens, size, shingles)
        if filled + num_shingles > len(sets):
            grown = np.empty(2 * (filled + num_shingles), dtype=np.uint32)
            grown[:filled] = sets[:filled]
            sets = grown
        sort_hashes(shingles, spare, num_shingles)
        for i in range(num_shingles):
            if i == 0 or shingles[i] != shingles[i - 1]:
                sets[filled] = shingles[i]
                filled += 1
        bounds[row + 1] = filled
    return sets[:filled].copy(), bounds


@kernel
def sort_hashes(values: npt.NDArray[np.uint32], spare: npt.NDArray[np.uint32], num_values: int) -> None:
    """Sort values[:num_values]: few by insertion, many by their four bytes in turn, lowest first."""
    if num_values <= 48:
        for i in range(1, num_values):
            value, j = values[i], i
            while j > 0 and values[j - 1] > value:
                values[j] = values[j - 1]
                j -= 1
            values[j] = value
        return
    source, target = values, spare
    for shift in (0, 8, 16, 24):
        places = np.zeros(257, dtype=np.int64)
        for i in range(num_values):
            places[((source[i] >> shift) & 255) + 1] += 1
        for digit in range(256):
            places[digit + 1] += places[digit]
        for i in range(num_values):
            digit = (source[i] >> shift) & 255
            target[places[digit]] = source[i]
            places[digit] += 1
        source, target = target, source


def warmup() -> None:
    """Compile for the types that `minhash` uses."""
    shingle_sets(*text_buffers(pa.array(["warm up"], pa.large_string())), folding_table(), WORD, False, 1)
