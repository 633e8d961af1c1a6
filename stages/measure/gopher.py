"""The quality and repetition rules of Gopher (Rae et al. 2021, "Scaling Language Models", appendix A.1, table A1).

What is counted differs between programs by the same name, so each is a named dialect; `datatrove` counts as datatrove
0.10's GopherRepetitionFilter and GopherQualityFilter do (which FineWeb used), given the same words. Our words differ
a little: English contractions stay one word, a run of one symbol is a word (see kernels/word_spans.py).

Departures, all for languages other than English. In a document in a script without spaces the words are single letters:
it has no word length (null, the rules do not fire), and where a rule speaks of n words, 2n letters count, 4n in Thai,
Lao, Burmese and Khmer, about what their words have. (With n letters, law in Chinese and all of Thai were repetitive.)
The stop words are those of the document's language
(`lang`; without it, those of English where most letters are ASCII); where there is no list they are not measured.
Where the document has no words, or no lines, ratios are null.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.language_codes import language_code
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.layout import hash_words, layout
from corpusmill.stages.measure.stop_words import STOP_WORDS
from corpusmill.stages.measure.words import character_counts, repeated_pieces, word_counts

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)


@dataclass(frozen=True, kw_only=True)
class Gopher(StageSettings):
    """A threshold of None switches its rule off. Ratios of n-grams are shares of all characters of the text."""

    name: ClassVar[str] = "gopher"
    kind: ClassVar[Kind] = "measure"

    dialect: Literal["datatrove"] = "datatrove"
    segmenter: Literal["auto"] = "auto"

    max_dup_paragraph_ratio: float | None = threshold(0.3)
    max_dup_paragraph_char_ratio: float | None = threshold(0.2)
    max_dup_line_ratio: float | None = threshold(0.3)
    max_dup_line_char_ratio: float | None = threshold(0.2)
    max_top_ngram_ratios: tuple[float, ...] = threshold((0.2, 0.18, 0.16))  # 2-, 3-, 4-grams; () is off
    max_dup_ngram_ratios: tuple[float, ...] = threshold((0.15, 0.14, 0.13, 0.12, 0.11, 0.1))  # 5- to 10-grams
    min_words: int | None = threshold(50)  # symbols not counted
    max_words: int | None = threshold(100_000)
    min_mean_word_length: float | None = threshold(3.0)  # characters
    max_mean_word_length: float | None = threshold(10.0)
    max_hash_ratio: float | None = threshold(0.1)  # '#' per word
    max_ellipsis_ratio: float | None = threshold(0.1)  # '...' and '…' per word
    max_bullet_line_ratio: float | None = threshold(0.9)
    max_ellipsis_line_ratio: float | None = threshold(0.3)
    min_letter_word_ratio: float | None = threshold(0.8)  # words with a letter
    min_stop_words: int | None = threshold(2)  # different ones

    def adds(self) -> dict[str, pa.DataType]:
        return {f"gopher_{name}": pa.int32() for name in MEASURES}

    def rules(self) -> tuple[Rule, ...]:
        """Repetition, then quality, in datatrove's order."""
        made: list[Rule | None] = [
            _above("repeated_paragraphs", "dup_paragraphs", "paragraphs", self.max_dup_paragraph_ratio),
            _above(
                "much_text_in_repeated_paragraphs", "dup_paragraph_chars", "chars", self.max_dup_paragraph_char_ratio
            ),
            _above("repeated_lines", "dup_lines", "pieces", self.max_dup_line_ratio),
            _above("much_text_in_repeated_lines", "dup_line_chars", "chars", self.max_dup_line_char_ratio),
        ]
        for n, limit in zip(TOP_SIZES, self.max_top_ngram_ratios, strict=False):
            made.append(_above(f"dominant_{n}_gram", f"top_{n}_gram_chars", "chars", limit))
        for n, limit in zip(DUPLICATE_SIZES, self.max_dup_ngram_ratios, strict=False):
            made.append(_above(f"repeated_{n}_grams", f"dup_{n}_gram_chars", "chars", limit))
        made += [
            _below("too_few_words", "text_words", None, self.min_words),
            _above("too_many_words", "text_words", None, self.max_words),
            _below("short_words", "text_word_chars", "text_words", self.min_mean_word_length),
            _above("long_words", "text_word_chars", "text_words", self.max_mean_word_length),
            _above("too_many_hashes", "hashes", "words", self.max_hash_ratio),
            _above("too_many_ellipses", "ellipses", "words", self.max_ellipsis_ratio),
            _above("too_many_bullet_lines", "bullet_lines", "lines", self.max_bullet_line_ratio),
            _above("too_many_ellipsis_lines", "ellipsis_lines", "lines", self.max_ellipsis_line_ratio),
            _below("too_few_words_with_letters", "letter_words", "words", self.min_letter_word_ratio),
            _below("too_few_stop_words", "stop_words", None, self.min_stop_words),
        ]
        return tuple(rule for rule in made if rule is not None)

    def open(self) -> "GopherWorker":
        return GopherWorker(self)


