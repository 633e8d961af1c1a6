"""Where sentences end inside a line: how often the lines of a text are cut.

A sentence ends at a character of class TERMINAL (. ? ! 。 । ؟ ...) behind which another word follows in the same line.
A full stop counts only with white space behind it, before a word that does not begin in lower case, and not after an
initial ("J. Smith") or in a row of points.
"""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.characters import LOWER, PUNCTUATION, SPACE, TERMINAL, UPPER, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode

OPEN, AFTER_STOP, AFTER_OTHER = 0, 1, 2


@kernel
def count_sentence_breaks(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16]
) -> npt.NDArray[np.int64]:
    """int64 [rows] of rows of UTF-8: sentences that begin inside a line."""
    breaks = np.zeros(len(offsets) - 1, dtype=np.int64)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        state, spaced, letters, upper, last = OPEN, False, 0, False, 0
        while at < stop:
            code, size = decode(data, at)
            kind = int(classes[code])
            at += size
            if kind & TERMINAL:
                if code != 0x2E:
                    state = AFTER_OTHER
                elif last == 0x2E or (letters == 1 and upper):
                    state = OPEN
                else:
                    state = AFTER_STOP
                spaced, letters = False, 0
            elif kind & SPACE:
                spaced, letters = True, 0
                if code == 0x0A:
                    state = OPEN
            elif kind & PUNCTUATION:
                letters = 0
            else:
                if state != OPEN:
                    breaks[row] += state == AFTER_OTHER or (spaced and not kind & LOWER)
                    state = OPEN
                letters += 1
                upper = kind & UPPER != 0
            last = code
    return breaks


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"A b. C", dtype=np.uint8), np.array([0, 6])
    offsets.setflags(write=False)
    count_sentence_breaks(data, offsets, character_classes())
