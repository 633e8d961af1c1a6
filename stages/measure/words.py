"""Counts words, characters and lines: what rules and reports about size and make-up of a document are built on.

Counts are whole numbers, so a rule divides two of them exactly. The ratios are for free expressions, which may also
divide counts: `words_digits / words_chars` is a fraction in DuckDB.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column, text_buffers
from corpusmill.pipeline.stage import Kind, Scratch, StageSettings
from corpusmill.stages.measure.layout import lines_of
from corpusmill.stages.measure.segmenters import Segmenter, layout, segmenter_depends


@dataclass(frozen=True, kw_only=True)
class Words(StageSettings):
    """No rules of its own: write `drop` expressions over its columns."""

    name: ClassVar[str] = "words"
    kind: ClassVar[Kind] = "measure"

    segmenter: Segmenter = "auto"

    def adds(self) -> dict[str, pa.DataType]:
        return {
            "words_count": pa.int32(),  # symbols that stand alone are words too
            "words_text_words": pa.int32(),  # words that are not only symbols
            "words_text_word_chars": pa.int32(),  # their characters
            "words_letter_words": pa.int32(),  # words with a letter
            "words_single_words": pa.int32(),  # letters of scripts that write no spaces
            "words_longest_word": pa.int32(),
            "words_chars": pa.int32(),
            "words_letters": pa.int32(),
            "words_digits": pa.int32(),
            "words_uppers": pa.int32(),
            "words_spaces": pa.int32(),
            "words_symbols": pa.int32(),
            "words_curly_brackets": pa.int32(),
            "words_lines": pa.int32(),
            "words_blank_lines": pa.int32(),
            "words_terminal_lines": pa.int32(),  # lines that end a sentence
            "words_longest_line": pa.int32(),
            "words_paragraphs": pa.int32(),  # between blank lines
            "words_digit_ratio": pa.float64(),  # of the characters; null for an empty text
            "words_upper_ratio": pa.float64(),  # of the letters; null without letters
        }

    @property
    def depends(self) -> tuple[str, ...]:  # type: ignore[override]
        return segmenter_depends(self.segmenter)

    def open(self) -> "WordsWorker":
        return WordsWorker(self)


class WordsWorker:
    """Adds up what the layout and one pass over the characters give."""

    def __init__(self, settings: Words) -> None:
        self.settings = settings

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.stages.kernels.repeated_pieces import PARAGRAPHS

        counts = character_counts(batch, scratch) | word_counts(batch, scratch, self.settings.segmenter)
        counts["paragraphs"] = repeated_pieces(batch, scratch, PARAGRAPHS)["pieces"]
        counts["count"] = counts["words"]
        columns: dict[str, Column] = {}
        for name, column_type in self.settings.adds().items():
            if column_type == pa.int32():
                columns[name] = pa.array(counts[name.removeprefix("words_")], type=column_type)
        columns["words_digit_ratio"] = ratio(counts["digits"], counts["chars"])
        columns["words_upper_ratio"] = ratio(counts["uppers"], counts["letters"])
        return columns


Counts = dict[str, npt.NDArray[np.int64]]


def word_counts(batch: Batch, scratch: Scratch, segmenter: str) -> Counts:
    """int64 [rows] for every name in `COUNTS` of kernels/word_counts.py, once per batch."""
    from corpusmill.stages.kernels.word_counts import COUNTS, count_words

    words = layout(batch, scratch, segmenter)
    counted = scratch.once(("word_counts", segmenter), lambda: count_words(words.first, words.num_chars, words.flags))
    return dict(zip(COUNTS, counted.T, strict=True))


def character_counts(batch: Batch, scratch: Scratch) -> Counts:
    """int64 [rows] for every name in `COUNTS` of kernels/character_counts.py, once per batch."""
    from corpusmill.stages.kernels.character_counts import COUNTS, count_characters
    from corpusmill.stages.kernels.characters import character_classes

    buffers = text_buffers(batch.column("text"))
    counted = scratch.once("character_counts", lambda: count_characters(*buffers, character_classes()))
    return dict(zip(COUNTS, counted.T, strict=True))


def repeated_pieces(batch: Batch, scratch: Scratch, cut: int) -> Counts:
    """int64 [rows] for every name in `COUNTS` of kernels/repeated_pieces.py, once per batch and way of cutting."""
    from corpusmill.stages.kernels.repeated_pieces import COUNTS, count_repeated_pieces

    arrays = lines_of(batch, scratch).arrays()
    counted = scratch.once(("repeated_pieces", cut), lambda: cast("Any", count_repeated_pieces)(*arrays, cut))
    return dict(zip(COUNTS, counted.T, strict=True))


def ratio(numerator: npt.NDArray[np.int64], denominator: npt.NDArray[np.int64]) -> Column:
    """float64 quotient, null where the denominator is 0."""
    undefined = denominator == 0
    return pa.array(numerator / np.where(undefined, 1, denominator), mask=undefined)
