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
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode

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


@kernel
def count_characters(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16]
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)] of rows of UTF-8."""
    counts = np.zeros((len(offsets) - 1, 17), dtype=np.int64)
    for row in range(len(offsets) - 1):
        chars, letters, ascii_letters, digits, uppers, spaces, symbols = 0, 0, 0, 0, 0, 0, 0
        num_hashes, ellipses, brackets, newlines = 0, 0, 0, 0
        lines, blank, bullets, ellipsis_lines, terminal, longest = 0, 0, 0, 0, 0, 0
        dots, ends_in_dots = 0, 0  # points in a row up to here; up to the line's last character that is not blank
        first, last, last_kind, line_chars = -1, -1, 0, 0  # of the line
        after_return = False
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            code, size = decode(data, at)
            kind = int(classes[code])
            at += size
            chars += 1
            uppers += kind & UPPER != 0
            if kind & LETTER:
                letters += 1
                ascii_letters += size == 1
            else:
                digits += kind & DIGIT != 0
                spaces += kind & SPACE != 0
                symbols += kind & PUNCTUATION != 0
                num_hashes += code == 0x23
                brackets += code == 0x7B or code == 0x7D
                newlines += code == 0x0A
            if code == 0x2E:
                dots += 1
                ellipses += dots % 3 == 0
            else:
                dots = 0
                ellipses += code == 0x2026
            if kind & LINE_END:
                if not (code == 0x0A and after_return):  # CR LF is one line end
                    lines += 1
                    blank += first < 0
                    bullets += first == 0x2022 or first == 0x2D
                    ellipsis_lines += ends_in_dots >= 3 or last == 0x2026
                    terminal += last_kind & TERMINAL != 0
                    longest = max(longest, line_chars)
                first, last, last_kind, line_chars, ends_in_dots = -1, -1, 0, 0, 0
                after_return = code == 0x0D
                continue
            after_return = False
            line_chars += 1
            if not kind & SPACE:
                first = code if first < 0 else first
                last, last_kind, ends_in_dots = code, kind, dots
        if line_chars > 0:
            lines += 1
            blank += first < 0
            bullets += first == 0x2022 or first == 0x2D
            ellipsis_lines += ends_in_dots >= 3 or last == 0x2026
            terminal += last_kind & TERMINAL != 0
            longest = max(longest, line_chars)
        counts[row, 0:7] = chars, letters, ascii_letters, digits, uppers, spaces, symbols
        counts[row, 7:11] = num_hashes, ellipses, brackets, newlines
        counts[row, 11:17] = lines, blank, bullets, ellipsis_lines, terminal, longest
    return counts


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a line\n", dtype=np.uint8), np.array([0, 7])
    offsets.setflags(write=False)
    count_characters(data, offsets, character_classes())
