"""Comments of source code, by families of languages that write them alike."""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import inlined, kernel

NONE, HASH, SLASH, DASH, PERCENT, SEMICOLON, MARKUP = range(7)
"""Unknown; # and triple-quoted strings that begin a line; // and /* */; --; %; ;; <!-- -->."""

Bytes = npt.NDArray[np.uint8]


@kernel
def count_comment_chars(
    data: Bytes, offsets: npt.NDArray[np.int64], families: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """int64 [rows]: characters of comments with their marks, docstrings included; -1 for the family NONE.

    Marks inside of quotes are none; a quote that is not closed ends with its line.
    """
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    for row in range(len(offsets) - 1):
        family = families[row]
        if family == NONE:
            counts[row] = -1
            continue
        at, stop = offsets[row], offsets[row + 1]
        line_begins = True  # nothing but blanks in the line so far
        while at < stop:
            byte = data[at]
            end = _comment_end(data, at, stop, family, line_begins)
            if end > at:
                for position in range(at, end):
                    counts[row] += data[position] & 0xC0 != 0x80
                at = end
                line_begins = data[at - 1] == 0x0A
                continue
            if family != MARKUP and family != PERCENT and (byte == 0x22 or byte == 0x27 or byte == 0x60):
                at = _string_end(data, at, stop, family)
                line_begins = False
                continue
            line_begins = byte == 0x0A or (line_begins and (byte == 0x20 or byte == 0x09))
            at += 1
    return counts


@inlined
def _comment_end(data: Bytes, at: int, stop: int, family: int, line_begins: bool) -> int:
    """Behind the comment that begins at byte `at`; `at` where none does. One of a line leaves its line feed."""
    byte = data[at]
    second = data[at + 1] if at + 1 < stop else 0
    third = data[at + 2] if at + 2 < stop else 0
    of_line = False
    if family == HASH:
        of_line = byte == 0x23
        if line_begins and (byte == 0x22 or byte == 0x27) and second == byte and third == byte:
            return _behind(data, at + 3, stop, byte, byte, byte)
    elif family == SLASH:
        of_line = byte == 0x2F and second == 0x2F
        if byte == 0x2F and second == 0x2A:
            return _behind(data, at + 2, stop, 0x2A, 0x2F, -1)
    elif family == DASH:
        of_line = byte == 0x2D and second == 0x2D
    elif family == PERCENT:
        of_line = byte == 0x25 and (line_begins or data[at - 1] != 0x5C)
    elif family == SEMICOLON:
        of_line = byte == 0x3B
    elif byte == 0x3C and second == 0x21 and third == 0x2D:
        return _behind(data, at + 3, stop, 0x2D, 0x2D, 0x3E)
    end = at
    if of_line:
        while end < stop and data[end] != 0x0A:
            end += 1
    return end


@kernel
def _behind(data: Bytes, at: int, stop: int, first: int, second: int, third: int) -> int:
    """Behind the next place where these bytes stand (the third one unless -1), or the end."""
    size = 2 if third < 0 else 3
    while at + size <= stop:
        if data[at] == first and data[at + 1] == second and (third < 0 or data[at + 2] == third):
            return at + size
        at += 1
    return stop


@kernel
def _string_end(data: Bytes, at: int, stop: int, family: int) -> int:
    """Behind the quoted text that begins at byte `at`, or at the end of its line."""
    quote = data[at]
    if family == HASH and at + 2 < stop and data[at + 1] == quote and data[at + 2] == quote:
        return _behind(data, at + 3, stop, quote, quote, quote)
    at += 1
    while at < stop and data[at] != quote and data[at] != 0x0A:
        at += 2 if data[at] == 0x5C else 1
    return min(at + 1, stop) if at < stop and data[at] == quote else min(at, stop)


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a # b", dtype=np.uint8), np.array([0, 5])
    offsets.setflags(write=False)
    count_comment_chars(data, offsets, np.ones(1, dtype=np.int64))
