"""Samples of a text such that equal windows of `length` bytes have equal samples, wherever they stand.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of the k-grams in a window the one with the least hash is its sample,
the rightmost of equals, so the sample is a function of the window's bytes. Neighbouring windows share theirs: with k a
third of the length one sample stands for 34 bytes on average at length 100. Where a window repeats itself with a short
period (dashes, table rules) every place would be a sample; such windows are told apart first, and a run of them is one
row. Hashes are polynomials modulo 2^64, mixed; texts made to collide (Thue-Morse words of 1024 bytes and more) can.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import mix

MAX_PERIOD = 8
SAMPLE_BASE, WINDOW_BASE = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93


@kernel
def sample_windows(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], length: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Keys uint64 [found], and int64 [found, 5]: row, period (0: a sample), place, first window, number of windows.

    Windows are named by their first byte in the row. A sample's key is the hash of its k-gram, its place where that
    begins. A periodic run's key is the hash of the least rotation of its period, its place where that first stands.
    """
    size = max(1, length // 3)
    width = length - size + 1
    keys = np.empty(1024, dtype=np.uint64)
    found = np.empty((1024, 5), dtype=np.int64)
    num_found = 0
    longest = 1
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest, dtype=np.uint64)
    queue = np.empty(longest, dtype=np.int64)
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        num_windows = len(text) - length + 1
        if num_windows < 1:
            continue
        roll(text, size, uint64(SAMPLE_BASE), hashes)
        streaks = np.zeros(MAX_PERIOD + 1, dtype=np.int64)
        for at in range(1, length - 1):
            for period in range(1, min(MAX_PERIOD, at) + 1):
                streaks[period] = streaks[period] + 1 if text[at] == text[at - period] else 0
        head = tail = 0  # queue[head:tail]: k-grams that may yet be least, their hashes ascending
        for gram in range(width - 1):
            while tail > head and hashes[queue[tail - 1]] >= hashes[gram]:
                tail -= 1
            queue[tail] = gram
            tail += 1
        for window in range(num_windows):
            last, gram = window + length - 1, window + width - 1
            for period in range(1, min(MAX_PERIOD, last) + 1):
                streaks[period] = streaks[period] + 1 if text[last] == text[last - period] else 0
            while tail > head and hashes[queue[tail - 1]] >= hashes[gram]:
                tail -= 1
            queue[tail] = gram
            tail += 1
            while queue[head] < window:
                head += 1
            repeated = 0
            for period in range(1, min(MAX_PERIOD, length // 2) + 1):
                if streaks[period] >= length - period:
                    repeated = period
                    break
            place = queue[head] if repeated == 0 else least_rotation(text, window, repeated)
            if window > 0 and num_found > 0 and found[num_found - 1, 0] == row:
                before = found[num_found - 1]
                if before[1] == repeated and before[3] + before[4] == window and (repeated > 0 or before[2] == place):
                    before[4] += 1
                    continue
            if num_found == len(keys):
                more_keys, more = np.empty(2 * num_found, dtype=np.uint64), np.empty((2 * num_found, 5), dtype=np.int64)
                more_keys[:num_found], more[:num_found] = keys, found
                keys, found = more_keys, more
            if repeated == 0:
                keys[num_found] = hashes[place]
            else:
                value = uint64(repeated)
                for at in range(place, place + repeated):
                    value = mix(value ^ uint64(text[at]))
                keys[num_found] = value
            found[num_found, 0], found[num_found, 1], found[num_found, 2] = row, repeated, place
            found[num_found, 3], found[num_found, 4] = window, 1
            num_found += 1
    return keys[:num_found].copy(), found[:num_found].copy()


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


@kernel
def window_hashes(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    length: int,
    rows: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint64]:
    """Hashes of the windows firsts[i] .. firsts[i] + counts[i] - 1 of document rows[i] (ascending), end to end."""
    longest = 1
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest, dtype=np.uint64)
    made = np.empty(counts.sum(), dtype=np.uint64)
    filled, rolled = 0, -1
    for i in range(len(rows)):
        if rows[i] != rolled:
            rolled = rows[i]
            roll(data[offsets[rolled] : offsets[rolled + 1]], length, uint64(WINDOW_BASE), hashes)
        made[filled : filled + counts[i]] = hashes[firsts[i] : firsts[i] + counts[i]]
        filled += counts[i]
    return made


@kernel
def repeated_in_runs(
    bounds: npt.NDArray[np.int64],
    periods: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Repeated windows of periodic runs: int64 [found, 3]: run, first window, number of windows.

    Group g of equal periods is bounds[g] .. bounds[g + 1], in the order in which the first of equal windows stays.
    """
    found = np.empty((16, 3), dtype=np.int64)
    num_found = 0
    for group in range(len(bounds) - 1):
        covered = np.zeros(MAX_PERIOD, dtype=np.bool_)
        for run in range(bounds[group], bounds[group + 1]):
            for i in range(counts[run]):
                phase = (places[run] - firsts[run] - i) % periods[run]
                everything = i >= periods[run]
                if covered[phase] or everything:
                    if num_found == len(found):
                        more = np.empty((2 * num_found, 3), dtype=np.int64)
                        more[:num_found] = found
                        found = more
                    found[num_found, 0], found[num_found, 1] = run, firsts[run] + i
                    found[num_found, 2] = counts[run] - i if everything else 1
                    num_found += 1
                if everything:
                    break
                covered[phase] = True
    return found[:num_found].copy()


def warmup() -> None:
    """Compile for the types that `substrings` uses."""
    data, offsets = text_buffers(pa.array(["warm up"], pa.large_string()))
    ones = np.ones(1, dtype=np.int64)
    sample_windows(data, offsets, 3)
    read_only = pa.array([1], pa.int64()).to_numpy()
    window_hashes(data, offsets, 3, np.zeros(1, dtype=np.int64), read_only, read_only)
    repeated_in_runs(np.array([0, 1], dtype=np.int64), ones, ones, ones, ones)
