"""Counts of characters and lines per document, in one pass over the text.

Lines are those of Python's `str.splitlines`, blanks those of `str.strip`: the published filters are written in it.
"""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.characters import (
    DIGIT,
    LETTER,
    LINE_END,
    PUNCTUATION,
    SPACE,
    TERMINAL,
    UPPER,
    character_classes,
)
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.lines import stripped

COUNTS = (
    "chars",  # code points
    "letters",
    "ascii_letters",
    "digits",  # decimal, in any script
    "uppers",
    "spaces",  # white space, line ends included
    "symbols",  # datatrove's punctuation set, which holds line ends and most controls
    "hashes",  # '#'
    "ellipses",  # '...' counted without overlap, and '…'
    "curly_brackets",  # '{' and '}'
    "newlines",  # line feeds
    "lines",  # of str.splitlines
    "blank_lines",  # of these: nothing but white space
    "bullet_lines",  # of these: begin with '•' or '-' after white space
    "ellipsis_lines",  # of these: end with '...' or '…' before white space
    "terminal_lines",  # of these: end with sentence-final punctuation of any script before white space
    "longest_line",  # characters of the longest of these
)


(CHARS, LETTERS, ASCII_LETTERS, DIGITS, UPPERS, SPACES, SYMBOLS, HASHES, ELLIPSES) = range(9)
(CURLY_BRACKETS, NEWLINES, LINES, BLANK_LINES, BULLET_LINES, ELLIPSIS_LINES, TERMINAL_LINES, LONGEST_LINE) = range(
    9, 17
)


@kernel
def count_characters(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16]
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)] of rows of UTF-8."""
    counts = np.zeros((len(offsets) - 1, len(COUNTS)), dtype=np.int64)
    ascii_times = np.zeros(128, dtype=np.int64)  # of each ASCII character in the row
    for row in range(len(offsets) - 1):
        count = counts[row]
        ascii_times[:] = 0
        at, stop = offsets[row], offsets[row + 1]
        start, continuing = at, 0  # of the line: first byte, bytes that begin no character
        while at < stop:
            byte = data[at]
            end = at
            if byte < 0x80:
                ascii_times[byte] += 1
                at += 1
                if byte == 0x2E:
                    while at < stop and data[at] == 0x2E:
                        at += 1
                    ascii_times[0x2E] += at - end - 1
                    count[ELLIPSES] += (at - end) // 3
                    continue
                if byte >= 0x20 or not classes[byte] & LINE_END:
                    continue
                if byte == 0x0D and at < stop and data[at] == 0x0A:  # CR LF is one line end
                    ascii_times[0x0A] += 1
                    at += 1
            else:
                code, size = decode(data, at)
                kind = int(classes[code])
                at += size
                continuing += size - 1
                _count_character(count, code, kind, 1)
                if not kind & LINE_END:
                    continue
                continuing -= size - 1
            _count_line(count, data, start, end, end - start - continuing, classes)
            start, continuing = at, 0
        if stop > start:
            _count_line(count, data, start, stop, stop - start - continuing, classes)
        for code in range(128):
            if ascii_times[code] > 0:
                _count_character(count, code, int(classes[code]), ascii_times[code])
                count[ASCII_LETTERS] += ascii_times[code] if classes[code] & LETTER else 0
    return counts


@inlined
def _count_character(count: npt.NDArray[np.int64], code: int, kind: int, times: int) -> None:
    count[CHARS] += times
    count[UPPERS] += times if kind & UPPER else 0
    if kind & LETTER:
        count[LETTERS] += times
    else:
        count[DIGITS] += times if kind & DIGIT else 0
        count[SPACES] += times if kind & SPACE else 0
        count[SYMBOLS] += times if kind & PUNCTUATION else 0
        count[HASHES] += times if code == 0x23 else 0
        count[ELLIPSES] += times if code == 0x2026 else 0
        count[CURLY_BRACKETS] += times if code == 0x7B or code == 0x7D else 0
        count[NEWLINES] += times if code == 0x0A else 0


@kernel
def _count_line(
    count: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    start: int,
    end: int,
    num_chars: int,
    classes: npt.NDArray[np.uint16],
) -> None:
    """Add the line of bytes [start, end)."""
    count[LINES] += 1
    count[LONGEST_LINE] = max(count[LONGEST_LINE], num_chars)
    first, last = stripped(data, start, end, classes)
    if first == last:
        count[BLANK_LINES] += 1
        return
    head, _ = decode(data, first)
    count[BULLET_LINES] += head == 0x2022 or head == 0x2D
    at = last - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    tail, _ = decode(data, at)
    count[TERMINAL_LINES] += classes[tail] & TERMINAL != 0
    dots = tail == 0x2E and last - first >= 3 and data[last - 2] == 0x2E and data[last - 3] == 0x2E
    count[ELLIPSIS_LINES] += dots or tail == 0x2026


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a line\n", dtype=np.uint8), np.array([0, 7])
    offsets.setflags(write=False)
    count_characters(data, offsets, character_classes())
