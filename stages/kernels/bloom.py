"""A Bloom filter over 64-bit keys (Bloom 1970): bits that say "never seen" for sure and "seen" with a known error.

The bits of a key follow from two hashes of it (Kirsch and Mitzenmacher 2006). Capacity and error rate give the size:
1.44 log2(1 / error) bits per key.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import mix


def filter_shape(capacity: int, error_rate: float) -> tuple[int, int]:
    """(bytes, hashes) of a filter in which, with `capacity` keys added, a new key seems seen with `error_rate`."""
    num_bits = math.ceil(-capacity * math.log(error_rate) / math.log(2) ** 2)
    return max(8, -(-num_bits // 8)), max(1, round(-math.log2(error_rate)))


@kernel
def add_keys(bits: npt.NDArray[np.uint8], keys: npt.NDArray[np.uint64], num_hashes: int) -> npt.NDArray[np.bool_]:
    """Add the keys in order; whether each seemed to be there before."""
    seen = np.ones(len(keys), dtype=np.bool_)
    num_bits = uint64(8 * len(bits))
    for i in range(len(keys)):
        place, step = mix(keys[i]), mix(keys[i] ^ uint64(0x9E3779B97F4A7C15)) | uint64(1)
        for _ in range(num_hashes):
            bit = place % num_bits
            mask = np.uint8(1 << (bit & uint64(7)))
            if not bits[bit >> uint64(3)] & mask:
                seen[i] = False
                bits[bit >> uint64(3)] |= mask
            place += step
    return seen


@kernel
def has_keys(bits: npt.NDArray[np.uint8], keys: npt.NDArray[np.uint64], num_hashes: int) -> npt.NDArray[np.bool_]:
    """Whether each key seems to be there."""
    seen = np.ones(len(keys), dtype=np.bool_)
    num_bits = uint64(8 * len(bits))
    for i in range(len(keys)):
        place, step = mix(keys[i]), mix(keys[i] ^ uint64(0x9E3779B97F4A7C15)) | uint64(1)
        for _ in range(num_hashes):
            bit = place % num_bits
            if not bits[bit >> uint64(3)] & np.uint8(1 << (bit & uint64(7))):
                seen[i] = False
                break
            place += step
    return seen


def warmup() -> None:
    """Compile for the types that the gathers use."""
    bits, keys = np.zeros(8, dtype=np.uint8), np.ones(1, dtype=np.uint64)
    add_keys(bits, keys, 1)
    has_keys(bits, keys, 1)
