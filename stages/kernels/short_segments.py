"""The ids of the shortest segments, one or two characters, made once for a model.

Three of four segments of Chinese text are so short. Their ids are those that the merge loop gives, so the loop is run
on each when a model is opened.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.bpe_merges import PAIR_BITS, BpeTables, merge_segment
from corpusmill.stages.kernels.compile import kernel

MOST_IDS = 3
"""Ids of 20 bits that are packed with their number in the low 4 bits; 0 stands for more."""


@kernel
def pack_each(
    data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], tables: BpeTables, packed: npt.NDArray[np.uint64]
) -> None:
    """The packed ids of each segment data[ends[i] : ends[i + 1]] into `packed` [segments]."""
    work = np.empty((6, 64), dtype=np.int32)
    ids = np.empty(64, dtype=np.int32)
    for number in range(len(packed)):
        count = merge_segment(data, ends[number], ends[number + 1], tables, ids, 0, work)
        packed[number] = uint64(0)
        if count <= MOST_IDS:
            packed[number] = uint64(count)
            for position in range(count):
                packed[number] |= uint64(ids[position]) << uint64(4 + 20 * position)


@kernel
def fill_pairs(
    keys: npt.NDArray[np.uint64],
    packed: npt.NDArray[np.uint64],
    bits: npt.NDArray[np.uint8],
    pairs: npt.NDArray[np.uint64],
) -> None:
    """Put pairs [pairs], keys left << 32 | right, into the bitmap and the table of `BpeTables`, both empty."""
    mask = len(pairs) - 1
    for number in range(len(keys)):
        mixed = keys[number] * uint64(0x9E3779B97F4A7C15)
        bit = int(mixed >> uint64(64 - PAIR_BITS))
        bits[bit >> 3] |= np.uint8(1 << (bit & 7))
        slot = int(mixed >> uint64(31)) & mask & -2
        while pairs[slot] != uint64(0):
            slot = (slot + 2) & mask
        pairs[slot], pairs[slot + 1] = keys[number], packed[number]


def warmup() -> None:
    """Compile for the types that are used; `pack_each` is compiled with the tables of segment_table.py."""
    one = np.ones(1, dtype=np.uint64)
    fill_pairs(one, one, np.zeros(1 << PAIR_BITS - 3, np.uint8), np.zeros(4, np.uint64))
