"""Lines that begin with a bullet or end in an ellipsis, as each program has it."""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.lines import BLANK

COUNTS = ("lines", "bullet_lines", "ellipsis_lines", "ended_lines")  # the last end in . ? ! " or '

ALL = 0
NOT_EMPTY = 1  # leave out lines of no character; the first and last of a text count though they have none
NOT_BLANK = 2  # leave out lines of white space alone
NOT_LAST_EMPTY = 3  # leave out what stands behind a last line feed, if nothing does

ELLIPSIS = 1  # '…'
THREE_STOPS = 2  # '...'
SPACED_STOPS = 4  # '. . .'
MORE = 8  # what NeMo Curator lists beside: '[...]' '(...)' '[…]' '-»' 'read more..' 'read more'

Bytes = npt.NDArray[np.uint8]
Int32s = npt.NDArray[np.int32]


@kernel
def count_marked_lines(
    data: Bytes,
    first: npt.NDArray[np.int64],
    starts: Int32s,
    ends: Int32s,
    num_chars: Int32s,
    flags: Bytes,
    which: int,
    bullets: Int32s,
    ellipses: int,
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)]. `starts` and `ends` are those of the lines or of their ink; `bullets` code points."""
    counts = np.zeros((len(first) - 1, 4), dtype=np.int64)
    for row in range(len(first) - 1):
        for line in range(first[row], first[row + 1]):
            at_end = line == first[row + 1] - 1
            if which == NOT_EMPTY and num_chars[line] == 0 and not (at_end or line == first[row]):
                continue
            if which == NOT_BLANK and flags[line] & BLANK:
                continue
            if which == NOT_LAST_EMPTY and at_end and num_chars[line] == 0:
                continue
            start, end = starts[line], ends[line]
            counts[row, 0] += 1
            if start == end:
                continue
            code, _ = decode(data, start)
            for bullet in bullets:
                counts[row, 1] += code == bullet
            last = data[end - 1]
            counts[row, 3] += last == 0x2E or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27
            counts[row, 2] += _ends_in_ellipsis(data, start, end, ellipses)
    return counts


@inlined
def _ends_in_ellipsis(data: Bytes, start: int, end: int, ellipses: int) -> bool:
    last, size = data[end - 1], end - start
    found = False
    if ellipses & ELLIPSIS and size >= 3:
        found = last == 0xA6 and data[end - 2] == 0x80 and data[end - 3] == 0xE2
    if ellipses & THREE_STOPS and size >= 3:
        found = found or (last == 0x2E and data[end - 2] == 0x2E and data[end - 3] == 0x2E)
    if ellipses & SPACED_STOPS and size >= 5:
        spaced = last == 0x2E and data[end - 2] == 0x20 and data[end - 3] == 0x2E
        found = found or (spaced and data[end - 4] == 0x20 and data[end - 5] == 0x2E)
    if ellipses & MORE:
        if size >= 5 and (last == 0x5D or last == 0x29):
            dots = data[end - 2] == 0x2E and data[end - 3] == 0x2E and data[end - 4] == 0x2E
            one = last == 0x5D and data[end - 2] == 0xA6 and data[end - 3] == 0x80 and data[end - 4] == 0xE2
            opener = data[end - 5] == (0x5B if last == 0x5D else 0x28)
            found = found or ((dots or one) and opener)
        if size >= 3 and last == 0xBB and data[end - 2] == 0xC2 and data[end - 3] == 0x2D:
            found = True
        stop = end
        if size >= 11 and last == 0x2E and data[end - 2] == 0x2E:
            stop = end - 2
        found = found or _says_read_more(data, start, stop)
    return found


@inlined
def _says_read_more(data: Bytes, start: int, end: int) -> bool:
    """Whether bytes [start, end) end in 'read more', in any case."""
    if end - start < 9:
        return False
    same = True
    for index, letter in enumerate((0x72, 0x65, 0x61, 0x64, 0x20, 0x6D, 0x6F, 0x72, 0x65)):
        same = same and data[end - 9 + index] | 0x20 == letter
    return same


def warmup() -> None:
    """Compile for the arrays of `find_lines`."""
    data, one = np.frombuffer(b"- a", dtype=np.uint8), np.ones(1, dtype=np.int32)
    flags = np.zeros(1, dtype=np.uint8)
    count_marked_lines(data, np.array([0, 1]), one - 1, one + 2, one, flags, 1, one, 3)
