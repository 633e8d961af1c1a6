"""Which windows of texts that share a sample are equal, byte by byte, and which windows of periodic runs are.

Windows are brought together by a rolling hash (a polynomial modulo 2^64, mixed) and their distance from the sample, and
compared with the best of their kind. Texts that agree around the sample agree in all windows that lie within, so a pair
of texts is compared once and not for every window. Memory is a table of a limited number of windows, whatever the
number of texts of one sample: these may lie in a mapped file.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hash_table import table_mask
from corpusmill.stages.kernels.hashing import mix
from corpusmill.stages.kernels.winnowing import MAX_PERIOD

WINDOW_BASE = 0xD6E8FEB86659FD93
WINDOW_INVERSE = pow(WINDOW_BASE, -1, 1 << 64)
FIRST_WINDOWS = 256
"""Distinct windows of one sample that there is room for at first."""
FEW_MEMBERS = 16
TOGETHER = 1 << 18
"""Windows of one sample that are compared together: up to 32 bytes each."""


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
    order: npt.NDArray[np.int64],
    bounds: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    length: int,
    together: int,
) -> npt.NDArray[np.int64]:
    """Windows that equal a better one, as runs: int64 [found, 3]: entry, first window, number of windows.

    Entry e has the text data[starts[e] : starts[e + 1]], which begins at byte firsts[e] of its document, and its sample
    at byte places[e] of that; every window of the text holds the sample. Group g of one sample is the entries order[i],
    bounds[g] <= i < bounds[g + 1]; they are put into the order in which the first of equal windows stays: (name, row,
    place). Windows can be equal only at the same distance from the sample, so a group of more than `together` windows
    is worked in passes over ranges of distances, of about so many windows each (of a distance, an entry has one).
    """
    found = np.empty((16, 3), dtype=np.int64)
    num_found = 0
    most = largest = 1  # windows of a pass, members of a group
    for group in range(len(bounds) - 1):
        members = order[bounds[group] : bounds[group + 1]]
        sort_members(members, names, rows, places)
        if len(members) > 2:
            most = max(most, min(num_windows(members, starts, length), max(together, len(members))))
            largest = max(largest, len(members))
    slots = np.empty(table_mask(most + 1) + 1, dtype=np.int32)
    distinct = np.empty((most, 2), dtype=np.int32)  # windows: index of the entry in its group, distance
    distinct_hashes = np.empty(most, dtype=np.uint64)
    hashes = np.empty(largest, dtype=np.uint64)  # of each member's last window; here and below: in the pass before
    runs = np.empty(largest, dtype=np.int64)  # the row of `found` that this one belongs to, or -1
    alikes = np.empty(largest, dtype=np.int64)  # the member that it is known to agree with, or -1
    for group in range(len(bounds) - 1):
        members = order[bounds[group] : bounds[group + 1]]
        if len(members) == 2:  # most groups
            left, right = agreement(data, starts, places, firsts, members[1], members[0])
            if left + right >= length:
                found, num_found = with_run(
                    found, num_found, members[1], places[members[1]] - left, left + right - length + 1
                )
            continue
        runs[: len(members)] = alikes[: len(members)] = -1
        edges = pass_edges(members, places, firsts, starts, length, together)
        for step in range(len(edges) - 1):
            found, num_found = repeated_at_distances(
                members,
                edges[step],
                edges[step + 1],
                places,
                firsts,
                data,
                starts,
                length,
                (slots, distinct, distinct_hashes),
                (hashes, runs, alikes),
                found,
                num_found,
            )
    return found[:num_found]


@kernel
def repeated_at_distances(
    members: npt.NDArray[np.int64],
    low: int,
    high: int,
    places: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    length: int,
    table: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.uint64]],
    states: tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
    found: npt.NDArray[np.int64],
    num_found: int,
) -> tuple[npt.NDArray[np.int64], int]:
    """Of one group's windows, those whose sample is low .. high - 1 bytes behind their begin and that repeat.

    The windows of an entry come from the last to the first; runs go on from the pass before.
    """
    slots, distinct, distinct_hashes = table
    hashes, runs, alikes = states
    power = uint64(1)  # WINDOW_BASE ^ (length - 1)
    for _ in range(length - 1):
        power *= uint64(WINDOW_BASE)
    mask, num_distinct = min(2 * FIRST_WINDOWS, len(slots)) - 1, 0
    slots[: mask + 1] = -1
    for index in range(len(members)):
        entry = members[index]
        sample = starts[entry] + places[entry] - firsts[entry]
        nearest = max(0, length - (starts[entry + 1] - sample))
        farthest = sample - starts[entry]
        hash_, run, alike = hashes[index], runs[index], alikes[index]
        left = right = 0  # bytes before and from the sample on that agree with those of `alike`
        if alike >= 0:
            left, right = agreement(data, starts, places, firsts, entry, members[alike])
        for distance in range(max(low, nearest), min(high, farthest + 1)):
            window = sample - distance
            if distance == nearest:
                hash_ = hash_of(data[window : window + length])
            else:
                hash_ = (hash_ - uint64(data[window + length]) - uint64(1)) * uint64(WINDOW_INVERSE)
                hash_ += (uint64(data[window]) + uint64(1)) * power
            repeated = distance <= left and length - distance <= right
            if not repeated:
                slot = np.int64(mix(hash_ + uint64(distance)) & uint64(mask))
                while slots[slot] >= 0:
                    other = slots[slot]
                    if distinct_hashes[other] == hash_ and distinct[other, 1] == distance:
                        if distinct[other, 0] != alike:
                            alike = distinct[other, 0]
                            left, right = agreement(data, starts, places, firsts, entry, members[alike])
                        if distance <= left and length - distance <= right:
                            repeated = True
                            break
                    slot = (slot + 1) & mask
                if not repeated:
                    slots[slot] = num_distinct
                    distinct[num_distinct, 0], distinct[num_distinct, 1] = index, distance
                    distinct_hashes[num_distinct] = hash_
                    num_distinct += 1
                    if 2 * num_distinct > mask:
                        mask = 2 * mask + 1
                        fill(slots[: mask + 1], distinct[:num_distinct], distinct_hashes)
            if not repeated:
                run = -1
            elif run >= 0:
                found[run, 1] -= 1
                found[run, 2] += 1
            else:
                run = num_found
                found, num_found = with_run(found, num_found, entry, places[entry] - distance, 1)
        hashes[index], runs[index], alikes[index] = hash_, run, alike
    return found, num_found


@kernel
def hash_of(window: npt.NDArray[np.uint8]) -> np.uint64:
    """Its bytes + 1 as the coefficients of a polynomial at WINDOW_BASE, modulo 2^64."""
    value = uint64(0)
    for byte in window:
        value = value * uint64(WINDOW_BASE) + uint64(byte) + uint64(1)
    return value


@kernel
def sort_members(
    members: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int32],
) -> None:
    """Put the entries of a group into the order (name, row, place)."""
    if len(members) > FEW_MEMBERS:
        members[:] = members[np.argsort(names[members], kind="mergesort")]
    for i in range(1, len(members)):  # what is left of large groups is nearly sorted
        entry, at = members[i], i
        while at > 0:
            other = members[at - 1]
            if names[other] < names[entry] or (
                names[other] == names[entry]
                and (rows[other] < rows[entry] or (rows[other] == rows[entry] and places[other] <= places[entry]))
            ):
                break
            members[at] = other
            at -= 1
        members[at] = entry


@kernel
def pass_edges(
    members: npt.NDArray[np.int64],
    places: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    length: int,
    together: int,
) -> npt.NDArray[np.int64]:
    """Pass p is of the distances edges[p] .. edges[p + 1] - 1: about `together` windows, or those of one distance."""
    if num_windows(members, starts, length) <= together:
        return np.array([0, length], dtype=np.int64)
    counts = np.zeros(length + 1, dtype=np.int64)  # first the changes from one distance to the next
    for entry in members:
        farthest = places[entry] - firsts[entry]
        counts[farthest - (starts[entry + 1] - starts[entry] - length)] += 1
        counts[farthest + 1] -= 1
    edges = [0]
    some = open_windows = 0
    for distance in range(length):
        some += counts[distance]
        if open_windows + some > together and open_windows > 0:
            edges.append(distance)
            open_windows = 0
        open_windows += some
    edges.append(length)
    return np.array(edges, dtype=np.int64)


@kernel
def num_windows(members: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], length: int) -> int:
    """Windows of all these entries."""
    total = 0
    for entry in members:
        total += starts[entry + 1] - starts[entry] - length + 1
    return total


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
def fill(slots: npt.NDArray[np.int32], distinct: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64]) -> None:
    """The table of the distinct windows, anew, in slots whose number is a power of two."""
    mask = len(slots) - 1
    slots[:] = -1
    for number in range(len(distinct)):
        slot = np.int64(mix(hashes[number] + uint64(distinct[number, 1])) & uint64(mask))
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = number


@kernel
def with_run(
    found: npt.NDArray[np.int64], num_found: int, entry: int, first: int, count: int
) -> tuple[npt.NDArray[np.int64], int]:
    """The runs found with one more (entry, first window, number of windows), and how many there are."""
    if num_found == len(found):
        more = np.empty((2 * num_found, 3), dtype=np.int64)
        more[:num_found] = found
        found = more
    found[num_found, 0], found[num_found, 1], found[num_found, 2] = entry, first, count
    return found, num_found + 1


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
                    count = counts[run] - i if everything else 1
                    found, num_found = with_run(found, num_found, run, firsts[run] + i, count)
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
    repeated_windows(zeros.copy(), bounds, names, names, places, places, data, offsets, 3, TOGETHER)
    repeated_in_runs(bounds, ones, ones, ones, ones)
