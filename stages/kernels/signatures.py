"""MinHash signatures: for each of `num_perm` permutations of 32-bit hashes, the least image of a document's shingles.

Two documents agree in a permutation with a probability equal to their Jaccard similarity (Broder 1997), so the share
of agreeing places estimates it with variance J (1 - J) / num_perm.

A permutation is x -> a x + b modulo 2^32 with a odd: a true bijection, and one multiplication that vectorises 8 or
16 wide. The usual (a x + b) mod (2^61 - 1) mod 2^32 is no bijection, and in datatrove and datasketch its product wraps
modulo 2^64 before the prime is taken; linear maps are not min-wise independent either, but the shingles they are given
are hashes already. Bias and variance on real text: tests/test_signatures.py.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint32, uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.folding import folding_table
from corpusmill.stages.kernels.hashing import mix
from corpusmill.stages.kernels.shingles import longest_row, shingle_hashes, tokenize


def permutations(num_perm: int, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Multipliers (odd) and offsets, uint32 [num_perm]; the first ones of a longer list are those of a shorter."""
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, 1 << 32, size=(num_perm, 2), dtype=np.uint32)
    return drawn[:, 0] | np.uint32(1), drawn[:, 1].copy()


@kernel
def least_images(
    shingles: npt.NDArray[np.uint32],
    num_shingles: int,
    multipliers: npt.NDArray[np.uint32],
    offsets: npt.NDArray[np.uint32],
    signature: npt.NDArray[np.uint32],
) -> None:
    """Fill `signature` [num_perm]. The inner loop runs over shingles: 112 permutations take 11 ns per shingle."""
    for k in range(len(multipliers)):
        multiplier, offset = multipliers[k], offsets[k]
        least = uint32(0xFFFFFFFF)
        for i in range(num_shingles):
            least = min(least, uint32(multiplier * shingles[i] + offset))
        signature[k] = least


@kernel
def text_signatures(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint32],
    unit: int,
    same_numbers: bool,
    size: int,
    multipliers: npt.NDArray[np.uint32],
    additions: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Signatures uint32 [rows, num_perm] and the number of shingles [rows] (0: the signature means nothing)."""
    longest = longest_row(offsets)
    tokens = np.empty(longest, dtype=np.uint64)
    starts, stops = np.empty(longest, dtype=np.int64), np.empty(longest, dtype=np.int64)
    shingles = np.empty(longest, dtype=np.uint32)
    signatures = np.empty((len(offsets) - 1, len(multipliers)), dtype=np.uint32)
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    for row in range(len(counts)):
        num_tokens = tokenize(data, offsets[row], offsets[row + 1], table, unit, same_numbers, tokens, starts, stops)
        counts[row] = shingle_hashes(tokens, num_tokens, size, shingles)
        least_images(shingles, counts[row], multipliers, additions, signatures[row])
    return signatures, counts


@kernel
def band_keys(signatures: npt.NDArray[np.uint32], bands: int, rows: int, seed: np.uint64) -> npt.NDArray[np.uint64]:
    """uint64 [documents, bands]: hash of the band's number and its `rows` values; equal bands have equal keys."""
    keys = np.empty((len(signatures), bands), dtype=np.uint64)
    for document in range(len(signatures)):
        for band in range(bands):
            value = mix(seed + uint64(band + 1))
            for row in range(rows):
                value = (value ^ uint64(signatures[document, band * rows + row])) * uint64(0x9E3779B97F4A7C15)
                value ^= value >> uint64(29)
            keys[document, band] = mix(value)
    return keys


def warmup() -> None:
    """Compile for the types that `minhash` uses."""
    text = pa.array(["warm up"], pa.large_string())
    multipliers, additions = permutations(2, 0)
    signatures, _ = text_signatures(*text_buffers(text), folding_table(), 0, False, 1, multipliers, additions)
    band_keys(signatures, 1, 2, np.uint64(0))
