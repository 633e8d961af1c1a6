"""Counts of lines as FineWeb's quality filter counts them: cut at line feeds alone, blank lines left out."""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.lines import BLANK, ENDS_SENTENCE

COUNTS = (
    "lines",  # not only white space
    "terminal_lines",  # of these: the last character ends a sentence; white space at the end counts as a character
    "short_lines",  # of these: at most `short_line_chars` characters
)


@kernel
def count_lines(
    first: npt.NDArray[np.int64],
    num_chars: npt.NDArray[np.int32],
    flags: npt.NDArray[np.uint8],
    short_line_chars: int,
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)] from what kernels/lines.py found."""
    counts = np.zeros((len(first) - 1, 3), dtype=np.int64)
    for row in range(len(first) - 1):
        for line in range(first[row], first[row + 1]):
            if not flags[line] & BLANK:
                counts[row, 0] += 1
                counts[row, 1] += flags[line] & ENDS_SENTENCE != 0
                counts[row, 2] += num_chars[line] <= short_line_chars
    return counts


def warmup() -> None:
    """Compile for the arrays of `find_lines`."""
    count_lines(np.array([0, 1]), np.ones(1, dtype=np.int32), np.zeros(1, dtype=np.uint8), 30)
