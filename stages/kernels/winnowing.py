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
from corpusmill.stages.kernels.hash_table import table_mask
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
    periods = np.empty(longest, dtype=np.uint8)
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        num_windows = len(text) - length + 1
        if num_windows < 1:
            continue
        roll(text, size, uint64(SAMPLE_BASE), hashes)
        find_periods(text, length, periods)
        head = tail = 0  # queue[head:tail]: k-grams that may yet be least, their hashes ascending
        for gram in range(width - 1):
            while tail > head and hashes[queue[tail - 1]] >= hashes[gram]:
                tail -= 1
            queue[tail] = gram
            tail += 1
        for window in range(num_windows):
            gram = window + width - 1
            while tail > head and hashes[queue[tail - 1]] >= hashes[gram]:
                tail -= 1
            queue[tail] = gram
            tail += 1
            while queue[head] < window:
                head += 1
            repeated = int(periods[window])
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
                keys[num_found] = mix(hashes[place])  # least hashes are small; keys fill their range
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


@kernel
def window_hashes(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    length: int,
    rows: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint64]:
    """made[starts[i] + j] = hash of window firsts[i] + j of document rows[i] (ascending), for j < counts[i]."""
    longest = 1
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest, dtype=np.uint64)
    made = np.empty(counts.sum(), dtype=np.uint64)
    rolled = -1
    for i in range(len(rows)):
        if rows[i] != rolled:
            rolled = rows[i]
            roll(data[offsets[rolled] : offsets[rolled + 1]], length, uint64(WINDOW_BASE), hashes)
        made[starts[i] : starts[i] + counts[i]] = hashes[firsts[i] : firsts[i] + counts[i]]
    return made


@kernel
def repeated_windows(
    bounds: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
) -> npt.NDArray[np.int64]:
    """Windows that equal a better one, as runs: int64 [found, 3]: entry, first window, number of windows.

    Entry e has windows firsts[e] onwards with hashes[ends[e] : ends[e + 1]]; group g of one sample is the entries
    bounds[g] .. bounds[g + 1]. Windows are equal where their hashes and their distances from the sample are. The best
    of equals, which stays, has the least (name, row, first byte).
    """
    found = np.empty((16, 3), dtype=np.int64)
    num_found = 0
    slots = np.empty((64, 2), dtype=np.int64)  # of each distinct window: entry and first byte of the best
    counts = np.empty(64, dtype=np.int64)
    where = np.empty(64, dtype=np.int64)  # of each window: its slot
    for group in range(len(bounds) - 1):
        low = ends[bounds[group]]
        num_windows = ends[bounds[group + 1]] - low
        mask = table_mask(num_windows)
        if mask >= len(slots):
            slots = np.empty((mask + 1, 2), dtype=np.int64)
            counts = np.empty(mask + 1, dtype=np.int64)
        if num_windows > len(where):
            where = np.empty(2 * num_windows, dtype=np.int64)
        counts[: mask + 1] = 0
        for entry in range(bounds[group], bounds[group + 1]):
            for at in range(ends[entry], ends[entry + 1]):
                window = firsts[entry] + at - ends[entry]
                within = places[entry] - window
                slot = np.int64(mix(hashes[at] + uint64(within)) & uint64(mask))
                while counts[slot] > 0:
                    other = slots[slot, 0]
                    theirs = slots[slot, 1]
                    if places[other] - theirs == within and hashes[ends[other] + theirs - firsts[other]] == hashes[at]:
                        break
                    slot = (slot + 1) & mask
                where[at - low] = slot
                better = counts[slot] == 0
                if not better:
                    other = slots[slot, 0]
                    better = names[entry] < names[other] or (
                        names[entry] == names[other]
                        and (rows[entry] < rows[other] or (rows[entry] == rows[other] and window < slots[slot, 1]))
                    )
                if better:
                    slots[slot, 0], slots[slot, 1] = entry, window
                counts[slot] += 1
        for entry in range(bounds[group], bounds[group + 1]):
            run = 0
            for at in range(ends[entry], ends[entry + 1] + 1):
                window = firsts[entry] + at - ends[entry]
                if at < ends[entry + 1]:
                    slot = where[at - low]
                    if counts[slot] > 1 and not (slots[slot, 0] == entry and slots[slot, 1] == window):
                        run += 1
                        continue
                if run > 0:
                    if num_found == len(found):
                        more = np.empty((2 * num_found, 3), dtype=np.int64)
                        more[:num_found] = found
                        found = more
                    found[num_found, 0], found[num_found, 1], found[num_found, 2] = entry, window - run, run
                    num_found += 1
                    run = 0
    return found[:num_found].copy()


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
    zeros = np.zeros(1, dtype=np.int64)
    window_hashes(data, offsets, 3, zeros, read_only, read_only, zeros)
    bounds, hashes = np.array([0, 1], dtype=np.int64), np.ones(1, dtype=np.uint64)
    repeated_in_runs(bounds, ones, ones, ones, ones)
    names = pa.array([1], pa.uint64()).to_numpy()
    repeated_windows(bounds, names, names, read_only, read_only, bounds, hashes)
