"""Where spans of a text begin and end: moved to characters and words, or past the white space behind."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel


@kernel
def draw_in(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    documents: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
    whole_words: bool,
) -> None:
    """Make each span the largest part of it that lies between characters, and between words where asked; may be empty.

    Starts and stops are bytes of text documents[i]. Only ASCII blanks and the ends of the text part words here; text
    without any is cut at characters.
    """
    for i in range(len(documents)):
        text = data[offsets[documents[i]] : offsets[documents[i] + 1]]
        start, stop = starts[i], stops[i]
        while start < stop and text[start] & 0xC0 == 0x80:
            start += 1
        while stop > start and stop < len(text) and text[stop] & 0xC0 == 0x80:
            stop -= 1
        if whole_words and start > 0:
            while start < stop and not is_blank(text[start - 1]) and text[start] < 0x80:
                start += 1
        if whole_words and stop < len(text):
            while stop > start and not is_blank(text[stop]) and text[stop - 1] < 0x80:
                stop -= 1
        starts[i], stops[i] = start, stop


@kernel
def pass_blanks(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    documents: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
) -> None:
    """Move each stop behind the ASCII white space that follows it in its text."""
    for i in range(len(documents)):
        stop, end = offsets[documents[i]] + stops[i], offsets[documents[i] + 1]
        while stop < end and is_blank(data[stop]):
            stop += 1
        stops[i] = stop - offsets[documents[i]]


@kernel
def is_blank(byte: int) -> bool:
    """Whether an ASCII byte is white space."""
    return byte == 0x20 or (0x09 <= byte <= 0x0D)


def warmup() -> None:
    """Compile for the types that gathers use."""
    data, offsets = text_buffers(pa.array(["warm up"], pa.large_string()))
    documents, starts, stops = np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64)
    draw_in(data, offsets, documents, starts, stops, True)
    pass_blanks(data, offsets, documents, stops)
