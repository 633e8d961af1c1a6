"""Lines and paragraphs that a document says again, as datatrove's `find_duplicates` counts them.

A second and later copy counts, the first does not. Pieces lie between runs of at least `min_newlines` line feeds, so
a text that begins or ends with one has an empty piece there, unless white space at its ends is cut first.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.characters import SPACE, character_classes
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hash_table import insert, table_mask
from corpusmill.stages.kernels.hashing import decode, mix

Bytes = npt.NDArray[np.uint8]


@kernel
def count_repeated_pieces(
    data: Bytes, offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16], min_newlines: int, strip: bool
) -> npt.NDArray[np.int64]:
    """int64 [rows, 3]: pieces, pieces seen before in the row, characters of the latter."""
    counts = np.zeros((len(offsets) - 1, 3), dtype=np.int64)
    table = np.zeros(16, dtype=np.uint64)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        if strip:
            at, stop = stripped(data, at, stop, classes)
        newlines = 0
        for position in range(at, stop):
            newlines += data[position] == 0x0A
        mask = table_mask(newlines + 1)
        if mask >= len(table):
            table = np.zeros(mask + 1, dtype=np.uint64)
        table[: mask + 1] = 0
        pieces, repeated, repeated_chars = 0, 0, 0
        while True:
            end, after = _piece_end(data, at, stop, min_newlines)
            value, chars = hash_piece(data, at, end)
            pieces += 1
            if insert(table, mask, value):
                repeated += 1
                repeated_chars += chars
            if end == stop:
                break
            at = after
        counts[row, 0], counts[row, 1], counts[row, 2] = pieces, repeated, repeated_chars
    return counts


@inlined
def hash_piece(data: Bytes, at: int, end: int) -> tuple[np.uint64, int]:
    """Hash of the bytes [at, end), and how many characters they are."""
    value, chars, position = uint64(0), 0, at
    while position + 8 <= end:
        eight = uint64(0)
        for byte in range(8):  # one load, once compiled
            eight |= uint64(data[position + byte]) << uint64(8 * byte)
        value = (value ^ eight) * uint64(0x9E3779B97F4A7C15)
        value ^= value >> uint64(29)
        position += 8
    while position < end:
        value = (value ^ uint64(data[position])) * uint64(0x9E3779B97F4A7C15)
        value ^= value >> uint64(29)
        position += 1
    for position in range(at, end):
        chars += data[position] & 0xC0 != 0x80
    return mix(value + uint64(end - at)), chars


@kernel
def _piece_end(data: Bytes, at: int, stop: int, min_newlines: int) -> tuple[int, int]:
    """Where the piece that begins at `at` ends, and where the next one begins; (stop, stop) where none follows."""
    while at < stop:
        if data[at] == 0x0A:
            after = at + 1
            while after < stop and data[after] == 0x0A:
                after += 1
            if after - at >= min_newlines:
                return at, after
            at = after
        else:
            at += 1
    return stop, stop


@kernel
def stripped(data: Bytes, at: int, stop: int, classes: npt.NDArray[np.uint16]) -> tuple[int, int]:
    """The bytes [at, stop) without white space at both ends."""
    while at < stop:
        code, size = decode(data, at)
        if not classes[code] & SPACE:
            break
        at += size
    while stop > at:
        last = stop - 1
        while data[last] & 0xC0 == 0x80:
            last -= 1
        code, _ = decode(data, last)
        if not classes[code] & SPACE:
            break
        stop = last
    return at, stop


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a\na\n\na", dtype=np.uint8), np.array([0, 6])
    offsets.setflags(write=False)
    count_repeated_pieces(data, offsets, character_classes(), 2, True)
