"""An open-addressing table of 64-bit keys in an array that the caller owns and reuses.

Keys are hashes, told apart by all 64 bits; the key 0 stands for an empty slot and is stored as 1. The caller clears
the first `mask + 1` slots before use and keeps them at most half full.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import inlined, kernel


@inlined
def find_slot(table: npt.NDArray[np.uint64], mask: int, key: np.uint64) -> int:
    """The slot that holds `key`, or the empty one where it belongs."""
    slot = int((key * uint64(0x9E3779B97F4A7C15)) >> uint64(32)) & mask
    while table[slot] != uint64(0) and table[slot] != key:
        slot = (slot + 1) & mask
    return slot


@inlined
def insert(table: npt.NDArray[np.uint64], mask: int, key: np.uint64) -> bool:
    """Add `key`; whether it was there before."""
    key = max(key, uint64(1))
    slot = find_slot(table, mask, key)
    present = bool(table[slot] == key)
    table[slot] = key
    return present


@kernel
def table_mask(num_keys: int) -> int:
    """Slots - 1 of a table for so many keys, slots being a power of two and at least twice the keys."""
    slots = 16
    while slots < 2 * num_keys:
        slots *= 2
    return slots - 1
