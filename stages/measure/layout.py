"""The layout of a batch: where its words are and what each is, found once and shared by all measures.

Segmenters (segmenters.py) hand in their words; one outside of this project hands them in as lists of strings, through
`layout_of_words`; the measures do not notice. 21 bytes per word, for the time of one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, text_buffers
from corpusmill.pipeline.stage import Scratch


@dataclass(frozen=True)
class Layout:
    """The words of a batch in order; row i has words first[i] to first[i + 1].

    data: the words' UTF-8, word w is data[starts[w] : starts[w] + num_bytes[w]]
    starts, num_bytes: int32 [words]; num_chars: int32 [words], code points
    hashes: uint64 [words], see kernels/word_spans.py; equal words have equal hashes
    flags: uint8 [words], HAS_LETTER | HAS_TEXT | IS_SINGLE of kernels/word_spans.py
    """

    data: npt.NDArray[np.uint8]
    first: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int32]
    num_bytes: npt.NDArray[np.int32]
    num_chars: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    flags: npt.NDArray[np.uint8]

    def words(self, row: int) -> list[str]:
        """The words of one row, for people and tests."""
        spans = range(self.first[row], self.first[row + 1])
        return [self.data[self.starts[word] :][: self.num_bytes[word]].tobytes().decode() for word in spans]


@dataclass(frozen=True)
class Lines:
    """The lines of a batch in order, cut at line feeds; row i has lines first[i] to first[i + 1].

    starts, ends, ink_starts, ink_ends: int32 [lines], bytes of `data`; the ink is without white space at both ends
    num_chars, ink_chars: int32 [lines], code points; hashes, ink_hashes: uint64 [lines]
    flags: uint8 [lines], BLANK | ENDS_SENTENCE of kernels/lines.py
    """

    data: npt.NDArray[np.uint8]
    first: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    ink_starts: npt.NDArray[np.int32]
    ink_ends: npt.NDArray[np.int32]
    num_chars: npt.NDArray[np.int32]
    ink_chars: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    ink_hashes: npt.NDArray[np.uint64]
    flags: npt.NDArray[np.uint8]

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """All of them, in order, as kernels take them."""
        return tuple(vars(self).values())


def lines_of(batch: Batch, scratch: Scratch) -> Lines:
    """The batch's lines, found by the first measure that asks."""
    return scratch.once("lines", partial(find_batch_lines, batch))


def find_batch_lines(batch: Batch) -> Lines:
    from corpusmill.stages.kernels.characters import character_classes
    from corpusmill.stages.kernels.lines import find_lines

    data, offsets = text_buffers(batch.column("text"))
    return Lines(data[offsets[0] :], *find_lines(data, offsets, character_classes()))


def layout_of_words(rows: Sequence[Sequence[str]]) -> Layout:
    """The layout of words that another segmenter found, a sequence of words per row."""
    from corpusmill.stages.kernels.characters import character_classes
    from corpusmill.stages.kernels.word_spans import describe_words

    data, offsets = text_buffers(pa.array([word for words in rows for word in words], type=pa.large_string()))
    first = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    starts, num_bytes = offsets[:-1].astype(np.int32), np.diff(offsets).astype(np.int32)
    return Layout(data, first, starts, num_bytes, *describe_words(data, offsets, character_classes()))


def hash_words(words: Sequence[str]) -> npt.NDArray[np.uint64]:
    """uint64 [words]: the hashes that a layout gives to these words, sorted."""
    return np.sort(layout_of_words([words]).hashes)
