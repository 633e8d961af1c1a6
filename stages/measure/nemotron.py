"""The heuristic filters for English of Nemotron-CC, as NeMo Curator 1.4 has them.

That is its heuristic_filter_english_pipeline.yaml. Words are those of `str.split`, lines are not blank, paragraphs lie
between pairs of line feeds, empty ones too. A repeated line or paragraph is measured by what would be left without the
copies; a top n-gram by how much shorter the text would be without it, words or not; repeated n-grams with a blank
before each word, words that two share counted once.

Departures: of equally frequent n-grams we take the first, NeMo Curator one that changes from run to run; of its policy
phrases five whole sentences of cookie banners are not looked for. Letters are `str.isalpha`. An empty text has no
values and is dropped for having too few words.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column, text_buffers
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.composition import composition_counts
from corpusmill.stages.measure.gopher_dialects import DUPLICATE_SIZES, TOP_SIZES
from corpusmill.stages.measure.layout import Layout, hash_words, lines_of
from corpusmill.stages.measure.segmenters import layout
from corpusmill.stages.measure.stop_words import STOP_WORDS
from corpusmill.stages.measure.words import Counts, character_counts, repeated_pieces

BULLETS = "•‣⁃⁌⁍∙○●◘◦⦾⦿"

COLUMNS = (
    *("chars", "plain_chars", "digits", "url_chars", "white_chars", "brackets", "policy_paragraphs", "lorem_ipsum"),
    *("paragraphs", "unique_paragraphs", "paragraph_chars", "unique_paragraph_chars"),
    *("lines", "unique_lines", "line_chars", "unique_line_chars", "ended_lines", "ellipsis_lines", "bullet_lines"),
    *("words", "word_chars", "letter_words", "symbol_words", "common_words", "longest_word"),
    *(f"top_{n}_gram_chars" for n in TOP_SIZES),
    *(f"dup_{n}_gram_chars" for n in DUPLICATE_SIZES),
)


@dataclass(frozen=True, kw_only=True)
class Nemotron(StageSettings):
    """A threshold of None switches its rule off. English only."""

    name: ClassVar[str] = "nemotron"
    kind: ClassVar[Kind] = "measure"

    min_plain_char_ratio: float | None = threshold(0.75)  # ASCII letters and digits, line feeds, ? ! , .
    max_symbol_word_ratio: float | None = threshold(0.1)
    max_digit_ratio: float | None = threshold(0.15)
    max_url_char_ratio: float | None = threshold(0.2)
    max_white_char_ratio: float | None = threshold(0.25)
    max_bracket_ratio: float | None = threshold(0.1)
    max_policy_paragraph_ratio: float | None = threshold(0.4)
    min_unique_line_ratio: float | None = threshold(0.7)
    min_unique_paragraph_ratio: float | None = threshold(0.7)
    min_unique_line_char_ratio: float | None = threshold(0.8)
    min_unique_paragraph_char_ratio: float | None = threshold(0.8)
    min_words: int | None = threshold(50)
    max_words: int | None = threshold(100_000)
    min_ended_line_ratio: float | None = threshold(0.15)  # lines that end in . ? ! " or '
    min_letter_word_ratio: float | None = threshold(0.8)
    min_common_words: int | None = threshold(2)
    min_mean_word_length: float | None = threshold(3.0)
    max_mean_word_length: float | None = threshold(10.0)
    max_word_chars: int | None = threshold(1000)
    max_ellipsis_line_ratio: float | None = threshold(0.3)
    max_top_ngram_ratios: tuple[float, ...] = threshold((0.2, 0.18, 0.16))
    max_dup_ngram_ratios: tuple[float, ...] = threshold((0.15, 0.14, 0.13, 0.12, 0.11, 0.1))
    max_bullet_line_ratio: float | None = threshold(0.9)

    def adds(self) -> dict[str, pa.DataType]:
        return {f"nemotron_{name}": pa.int32() for name in COLUMNS}

    def rules(self) -> tuple[Rule, ...]:
        """In the order of the pipeline."""
        made = [
            _rule("few_plain_characters", "<", self.min_plain_char_ratio, "plain_chars", "chars"),
            _rule("too_many_symbols", ">", self.max_symbol_word_ratio, "symbol_words", "words"),
            _rule("too_many_digits", ">", self.max_digit_ratio, "digits", "chars"),
            _rule("mostly_addresses", ">", self.max_url_char_ratio, "url_chars", "chars"),
            _rule("too_much_white_space", ">", self.max_white_char_ratio, "white_chars", "chars"),
            _rule("too_many_brackets", ">", self.max_bracket_ratio, "brackets", "chars"),
            Rule("nemotron.lorem_ipsum", ("nemotron_lorem_ipsum",), ">", 0),
            _rule("mostly_policy", ">", self.max_policy_paragraph_ratio, "policy_paragraphs", "paragraphs"),
            _rule("repeated_lines", "<", self.min_unique_line_ratio, "unique_lines", "lines"),
            _rule("repeated_paragraphs", "<", self.min_unique_paragraph_ratio, "unique_paragraphs", "paragraphs"),
            _rule(
                "much_text_in_repeated_lines", "<", self.min_unique_line_char_ratio, "unique_line_chars", "line_chars"
            ),
            _rule(
                "much_text_in_repeated_paragraphs",
                "<",
                self.min_unique_paragraph_char_ratio,
                "unique_paragraph_chars",
                "paragraph_chars",
            ),
            _rule("too_few_words", "<", self.min_words, "words"),
            _rule("too_many_words", ">", self.max_words, "words"),
            _rule("few_lines_end_a_sentence", "<", self.min_ended_line_ratio, "ended_lines", "lines"),
            _rule("too_few_words_with_letters", "<", self.min_letter_word_ratio, "letter_words", "words"),
            _rule("too_few_common_words", "<", self.min_common_words, "common_words"),
            _rule("short_words", "<", self.min_mean_word_length, "word_chars", "words"),
            _rule("long_words", ">", self.max_mean_word_length, "word_chars", "words"),
            _rule("a_very_long_word", ">", self.max_word_chars, "longest_word"),
            _rule("too_many_ellipsis_lines", ">", self.max_ellipsis_line_ratio, "ellipsis_lines", "lines"),
        ]
        for n, limit in zip(TOP_SIZES, self.max_top_ngram_ratios, strict=False):
            made.append(_rule(f"dominant_{n}_gram", ">", limit, f"top_{n}_gram_chars", "chars"))
        for n, limit in zip(DUPLICATE_SIZES, self.max_dup_ngram_ratios, strict=False):
            made.append(_rule(f"repeated_{n}_grams", ">", limit, f"dup_{n}_gram_chars", "chars"))
        made.append(_rule("too_many_bullet_lines", ">", self.max_bullet_line_ratio, "bullet_lines", "lines"))
        return tuple(rule for rule in made if rule is not None)

    def open(self) -> "NemotronWorker":
        return NemotronWorker()


def _rule(rule: str, op: str, limit: float | None, *columns: str) -> Rule | None:
    names = tuple(f"nemotron_{name}" for name in columns)
    return None if limit is None else Rule(f"nemotron.{rule}", names, "<" if op == "<" else ">", limit)


class NemotronWorker:
    """Holds the hashes of the common words."""

    def __init__(self) -> None:
        self.common = hash_words(STOP_WORDS["en"])

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.stages.kernels import repeated_pieces as pieces
        from corpusmill.stages.kernels.makeup import count_symbol_words
        from corpusmill.stages.kernels.word_counts import count_listed_words

        words = layout(batch, scratch, "whitespace")
        counts: Counts = composition_counts(batch, scratch) | character_counts(batch, scratch)
        counts |= {name: counts[name] for name in ("paragraphs",)}
        for name, cut in (("line", pieces.FULL), ("paragraph", pieces.PAIRS)):
            found = repeated_pieces(batch, scratch, cut)
            counts[f"{name}s"], counts[f"{name}_chars"] = found["pieces"], found["chars"]
            counts[f"unique_{name}s"] = found["pieces"] - found["later"]
            counts[f"unique_{name}_chars"] = found["chars"] - found["later_chars"]
        counts |= self._marked(batch, scratch)
        rows = np.zeros(batch.num_rows, dtype=np.int64)
        lists = np.array([0, len(self.common)])
        counts["common_words"] = count_listed_words(words.first, words.hashes, self.common, lists, rows)[:, 1]
        counts["symbol_words"] = count_symbol_words(
            words.data, words.first, words.starts, words.num_bytes, words.num_chars
        )
        counts |= _word_sizes(words) | self._ngrams(batch, words, counts["chars"])
        return {f"nemotron_{name}": pa.array(counts[name], pa.int32()) for name in COLUMNS}

    def _marked(self, batch: Batch, scratch: Scratch) -> Counts:
        from corpusmill.stages.kernels.marked_lines import COUNTS, ELLIPSIS, MORE, NOT_BLANK, THREE_STOPS
        from corpusmill.stages.kernels.marked_lines import count_marked_lines as count

        lines = lines_of(batch, scratch)
        bullets = np.array([ord(bullet) for bullet in BULLETS], dtype=np.int32)
        ends = ELLIPSIS | THREE_STOPS | MORE
        ink = (lines.ink_starts, lines.ink_ends)
        counted = count(lines.data, lines.first, *ink, lines.num_chars, lines.flags, NOT_BLANK, bullets, ends)
        return {name: values for name, values in zip(COUNTS, counted.T, strict=True) if name != "lines"}

    def _ngrams(self, batch: Batch, words: Layout, chars: npt.NDArray[np.int64]) -> Counts:
        """Of texts with fewer than n words all characters count."""
        from corpusmill.stages.kernels.makeup import count_joined
        from corpusmill.stages.kernels.ngram_counts import COUNTS, SIZES, count_ngrams

        _, offsets = text_buffers(batch.column("text"))
        counted = count_ngrams(words.first, words.num_chars, words.hashes)
        counts: Counts = {}
        for index, n in enumerate(SIZES):
            one = dict(zip(COUNTS, counted[:, index].T, strict=True))
            short = np.diff(words.first) < n
            if n in TOP_SIZES:
                grams = np.ascontiguousarray(one["first_word"])
                times = count_joined(words.data, offsets, words.first, words.starts, words.num_bytes, grams, n)
                counts[f"top_{n}_gram_chars"] = np.where(short, chars, times * (one["first_chars"] + n - 1))
            else:
                counts[f"dup_{n}_gram_chars"] = np.where(short, chars, one["later_chars"])
        return counts


def _word_sizes(words: Layout) -> Counts:
    """Words, their characters, those with a letter, and the characters of the longest."""
    from corpusmill.stages.kernels.word_counts import COUNTS, count_words

    counted = dict(zip(COUNTS, count_words(words.first, words.num_chars, words.flags).T, strict=True))
    before = np.concatenate([[0], np.cumsum(words.num_chars, dtype=np.int64)])
    return {
        "words": counted["words"],
        "letter_words": counted["letter_words"],
        "longest_word": counted["longest_word"],
        "word_chars": before[words.first[1:]] - before[words.first[:-1]],
    }
