"""Where sentences end inside a line: how often the lines of a text are cut.

A sentence ends at a character of class TERMINAL (. ? ! 。 । ؟ ...) behind which another word follows in the same line.
A full stop counts only with white space behind it, before a word that does not begin in lower case, and not after an
initial ("J. Smith") or in a row of points.
"""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.characters import LOWER, PUNCTUATION, SPACE, TERMINAL, UPPER, character_classes
from corpusmill.stages.kernels.compile import inlined, kernel
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
        state, spaced = OPEN, False
        while at < stop:
            if state == OPEN:  # nothing but a mark matters here
                while at < stop and data[at] < 0x80 and not _is_mark(data[at]):
                    at += 1
                if at == stop:
                    break
            code, size = decode(data, at)
            kind = int(classes[code])
            if kind & TERMINAL:
                ends = code != 0x2E or not _goes_on(data, offsets[row], at, classes)
                state = (AFTER_STOP if code == 0x2E else AFTER_OTHER) if ends else OPEN
                spaced = False
            elif kind & SPACE:
                spaced = True
                state = OPEN if code == 0x0A else state
            elif state != OPEN and not kind & PUNCTUATION:
                breaks[row] += state == AFTER_OTHER or (spaced and not kind & LOWER)
                state = OPEN
            at += size
    return breaks


@inlined
def _is_mark(byte: int) -> bool:
    """. ! ?: the ASCII characters of class TERMINAL."""
    return byte == 0x2E or byte == 0x21 or byte == 0x3F


@kernel
def _goes_on(data: npt.NDArray[np.uint8], start: int, at: int, classes: npt.NDArray[np.uint16]) -> bool:
    """Whether the full stop at byte `at` is one of several, or stands behind an initial."""
    if at == start:
        return False
    before = _character_before(data, at)
    code, _ = decode(data, before)
    kind = int(classes[code])
    if code == 0x2E:
        return True
    if kind & (TERMINAL | SPACE | PUNCTUATION) or not kind & UPPER:
        return False
    if before == start:
        return True
    code, _ = decode(data, _character_before(data, before))
    return int(classes[code]) & (TERMINAL | SPACE | PUNCTUATION) != 0


@inlined
def _character_before(data: npt.NDArray[np.uint8], at: int) -> int:
    at -= 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    return at


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"A b. C", dtype=np.uint8), np.array([0, 6])
    offsets.setflags(write=False)
    count_sentence_breaks(data, offsets, character_classes())
