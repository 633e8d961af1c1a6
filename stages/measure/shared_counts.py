"""The counts that dialects are made of, by name: `lines.copies` is the count `copies` of the family `lines`.

A family is computed when the first of its counts is asked for, once per batch where its settings are the same.
"""

import unicodedata
from collections.abc import Callable
from functools import cached_property
from string import punctuation
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, text_buffers
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.gopher_dialects import DUPLICATE_SIZES, TOP_SIZES, GopherDialect
from corpusmill.stages.measure.layout import Layout, lines_of
from corpusmill.stages.measure.segmenters import layout, segment_at_spaces
from corpusmill.stages.measure.words import character_counts, repeated_pieces, word_counts

Counts = dict[str, npt.NDArray[Any]]


class SharedCounts:
    """The counts of one batch under one dialect's settings."""

    def __init__(self, batch: Batch, scratch: Scratch, dialect: GopherDialect, segmenter: str) -> None:
        self.batch, self.scratch, self.dialect, self.segmenter = batch, scratch, dialect, segmenter

    def count(self, place: str) -> npt.NDArray[Any]:
        """One value per row."""
        family, _, name = place.partition(".")
        return cast("Counts", getattr(self, family))[name]

    def once(self, name: str, make: Callable[[], Any], *settings: object) -> Any:
        return self.scratch.once((name, *settings), make)

    @cached_property
    def characters(self) -> Counts:
        """Of kernels/character_counts.py, and symbols added up: '#', '...' and '…'; with '. . .' too."""
        counts: Counts = dict(character_counts(self.batch, self.scratch))
        together = counts["hashes"] + counts["ellipses"]
        counts["symbols_together"] = together
        if "characters.spaced_symbols" in self.dialect.columns.values():
            counts["spaced_symbols"] = together + self.spaced["spaced_ellipses"]
        return counts

    @cached_property
    def words(self) -> Counts:
        """Of kernels/word_counts.py."""
        return dict(word_counts(self.batch, self.scratch, self.segmenter))

    @cached_property
    def lines(self) -> Counts:
        return self._pieces(self.dialect.lines)

    @cached_property
    def paragraphs(self) -> Counts:
        assert self.dialect.paragraphs is not None
        return self._pieces(self.dialect.paragraphs)

    def _pieces(self, cut: str) -> Counts:
        from corpusmill.stages.kernels import repeated_pieces as kernels

        return dict(repeated_pieces(self.batch, self.scratch, getattr(kernels, cut)))

    @cached_property
    def marked(self) -> Counts:
        """Of kernels/marked_lines.py."""
        from corpusmill.stages.kernels import marked_lines as kernels

        lines, dialect = lines_of(self.batch, self.scratch), self.dialect
        starts, ends = (lines.ink_starts, lines.ink_ends) if dialect.marked_ink else (lines.starts, lines.ends)
        counted = kernels.count_marked_lines(
            lines.data,
            lines.first,
            starts,
            ends,
            lines.num_chars,
            lines.flags,
            getattr(kernels, dialect.marked),
            np.array([ord(bullet) for bullet in dialect.bullets], dtype=np.int32),
            dialect.ellipses,
        )
        return dict(zip(kernels.COUNTS, counted.T, strict=True))

    @cached_property
    def spaced(self) -> Counts:
        """Of kernels/spaced_words.py, words between white space."""
        return self._spaced_counts(self.batch, layout(self.batch, self.scratch, "whitespace"))

    def _spaced_counts(self, batch: Batch, words: Layout) -> Counts:
        from corpusmill.stages.kernels.characters import character_classes
        from corpusmill.stages.kernels.spaced_words import COUNTS, count_spaced_words

        data, offsets = text_buffers(batch.column("text"))
        counted = count_spaced_words(
            data, offsets, character_classes(), words.first, words.starts, words.num_bytes, words.num_chars, words.flags
        )
        counts: Counts = dict(zip(COUNTS, counted.T, strict=True))
        return counts | {"median": counts["median_x2"] / 2}

    @cached_property
    def runs(self) -> Counts:
        """Words as NLTK's WordPunctTokenizer cuts them."""
        from corpusmill.stages.kernels.characters import character_classes
        from corpusmill.stages.kernels.spaced_words import count_runs

        counted = count_runs(*text_buffers(self.batch.column("text")), character_classes())
        return dict(zip(("words", "ascii_letter_words"), counted.T, strict=True))

    @cached_property
    def normalized(self) -> Counts:
        """Of the text in lower case, without ASCII punctuation, canonically decomposed."""
        return self._spaced_counts(*self._normalized)

    @cached_property
    def _normalized(self) -> tuple[Batch, Layout]:
        without = str.maketrans("", "", punctuation)
        texts = [
            unicodedata.normalize("NFD", (text or "").translate(without).lower())
            for text in self.batch.column("text").to_pylist()
        ]
        batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
        return batch, segment_at_spaces(batch)

    @cached_property
    def ngrams(self) -> Counts:
        """Of kernels/ngram_counts.py: `first_2` is characters times occurrences of the most frequent 2-gram."""
        from corpusmill.stages.kernels.ngram_counts import COUNTS, SIZES, count_ngrams

        words = self._ngram_words()
        counted = count_ngrams(words.first, words.num_chars, words.hashes)
        chars = np.concatenate([[0], np.cumsum(words.num_chars, dtype=np.int64)])
        counts: Counts = {"word_chars": chars[words.first[1:]] - chars[words.first[:-1]]}
        for index, n in enumerate(SIZES):
            one = dict(zip(COUNTS, counted[:, index].T, strict=True))
            repeated = one["times"] > 1
            counts[f"first_{n}"] = one["times"] * one["first_chars"]
            counts[f"first_repeated_{n}"] = np.where(repeated, counts[f"first_{n}"], 0)
            counts[f"longest_{n}"] = np.where(repeated, one["times"] * one["longest_chars"], 0)
            for name in ("covered", "copied", "all", "later"):
                counts[f"{name}_{n}"] = one[f"{name}_chars"]
        return counts

    def _ngram_words(self) -> Layout:
        kind = self.dialect.ngram_words
        if kind == "normalized":
            return self._normalized[1]
        if kind == "whitespace":
            return layout(self.batch, self.scratch, "whitespace")
        words = layout(self.batch, self.scratch, self.segmenter)
        return words if kind == "all" else self.once("text words", lambda: _text_words(words), self.segmenter)

    @cached_property
    def repeats(self) -> Counts:
        """Of kernels/repeated_ngrams.py, as datatrove counts: `top_2`, `dup_5`."""
        from corpusmill.stages.kernels.repeated_ngrams import count_repeated_ngrams
        from corpusmill.stages.kernels.word_spans import power_table

        words = layout(self.batch, self.scratch, self.segmenter)
        counted = count_repeated_ngrams(
            words.data,
            words.first,
            words.starts,
            words.num_bytes,
            words.num_chars,
            words.hashes,
            power_table(),
            np.where(
                self.unspaced, np.where(2 * self.words["alphabetic_words"] >= self.words["single_words"], 4, 2), 1
            ),
        )
        names = [f"top_{n}" for n in TOP_SIZES] + [f"dup_{n}" for n in DUPLICATE_SIZES]
        return dict(zip(names, counted.T, strict=True))

    @property
    def unspaced(self) -> npt.NDArray[np.bool_]:
        """Rows most of whose words are single letters of scripts without spaces."""
        unspaced: npt.NDArray[np.bool_] = 2 * self.words["single_words"] >= np.maximum(self.words["text_words"], 1)
        return unspaced


