"""Which windows of texts that share a sample are equal, byte by byte, and which windows of periodic runs are.

Windows are brought together by a rolling hash (a polynomial modulo 2^64, mixed) and their distance from the sample, and
compared with the best of their kind. Texts that agree around the sample agree in all windows that lie within, so a pair
of texts is compared once and not for every window.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hash_table import table_mask
from corpusmill.stages.kernels.hashing import mix
from corpusmill.stages.kernels.winnowing import MAX_PERIOD, roll

WINDOW_BASE = 0xD6E8FEB86659FD93
FIRST_WINDOWS = 256
"""Distinct windows of one sample that there is room for at first."""


@kernel
def window_texts(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    documents: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int32],
    bounds: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint8]:
    """made[bounds[i] : bounds[i + 1]] = as many bytes of text documents[i], from firsts[i] on."""
    made = np.empty(bounds[-1], dtype=np.uint8)
    for i in range(len(documents)):
        start = offsets[documents[i]] + firsts[i]
        made[bounds[i] : bounds[i + 1]] = data[start : start + bounds[i + 1] - bounds[i]]
    return made


@kernel
def repeated_windows(
    bounds: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    length: int,
) -> npt.NDArray[np.int64]:
    """Windows that equal a better one, as runs: int64 [found, 3]: entry, first window, number of windows.

    Entry e has the text data[starts[e] : starts[e + 1]], which begins at byte firsts[e] of its document, and its sample
    at byte places[e] of that; every window of the text holds the sample. Group g of one sample is the entries bounds[g]
    .. bounds[g + 1]. The best of equal windows, which stays, has the least (name, row, first byte).
    """
    found = np.empty((16, 3), dtype=np.int64)
    num_found = 0
    longest = most = 1
    for entry in range(len(starts) - 1):
        longest = max(longest, starts[entry + 1] - starts[entry])
    for group in range(len(bounds) - 1):
        size = starts[bounds[group + 1]] - starts[bounds[group]] - (bounds[group + 1] - bounds[group]) * (length - 1)
        most = max(most, size)
    hashes = np.empty(longest, dtype=np.uint64)
    numbers = np.empty(most, dtype=np.int32)  # of each window of a group: which distinct one it is
    slots = np.empty(table_mask(min(most, FIRST_WINDOWS)) + 1, dtype=np.int32)
    best = np.empty((FIRST_WINDOWS, 3), dtype=np.int64)  # of each distinct window: entry, first byte, how many equals
    best_hashes = np.empty(FIRST_WINDOWS, dtype=np.uint64)
    for group in range(len(bounds) - 1):
        low = bounds[group]
        num_windows = starts[bounds[group + 1]] - starts[low] - (bounds[group + 1] - low) * (length - 1)
        mask = table_mask(min(num_windows, FIRST_WINDOWS))
        slots[: mask + 1] = -1
        num_distinct = 0
        for entry in range(low, bounds[group + 1]):
            text = data[starts[entry] : starts[entry + 1]]
            roll(text, length, uint64(WINDOW_BASE), hashes)
            own = starts[entry] - starts[low] - (entry - low) * (length - 1)  # numbers[own:] are this entry's
            alike, left, right = -1, 0, 0  # an entry that agrees so many bytes before and from the sample on
            for at in range(len(text) - length + 1):
                window = firsts[entry] + at
                within = places[entry] - window
                number = -1
                if alike >= 0 and within <= left and length - within <= right:
                    theirs = starts[alike] - starts[low] - (alike - low) * (length - 1)
                    number = numbers[theirs + places[alike] - within - firsts[alike]]
                else:
                    slot = np.int64(mix(hashes[at] + uint64(within)) & uint64(mask))
                    while slots[slot] >= 0:
                        other = best[slots[slot], 0]
                        if best_hashes[slots[slot]] == hashes[at] and places[other] - best[slots[slot], 1] == within:
                            if other != alike:
                                left, right = agreement(data, starts, places, firsts, entry, other)
                                alike = other
                            if within <= left and length - within <= right:
                                number = slots[slot]
                                break
                        slot = (slot + 1) & mask
                    if number < 0:
                        number = slots[slot] = num_distinct
                        num_distinct += 1
                        if number == len(best):
                            best, best_hashes = larger(best, best_hashes)
                        best[number, 0], best[number, 1], best[number, 2] = entry, window, 0
                        best_hashes[number] = hashes[at]
                        if 2 * num_distinct > mask:
                            mask = 2 * mask + 1
                            slots = filled_slots(slots, mask, places, best[:num_distinct], best_hashes)
                numbers[own + at] = number
                best[number, 2] += 1
                other = best[number, 0]
                if names[entry] < names[other] or (
                    names[entry] == names[other]
                    and (rows[entry] < rows[other] or (rows[entry] == rows[other] and window < best[number, 1]))
                ):
                    best[number, 0], best[number, 1] = entry, window
        at = 0
        for entry in range(low, bounds[group + 1]):
            run = 0
            for window in range(firsts[entry], firsts[entry] + starts[entry + 1] - starts[entry] - length + 1):
                number = numbers[at]
                at += 1
                repeated = best[number, 2] > 1 and not (best[number, 0] == entry and best[number, 1] == window)
                if repeated and run > 0:
                    found[num_found - 1, 2] += 1
                elif repeated:
                    if num_found == len(found):
                        more = np.empty((2 * num_found, 3), dtype=np.int64)
                        more[:num_found] = found
                        found = more
                    found[num_found, 0], found[num_found, 1], found[num_found, 2] = entry, window, 1
                    num_found += 1
                run = run + 1 if repeated else 0
    return found[:num_found]


@kernel
def agreement(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    places: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    entry: int,
    other: int,
) -> tuple[int, int]:
    """How many bytes of two entries' texts are equal, before the sample and from it on."""
    mine = starts[entry] + places[entry] - firsts[entry]
    theirs = starts[other] + places[other] - firsts[other]
    left, most = 0, min(mine - starts[entry], theirs - starts[other])
    while left < most and data[mine - left - 1] == data[theirs - left - 1]:
        left += 1
    right, most = 0, min(starts[entry + 1] - mine, starts[other + 1] - theirs)
    while right < most and data[mine + right] == data[theirs + right]:
        right += 1
    return left, right


@kernel
def filled_slots(
    slots: npt.NDArray[np.int32],
    mask: int,
    places: npt.NDArray[np.int32],
    best: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
) -> npt.NDArray[np.int32]:
    """The table of the distinct windows `best` under another mask: in `slots`, or in a new one if that is too small."""
    if len(slots) <= mask:
        slots = np.empty(mask + 1, dtype=np.int32)
    slots[: mask + 1] = -1
    for number in range(len(best)):
        within = places[best[number, 0]] - best[number, 1]
        slot = np.int64(mix(hashes[number] + uint64(within)) & uint64(mask))
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = number
    return slots


@kernel
def larger(
    best: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Both arrays with room for twice as many."""
    more, more_hashes = np.empty((2 * len(best), 3), dtype=np.int64), np.empty(2 * len(hashes), dtype=np.uint64)
    more[: len(best)], more_hashes[: len(hashes)] = best, hashes
    return more, more_hashes


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
    bounds, zeros = np.array([0, 1], dtype=np.int64), np.zeros(1, dtype=np.int64)
    names, places = pa.array([1], pa.uint64()).to_numpy(), pa.array([0], pa.int32()).to_numpy()
    window_texts(data, offsets, zeros, places, bounds)
    repeated_windows(bounds, names, names, places, places, data, offsets, 3)
    repeated_in_runs(bounds, ones, ones, ones, ones)
