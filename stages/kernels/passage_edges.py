"""Texts cut into lines, paragraphs or sentences, as pairs of edges in the UTF-8 buffer.

A line ends at "\\n". A paragraph is a run of lines that are not blank. Sentences end where `sentence_spans.py` says,
and at the end of a line. White space at either end belongs to no piece; a piece of white space alone is none.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.characters import SPACE, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode, mix
from corpusmill.stages.kernels.sentence_spans import find_sentence_starts

LINE, PARAGRAPH, SENTENCE = 0, 1, 2


@kernel
def piece_edges(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16], unit: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Edges int64 [2 pieces]: first byte of a piece and the byte after it, ascending; and the row of each piece."""
    starts = find_sentence_starts(data, offsets, classes) if unit == SENTENCE else np.empty(0, dtype=np.int64)
    edges, rows = np.empty(2048, dtype=np.int64), np.empty(1024, dtype=np.int64)
    filled = sentence = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        start = end = at  # of the open piece; none is open where they are equal
        line_ends = 0
        while at < stop:
            code, size = decode(data, at)
            if classes[code] & SPACE:
                line_ends += code == 0x0A
                at += size
                continue
            cut = line_ends > (1 if unit == PARAGRAPH else 0)
            while sentence < len(starts) and starts[sentence] <= at:
                cut = cut or starts[sentence] == at
                sentence += 1
            line_ends = 0
            if cut and end > start:
                filled = store(edges, rows, filled, start, end, row)
                edges, rows = roomy(edges, rows, filled)
                end = start
            if end == start:
                start = at
            at += size
            end = at
        if end > start:
            filled = store(edges, rows, filled, start, end, row)
            edges, rows = roomy(edges, rows, filled)
    return edges[: 2 * filled].copy(), rows[:filled].copy()


@kernel
def store(
    edges: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], filled: int, start: int, end: int, row: int
) -> int:
    """Put down one more piece; how many there are now."""
    edges[2 * filled], edges[2 * filled + 1], rows[filled] = start, end, row
    return filled + 1


@kernel
def roomy(
    edges: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], filled: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Both arrays with room for one more."""
    if filled < len(rows):
        return edges, rows
    more_edges, more_rows = np.empty(4 * filled, dtype=np.int64), np.empty(2 * filled, dtype=np.int64)
    more_edges[: 2 * filled], more_rows[:filled] = edges, rows
    return more_edges, more_rows


@kernel
def joined_hashes(
    hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hashes of every `count` consecutive pieces of one row, and the first of each."""
    joined, first = np.empty(len(hashes), dtype=np.uint64), np.empty(len(hashes), dtype=np.int64)
    filled = 0
    for i in range(len(hashes) - count + 1):
        if rows[i] == rows[i + count - 1]:
            value = uint64(count)
            for k in range(i, i + count):
                value = mix(value ^ hashes[k]) * uint64(0x9E3779B97F4A7C15)
            joined[filled], first[filled] = mix(value), i
            filled += 1
    return joined[:filled].copy(), first[:filled].copy()


def warmup() -> None:
    """Compile for the types that `passages` uses."""
    data, offsets = text_buffers(pa.array(["warm. Up"], pa.large_string()))
    _, rows = piece_edges(data, offsets, character_classes(), SENTENCE)
    joined_hashes(np.ones(len(rows), dtype=np.uint64), rows, 2)
