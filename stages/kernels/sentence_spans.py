"""Where sentences begin inside a line, as byte positions.

A sentence ends at a character of class TERMINAL (. ? ! 。 । ؟ ...) behind which another word follows in the same line,
with the closing quotes and brackets behind it; an opening one belongs to the next. A full stop counts only with white
space behind it, before a word that does not begin in lower case, and not after an initial ("J. Smith") or in a row of
points. Thai writes no mark at the end of a sentence: there a line is one.
"""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.characters import LOWER, PUNCTUATION, SPACE, TERMINAL, UPPER, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode

OPEN, AFTER_STOP, AFTER_OTHER = 0, 1, 2


@kernel
def find_sentence_starts(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16]
) -> npt.NDArray[np.int64]:
    """int64 [sentences]: positions in `data`, ascending, at which a sentence begins that is not first in its line."""
    starts = np.empty(64, dtype=np.int64)
    num_starts = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        state, spaced, letters, upper, last = OPEN, False, 0, False, 0
        begin = at  # where the next sentence would begin
        while at < stop:
            code, size = decode(data, at)
            kind = int(classes[code])
            if kind & TERMINAL:
                if code != 0x2E:
                    state = AFTER_OTHER
                elif last == 0x2E or (letters == 1 and upper):
                    state = OPEN
                else:
                    state = AFTER_STOP
                spaced, letters, begin = False, 0, -1
            elif kind & SPACE:
                spaced, letters, begin = True, 0, -1
                if code == 0x0A:
                    state = OPEN
            elif kind & PUNCTUATION:
                letters = 0
                if begin < 0 and (spaced or opens(code)):
                    begin = at
            else:
                if state == AFTER_OTHER or (state == AFTER_STOP and spaced and not kind & LOWER):
                    if num_starts == len(starts):
                        longer = np.empty(2 * num_starts, dtype=np.int64)
                        longer[:num_starts] = starts
                        starts = longer
                    starts[num_starts] = at if begin < 0 else begin
                    num_starts += 1
                state = OPEN
                letters += 1
                upper = kind & UPPER != 0
            last = code
            at += size
    return starts[:num_starts]


@kernel
def opens(code: int) -> bool:
    """Whether it is an opening bracket or quotation mark: ( [ { and « ‘ “ 〈 《 「 『 【 （ and the like."""
    return bool(
        code == 0x28
        or code == 0x5B
        or code == 0x7B
        or code == 0xAB
        or code == 0x2018
        or code == 0x201C
        or (0x3008 <= code <= 0x3010 and code % 2 == 0)
        or code == 0xFF08
        or code == 0x300E
        or code == 0x300A
    )


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"A b. C", dtype=np.uint8), np.array([0, 6])
    offsets.setflags(write=False)
    find_sentence_starts(data, offsets, character_classes())
