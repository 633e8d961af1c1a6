"""Counts of lines as FineWeb's quality filter counts them: cut at line feeds alone, blank lines left out."""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.characters import SPACE, TERMINAL, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hash_table import insert, table_mask
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.repeated_lines import hash_piece

COUNTS = (
    "lines",  # not only white space
    "terminal_lines",  # of these: the last character ends a sentence; white space at the end counts as a character
    "short_lines",  # of these: at most `short_line_chars` characters
    "dup_line_chars",  # characters of these seen before in the document
)


@kernel
def count_lines(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    classes: npt.NDArray[np.uint16],
    short_line_chars: int,
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)] of rows of UTF-8."""
    counts = np.zeros((len(offsets) - 1, 4), dtype=np.int64)
    table = np.zeros(16, dtype=np.uint64)
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        newlines = 0
        for position in range(start, stop):
            newlines += data[position] == 0x0A
        mask = table_mask(newlines + 1)
        if mask >= len(table):
            table = np.zeros(mask + 1, dtype=np.uint64)
        table[: mask + 1] = 0
        while start < stop:
            end = start
            while end < stop and data[end] != 0x0A:
                end += 1
            if not _is_blank(data, start, end, classes):
                value, chars = hash_piece(data, start, end)
                last = end - 1
                while data[last] & 0xC0 == 0x80:
                    last -= 1
                code, _ = decode(data, last)
                counts[row, 0] += 1
                counts[row, 1] += classes[code] & TERMINAL != 0
                counts[row, 2] += chars <= short_line_chars
                if insert(table, mask, value):
                    counts[row, 3] += chars
            start = end + 1
    return counts


@kernel
def _is_blank(data: npt.NDArray[np.uint8], start: int, end: int, classes: npt.NDArray[np.uint16]) -> bool:
    while start < end:
        code, size = decode(data, start)
        if not classes[code] & SPACE:
            return False
        start += size
    return True


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a\n\na", dtype=np.uint8), np.array([0, 4])
    offsets.setflags(write=False)
    count_lines(data, offsets, character_classes(), 30)
