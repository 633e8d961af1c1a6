"""64-bit hashes of tokens, texts and identifiers, the same on every machine.

`mix` is the finaliser of MurmurHash3 (Appleby, public domain): a bijection of 64 bits in which every input bit
changes half of the output bits. Sequences are hashed by multiplying with an odd constant and adding, modulo 2^64, and
mixing at the end: cheap to roll, uniform after the mix. None of this resists an adversary who plans collisions.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint64

from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.folding import (
    BLANK,
    CHARACTER_MASK,
    CLASS_SHIFT,
    IGNORED,
    SPACE_FLAG,
    folding_table,
)


@kernel
def mix(value: np.uint64) -> np.uint64:
    """The uint64 with its bits stirred."""
    value = uint64(value)
    value ^= value >> uint64(33)
    value *= uint64(0xFF51AFD7ED558CCD)
    value ^= value >> uint64(33)
    value *= uint64(0xC4CEB9FE1A85EC53)
    value ^= value >> uint64(33)
    return value


@kernel
def decode(data: npt.NDArray[np.uint8], at: int) -> tuple[int, int]:
    """The code point at byte `at` of valid UTF-8, and its length in bytes."""
    first = int(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | int(data[at + 1]) & 0x3F, 2
    second = int(data[at + 1]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | int(data[at + 2]) & 0x3F, 3
    return (first & 0x07) << 18 | second << 12 | (int(data[at + 2]) & 0x3F) << 6 | int(data[at + 3]) & 0x3F, 4


@kernel
def spelled(code: int) -> tuple[int, int, int]:
    """The letters that a sign stands for where it is one for several (ß, ﬁ, ﬄ …), then 0; (code, 0, 0) for others."""
    if code == 0xDF or code == 0x1E9E or code == 0xFB05 or code == 0xFB06:
        return 0x73, 0x73 if code < 0xFB05 else 0x74, 0
    if code == 0xFB00:
        return 0x66, 0x66, 0
    if code == 0xFB01 or code == 0xFB02:
        return 0x66, 0x69 if code == 0xFB01 else 0x6C, 0
    if code == 0xFB03 or code == 0xFB04:
        return 0x66, 0x66, 0x69 if code == 0xFB03 else 0x6C
    return code, 0, 0


def hash_identifiers(values: Column) -> npt.NDArray[np.uint64]:
    """uint64 [rows] of a string column: equal strings have equal hashes."""
    data, offsets = text_buffers(values.cast(pa.large_string()))
    return hash_bytes(data, offsets, np.uint64(0))


@kernel
def hash_bytes(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], seed: np.uint64) -> npt.NDArray[np.uint64]:
    """uint64 [rows]: hash of each row's bytes as they are."""
    hashes = np.empty(len(offsets) - 1, dtype=np.uint64)
    for row in range(len(hashes)):
        value = mix(seed + uint64(offsets[row + 1] - offsets[row]))
        for at in range(offsets[row], offsets[row + 1]):
            value = (value ^ uint64(data[at])) * uint64(0x9E3779B97F4A7C15)
            value ^= value >> uint64(29)
        hashes[row] = mix(value)
    return hashes


@kernel
def hash_spaced(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint32],
    seed: np.uint64,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """uint64 [rows]: hash of each row, White_Space runs as one blank, none at the ends; int64 [rows]: characters."""
    hashes = np.empty(len(offsets) - 1, dtype=np.uint64)
    lengths = np.zeros(len(offsets) - 1, dtype=np.int64)
    for row in range(len(hashes)):
        value, length, pending = mix(seed), 0, False
        at = offsets[row]
        while at < offsets[row + 1]:
            code, size = decode(data, at)
            at += size
            if table[code] & uint64(SPACE_FLAG):
                pending = length > 0
                continue
            if pending:
                value = (value ^ uint64(32)) * uint64(0x9E3779B97F4A7C15)
                value ^= value >> uint64(29)
                length, pending = length + 1, False
            value = (value ^ uint64(code)) * uint64(0x9E3779B97F4A7C15)
            value ^= value >> uint64(29)
            length += 1
        hashes[row], lengths[row] = mix(value + uint64(length)), length
    return hashes, lengths


@kernel
def hash_folded(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint32],
    seed: np.uint64,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """As `hash_spaced`, over folded characters: runs of BLANK class count as one blank, IGNORED ones vanish."""
    hashes = np.empty(len(offsets) - 1, dtype=np.uint64)
    lengths = np.zeros(len(offsets) - 1, dtype=np.int64)
    for row in range(len(hashes)):
        value, length, pending = mix(seed), 0, False
        at = offsets[row]
        while at < offsets[row + 1]:
            code, size = decode(data, at)
            at += size
            entry = table[code]
            kind = (entry >> CLASS_SHIFT) & 15
            if kind == IGNORED:
                continue
            if kind == BLANK:
                pending = length > 0
                continue
            if pending:
                value = (value ^ uint64(32)) * uint64(0x9E3779B97F4A7C15)
                value ^= value >> uint64(29)
                length, pending = length + 1, False
            first, second, third = spelled(code)
            if second == 0:
                first = int(entry & CHARACTER_MASK)
            for character in (first, second, third):
                if character != 0:
                    value = (value ^ uint64(character)) * uint64(0x9E3779B97F4A7C15)
                    value ^= value >> uint64(29)
                    length += 1
        hashes[row], lengths[row] = mix(value + uint64(length)), length
    return hashes, lengths


@kernel
def mix_all(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """`mix` of every value."""
    mixed = np.empty(len(values), dtype=np.uint64)
    for i in range(len(values)):
        mixed[i] = mix(values[i])
    return mixed


def warmup() -> None:
    """Compile for the types that the gathers use."""
    data, offsets = text_buffers(pa.array(["warm up"], pa.large_string()))
    hash_bytes(data, offsets, np.uint64(0))
    hash_spaced(data, offsets, folding_table(), np.uint64(0))
    hash_folded(data, offsets, folding_table(), np.uint64(0))
    mix_all(pa.array([1], pa.uint64()).to_numpy())
    mix_all(np.ones(1, dtype=np.uint64))