MEASURES = (
    "chars",  # code points
    "words",
    "text_words",  # words that are not only symbols
    "text_word_chars",  # their characters; null where most words are single letters
    "letter_words",  # words with a letter
    "stop_words",  # different ones; null without a list
    "hashes",
    "ellipses",
    "lines",  # as str.splitlines cuts
    "bullet_lines",
    "ellipsis_lines",
    "pieces",  # lines between runs of line feeds
    "dup_lines",  # of these: seen before in the document
    "dup_line_chars",
    "paragraphs",
    "dup_paragraphs",
    "dup_paragraph_chars",
    *(f"top_{n}_gram_chars" for n in TOP_SIZES),
    *(f"dup_{n}_gram_chars" for n in DUPLICATE_SIZES),
)


def _above(rule: str, numerator: str, denominator: str | None, limit: float | None) -> Rule | None:
    return None if limit is None else Rule(f"gopher.{rule}", _columns(numerator, denominator), ">", limit)


def _below(rule: str, numerator: str, denominator: str | None, limit: float | None) -> Rule | None:
    return None if limit is None else Rule(f"gopher.{rule}", _columns(numerator, denominator), "<", limit)


def _columns(*names: str | None) -> tuple[str, ...]:
    return tuple(f"gopher_{name}" for name in names if name is not None)


class GopherWorker:
    """Holds the stop words' hashes and the powers that n-gram hashes are put together with."""

    def __init__(self, settings: Gopher) -> None:
        from corpusmill.stages.kernels.word_spans import power_table

        self.settings = settings
        self.powers = power_table()
        self.list_number = {lang: number for number, lang in enumerate(STOP_WORDS)}
        lists = [hash_words(words) for words in STOP_WORDS.values()]
        self.listed = np.concatenate(lists)
        self.list_starts = np.cumsum([0, *map(len, lists)], dtype=np.int64)

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.stages.kernels.repeated_ngrams import count_repeated_ngrams
        from corpusmill.stages.kernels.repeated_pieces import PARAGRAPHS, RUNS
        from corpusmill.stages.kernels.word_counts import count_listed_words

        words = layout(batch, scratch, self.settings.segmenter)
        counts = character_counts(batch, scratch) | word_counts(batch, scratch, self.settings.segmenter)
        lines = repeated_pieces(batch, scratch, RUNS)
        counts |= {"pieces": lines["pieces"], "dup_lines": lines["later"], "dup_line_chars": lines["later_chars"]}
        blocks = repeated_pieces(batch, scratch, PARAGRAPHS)
        counts |= {"paragraphs": blocks["pieces"], "dup_paragraphs": blocks["later"]}
        counts["dup_paragraph_chars"] = blocks["later_chars"]
        unspaced = 2 * counts["single_words"] >= np.maximum(counts["text_words"], 1)
        letters_per_word = np.where(2 * counts["alphabetic_words"] >= counts["single_words"], 4, 2)
        grams = count_repeated_ngrams(
            words.data,
            words.first,
            words.starts,
            words.num_bytes,
            words.num_chars,
            words.hashes,
            self.powers,
            np.where(unspaced, letters_per_word, 1),
        )
        counts |= zip(MEASURES[-9:], grams.T, strict=True)
        lists = self._list_of_rows(batch, counts["ascii_letters"], counts["letters"])
        counts["stop_words"] = count_listed_words(words.first, words.hashes, self.listed, self.list_starts, lists)[:, 0]
        unknown = {"stop_words": lists < 0, "text_word_chars": unspaced}
        return {f"gopher_{name}": pa.array(counts[name], pa.int32(), mask=unknown.get(name)) for name in MEASURES}

    def _list_of_rows(
        self, batch: Batch, ascii_letters: npt.NDArray[np.int64], letters: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """int64 [rows]: number of the row's stop word list, -1 where there is none."""
        langs = batch.column("lang").to_pylist() if "lang" in batch.schema.names else [None] * batch.num_rows
        english = self.list_number["en"]
        numbers = [english if lang is None else self.list_number.get(language_code(lang) or "", -1) for lang in langs]
        unstated = np.array([lang is None for lang in langs], dtype=bool)
        return np.where(unstated & (2 * ascii_letters < letters), -1, np.array(numbers, dtype=np.int64))
