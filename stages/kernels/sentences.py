"""Where sentences end inside a line: how often a line of a text is cut.

A sentence ends at a symbol of class TERMINAL (. ? ! 。 । ؟ ...), not at an ellipsis, where a word follows in the same
line. After a full stop the word must not begin in lower case, and an initial ("J. Smith") does not end a sentence.
"""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.characters import LOWER, TERMINAL, UPPER, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.word_spans import HAS_TEXT, find_words

Int32s = npt.NDArray[np.int32]


@kernel
def count_sentence_breaks(
    data: npt.NDArray[np.uint8],
    first: npt.NDArray[np.int64],
    starts: Int32s,
    num_bytes: Int32s,
    num_chars: Int32s,
    flags: npt.NDArray[np.uint8],
    classes: npt.NDArray[np.uint16],
) -> npt.NDArray[np.int64]:
    """int64 [rows] from a layout's arrays: sentences that begin inside a line of the row."""
    breaks = np.zeros(len(first) - 1, dtype=np.int64)
    for row in range(len(first) - 1):
        ended, after_stop, initial, end = False, False, False, -1
        for word in range(first[row], first[row + 1]):
            start = starts[word]
            if end >= 0:
                for position in range(end, start):
                    if data[position] == 0x0A:
                        ended, initial = False, False
            end = start + num_bytes[word]
            code, _ = decode(data, start)
            kind = int(classes[code])
            if kind & TERMINAL:
                if code != 0x2E or (num_chars[word] == 1 and not initial):
                    ended, after_stop = True, code == 0x2E
            elif flags[word] & HAS_TEXT:
                if ended and not (after_stop and kind & LOWER):
                    breaks[row] += 1
                ended = False
            initial = num_chars[word] == 1 and kind & UPPER != 0
    return breaks


def warmup() -> None:
    """Compile for the arrays of a layout."""
    data, offsets = np.frombuffer(b"A b. C", dtype=np.uint8), np.array([0, 6])
    offsets.setflags(write=False)
    classes = character_classes()
    first, starts, num_bytes, num_chars, _, flags = find_words(data, offsets, classes)
    count_sentence_breaks(data, first, starts, num_bytes, num_chars, flags, classes)
