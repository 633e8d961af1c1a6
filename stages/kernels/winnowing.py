"""Samples of a text such that equal windows of `length` bytes have equal samples, wherever they stand.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of the k-grams in a window the one with the least hash is its sample,
the rightmost of equals, so the sample is a function of the window's bytes. Neighbouring windows share theirs: with k a
third of the length one sample stands for 34 bytes on average at length 100. Where a window repeats itself with a short
period (dashes, table rules) every place would be a sample; such windows are told apart first, and a run of them is one
row. Hashes are polynomials modulo 2^64, mixed.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import mix

MAX_PERIOD = 8
SAMPLE_BASE = 0x9E3779B97F4A7C15
BLOCK_WINDOWS = 1 << 16


@kernel
def sample_windows(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], length: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Keys uint64 [found], and int32 [found, 5]: row, period (0: a sample), place, first window, number of windows.

    Windows are named by their first byte in the row. A sample's key is the hash of its k-gram, its place where that
    begins. A periodic run's key is the hash of the least rotation of its period, its place where that first stands.
    """
    size = max(1, length // 3)
    width = length - size + 1
    keys = np.empty(1024, dtype=np.uint64)
    found = np.empty((1024, 5), dtype=np.int32)
    num_found = 0
    block = BLOCK_WINDOWS + length - 1  # bytes looked at together: a document of any size needs the same memory
    hashes = np.empty(block, dtype=np.uint64)
    periods = np.empty(block, dtype=np.uint8)
    for row in range(len(offsets) - 1):
        num_windows = offsets[row + 1] - offsets[row] - length + 1
        own = num_found  # of this row: found[own:num_found]; the last is open
        open_period = open_stop = open_place = 0
        for start in range(0, num_windows, BLOCK_WINDOWS):
            some = min(BLOCK_WINDOWS, num_windows - start)
            text = data[offsets[row] + start : offsets[row] + start + some + length - 1]
            roll(text, size, uint64(SAMPLE_BASE), hashes)
            find_periods(text, length, periods)
            place, least = 0, uint64(0xFFFFFFFFFFFFFFFF)
            for gram in range(width - 1):
                if hashes[gram] <= least:
                    place, least = gram, hashes[gram]
            for window in range(some):
                gram = window + width - 1
                if hashes[gram] <= least:
                    place, least = gram, hashes[gram]
                elif place < window:  # the sample is left behind: once in 34 windows at length 100
                    place, least = window, hashes[window]
                    for other in range(window + 1, gram + 1):
                        if hashes[other] <= least:
                            place, least = other, hashes[other]
                repeated = int(periods[window])
                if (
                    num_found > own
                    and open_period == repeated
                    and open_stop == start + window
                    and (repeated > 0 or open_place == start + place)
                ):
                    found[num_found - 1, 4] += 1
                    open_stop += 1
                    continue
                open_period, open_stop, open_place = repeated, start + window + 1, start + place
                if num_found == len(keys):
                    keys, found = twice(keys, found)
                if repeated == 0:
                    keys[num_found] = mix(hashes[place])  # least hashes are small; keys fill their range
                else:
                    rotation = least_rotation(text, window, repeated)
                    open_place = start + rotation
                    keys[num_found] = run_key(text, rotation, repeated)
                found[num_found, 0], found[num_found, 1], found[num_found, 2] = row, repeated, open_place
                found[num_found, 3], found[num_found, 4] = start + window, 1
                num_found += 1
    return keys[:num_found], found[:num_found]


@kernel
def twice(
    keys: npt.NDArray[np.uint64], found: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Both with room for twice as many rows."""
    more_keys, more = np.empty(2 * len(keys), dtype=np.uint64), np.empty((2 * len(keys), 5), dtype=np.int32)
    more_keys[: len(keys)], more[: len(keys)] = keys, found
    return more_keys, more


@kernel
def run_key(text: npt.NDArray[np.uint8], start: int, period: int) -> np.uint64:
    """Hash of a period and of its bytes from `start`."""
    value = uint64(period)
    for at in range(start, start + period):
        value = mix(value ^ uint64(text[at]))
    return value


@kernel
def find_periods(text: npt.NDArray[np.uint8], length: int, periods: npt.NDArray[np.uint8]) -> None:
    """periods[w] = the least period (up to MAX_PERIOD) of the window of `length` bytes from w, 0 where it has none.

    A window of period p is length - p bytes in a row that equal the byte p before, so one of every length - p bytes
    tells of a run that is long enough: ordinary text is looked at in few places.
    """
    num_windows = len(text) - length + 1
    periods[:num_windows] = 0
    for period in range(1, min(MAX_PERIOD, length // 2) + 1):
        step = length - period
        at = period + step - 1
        while at < len(text):
            if text[at] != text[at - period]:
                at += step
                continue
            first = last = at
            while first > period and text[first - 1] == text[first - 1 - period]:
                first -= 1
            while last + 1 < len(text) and text[last + 1] == text[last + 1 - period]:
                last += 1
            for window in range(first - period, last - length + 2):
                if periods[window] == 0:
                    periods[window] = period
            at = last + 1 + step


@kernel
def roll(text: npt.NDArray[np.uint8], size: int, base: np.uint64, hashes: npt.NDArray[np.uint64]) -> None:
    """hashes[i] = hash of the `size` bytes from i, for every i that has them."""
    leaving, value = uint64(1), uint64(0)
    for at in range(len(text)):
        value = value * base + uint64(text[at]) + uint64(1)
        if at < size:
            leaving *= base
        else:
            value -= leaving * (uint64(text[at - size]) + uint64(1))
        if at >= size - 1:
            hashes[at - size + 1] = mix(value)


@kernel
def least_rotation(text: npt.NDArray[np.uint8], start: int, period: int) -> int:
    """Where in text[start : start + period] the least of its rotations begins (text goes on with this period)."""
    best = start
    for candidate in range(start + 1, start + period):
        for i in range(period):
            if text[candidate + i] != text[best + i]:
                if text[candidate + i] < text[best + i]:
                    best = candidate
                break
    return best


def warmup() -> None:
    """Compile for the types that `substrings` uses."""
    sample_windows(*text_buffers(pa.array(["warm up"], pa.large_string())), 3)