def _text_words(words: Layout) -> Layout:
    """The words that begin with a letter or digit."""
    from corpusmill.stages.kernels.characters import SINGLE, WORD, character_classes

    heads = np.zeros(len(words.starts), dtype=np.int64)
    lead = words.data[words.starts] if len(words.starts) else words.data[:0]
    padded = np.concatenate([words.data, np.zeros(4, dtype=np.uint8)]).astype(np.int64)
    at = words.starts.astype(np.int64)
    sizes = [lead < 0x80, (lead >= 0xC0) & (lead < 0xE0), (lead >= 0xE0) & (lead < 0xF0), lead >= 0xF0]
    low = [padded[at + index] & 0x3F for index in range(4)] if len(at) else [heads] * 4
    codes = np.select(
        sizes,
        [
            lead,
            (lead & 0x1F).astype(np.int64) << 6 | low[1],
            (lead & 0x0F).astype(np.int64) << 12 | low[1] << 6 | low[2],
            (lead & 0x07).astype(np.int64) << 18 | low[1] << 12 | low[2] << 6 | low[3],
        ],
    )
    kept = (character_classes()[codes] & (WORD | SINGLE) != 0) & (codes != 0x5F)
    before = np.concatenate([[0], np.cumsum(kept)])
    return Layout(
        words.data,
        before[words.first],
        words.starts[kept],
        words.num_bytes[kept],
        words.num_chars[kept],
        words.hashes[kept],
        words.flags[kept],
    )
