"""Writes texts as words between single spaces, as fastText reads them: one pass over the bytes, no Python string.

A word is a run of word characters and the marks that extend them. A character of a script without spaces (Han, kana,
Thai, Lao, Khmer, Burmese) is a word of its own, with its marks, and so is every punctuation mark and symbol. Blanks,
controls and unassigned characters separate. The classes are those of `characters.py` (Unicode 14).

With `layout`, what a page looks like becomes words too: a run of digits is written 0, and each line that is not blank
ends with a word `xline` + its length (t under 15 characters, s under 40, m under 100, l) + how it ends (p with a mark
that ends sentences or closes a quotation, n without). Menus and lists are runs of lines of under 40 characters without
such a mark: behind the third, the sixth and every twelfth of a run stands a word `xrun` + a, b, c.
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.stages.kernels.characters import DIGIT, EXTEND, SINGLE, SKIP, SPACE, TERMINAL, WORD, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode


def space_words(text: Column, *, layout: bool = False) -> Column:
    """The words of each text between single spaces; null becomes ''."""
    data, offsets = text_buffers(text)
    num_bytes = int(offsets[-1] - offsets[0])
    # At most a space before each character; a line, at least a character and its end, adds 9 bytes, every third 6 more.
    spaced = np.empty((9 if layout else 2) * num_bytes + 16 * len(offsets), dtype=np.uint8)
    ends = np.zeros(len(offsets), dtype=np.int64)
    size = write_words(data, offsets, character_classes(), layout, spaced, ends)
    buffers = [None, pa.py_buffer(cast("Any", ends)), pa.py_buffer(cast("Any", spaced[:size]))]
    return pa.Array.from_buffers(pa.large_string(), len(text), buffers)


@kernel
def write_words(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    classes: npt.NDArray[np.uint16],
    layout: bool,
    spaced: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
) -> int:
    """Fills `spaced`, and `ends` behind its first 0 with the end of each text; the number of bytes written."""
    size = 0
    for document in range(offsets.shape[0] - 1):
        first = size
        at = offsets[document]
        joins = False  # the next word character continues a word
        marks = False  # the next mark belongs to the character before
        digits = False  # the character before was a digit
        run = 0  # short lines without an end, one after the other
        line_length = inked_length = 0  # characters of the line from its first that is not blank, to the last such
        closed = False  # that last one ends a sentence
        while at < offsets[document + 1]:
            code, length = decode(data, at)
            kind = classes[code]
            continues = (joins and kind & WORD != 0) or (marks and kind & EXTEND != 0)
            if kind & SPACE != 0 or (kind & SKIP != 0 and not continues):
                joins = marks = digits = False
                at += length
                line_length += 1 if inked_length > 0 else 0
                if layout and code == 10 and inked_length > 0:
                    run = 0 if closed or inked_length >= 40 else run + 1
                    size = write_line_end(spaced, size, inked_length, closed, run)
                    line_length = inked_length = 0
                continue
            line_length += 1
            inked_length = line_length
            closed = kind & TERMINAL != 0 or code == 34 or code == 39 or code == 0x201D or code == 0x2019
            if layout and kind & DIGIT != 0 and digits:
                at += length
                continue
            digits = kind & DIGIT != 0
            if not continues:
                if size > first:
                    spaced[size] = 32
                    size += 1
                joins = kind & WORD != 0
                marks = kind & (WORD | SINGLE) != 0
            if layout and digits:
                spaced[size] = 48
                size += 1
            else:
                for i in range(length):
                    spaced[size + i] = data[at + i]
                size += length
            at += length
        if layout and inked_length > 0:
            run = 0 if closed or inked_length >= 40 else run + 1
            size = write_line_end(spaced, size, inked_length, closed, run)
        ends[document + 1] = size
    return size


@kernel
def write_line_end(spaced: npt.NDArray[np.uint8], size: int, line_length: int, closed: bool, run: int) -> int:
    """Appends the word of a line's end, and of a run where it reaches one, and gives the new size."""
    for byte in (32, 120, 108, 105, 110, 101):  # " xline"
        spaced[size] = byte
        size += 1
    spaced[size] = 116 if line_length < 15 else 115 if line_length < 40 else 109 if line_length < 100 else 108
    spaced[size + 1] = 112 if closed else 110
    size += 2
    if run == 3 or run == 6 or (run > 0 and run % 12 == 0):
        for byte in (32, 120, 114, 117, 110):  # " xrun"
            spaced[size] = byte
            size += 1
        spaced[size] = 97 if run == 3 else 98 if run == 6 else 99
        size += 1
    return size


def warmup() -> None:
    """Compiles for the types in use."""
    space_words(pa.array(["a b"], type=pa.large_string()))
