"""Writes texts as words between single spaces, as fastText reads them: one pass over the bytes, no Python string.

A word is a run of word characters and the marks that extend them. A character of a script without spaces (Han, kana,
Thai, Lao, Khmer, Burmese) is a word of its own, with its marks, and so is every punctuation mark and symbol. Blanks,
controls and unassigned characters separate. The classes are those of `characters.py` (Unicode 14).
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.stages.kernels.characters import EXTEND, SINGLE, SKIP, SPACE, WORD, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode


def space_words(text: Column) -> Column:
    """The words of each text between single spaces; null becomes ''."""
    data, offsets = text_buffers(text)
    num_bytes = int(offsets[-1] - offsets[0])
    spaced = np.empty(2 * num_bytes, dtype=np.uint8)  # a space at most before each character
    ends = np.zeros(len(offsets), dtype=np.int64)
    size = write_words(data, offsets, character_classes(), spaced, ends)
    buffers = [None, pa.py_buffer(cast("Any", ends)), pa.py_buffer(cast("Any", spaced[:size]))]
    return pa.Array.from_buffers(pa.large_string(), len(text), buffers)


@kernel
def write_words(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    classes: npt.NDArray[np.uint16],
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
        while at < offsets[document + 1]:
            code, length = decode(data, at)
            kind = classes[code]
            continues = (joins and kind & WORD != 0) or (marks and kind & EXTEND != 0)
            if kind & SPACE != 0 or (kind & SKIP != 0 and not continues):
                joins = marks = False
                at += length
                continue
            if not continues:
                if size > first:
                    spaced[size] = 32
                    size += 1
                joins = kind & WORD != 0
                marks = kind & (WORD | SINGLE) != 0
            for i in range(length):
                spaced[size + i] = data[at + i]
            size += length
            at += length
        ends[document + 1] = size
    return size


def warmup() -> None:
    """Compiles for the types in use."""
    space_words(pa.array(["a b"], type=pa.large_string()))
