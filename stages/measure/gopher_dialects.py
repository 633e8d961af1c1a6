"""What each program by the name of Gopher counts, as settings over measures that all share.

A dialect says what words, lines and paragraphs are, and for every column where its count is found: `lines.copies` is
the count `copies` of the lines cut its way. Rules are named alike in all; a dialect has those that its program has.

datatrove   datatrove 0.10, GopherRepetitionFilter and GopherQualityFilter, which FineWeb used
dolma       Dolma 1.2's tagger gopher_v2 (dolma-v1: gopher_v1, whose empty lines count) with the thresholds of Dolma 1.6
dclm        DCLM's massive_web_repetition_filters and the filters around them in dclm_baseline_refinedweb.yaml
redpajama   RedPajama-V2's quality signals, with Gopher's thresholds
paper       Rae et al. 2021, appendix A.1.1 and table A1, read literally

On one document the share of duplicate lines was 0.29 by datatrove and 0.43 by Dolma and DCLM, and of characters in
duplicate 5-grams 0.09, 0.16 and 0.29: see docs/filters.md.
"""

from dataclasses import dataclass, field
from typing import Literal

from corpusmill.stages.measure.segmenters import Segmenter

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)

RuleShape = tuple[str, str, str, str, str | None]
"""(rule, operator, setting that holds its limit, column, column to divide by)"""

Words = Literal["all", "text", "whitespace", "normalized"]


@dataclass(frozen=True, kw_only=True)
class GopherDialect:
    """Settings of one program's counting. Columns map a measure to `family.count`."""

    segmenter: Segmenter = "auto"  # of words, where the recipe names none
    ngram_words: Words = "text"  # of the n-grams: the segmenter's, those that begin with a letter or digit; or others
    lines: str = "RUNS"  # as kernels/repeated_pieces.py names the ways to cut
    paragraphs: str | None = "PARAGRAPHS"
    bullets: str = "•-"
    ellipses: int = 3  # of kernels/marked_lines.py
    marked: Literal["ALL", "NOT_EMPTY", "NOT_BLANK", "NOT_LAST_EMPTY"] = "ALL"  # of which lines
    marked_ink: bool = True  # white space at the ends of a line is passed over
    lower_stop_words: bool = False
    columns: dict[str, str]
    rules: tuple[RuleShape, ...]
    limits: dict[str, float | tuple[float, ...] | None] = field(default_factory=dict)  # where they are not the paper's


def _top(total: str | None) -> tuple[RuleShape, ...]:
    return tuple(
        (f"dominant_{n}_gram", ">", f"max_top_ngram_ratios.{n}", f"top_{n}_gram_chars", total) for n in TOP_SIZES
    )


def _duplicate(total: str) -> tuple[RuleShape, ...]:
    return tuple(
        (f"repeated_{n}_grams", ">", f"max_dup_ngram_ratios.{n}", f"dup_{n}_gram_chars", total.format(n=n))
        for n in DUPLICATE_SIZES
    )


def _lines(total: str, line_chars: str) -> tuple[RuleShape, ...]:
    return (
        ("repeated_lines", ">", "max_dup_line_ratio", "dup_lines", total),
        ("much_text_in_repeated_lines", ">", "max_dup_line_char_ratio", "dup_line_chars", line_chars),
    )


def _paragraphs(chars: str) -> tuple[RuleShape, ...]:
    return (
        ("repeated_paragraphs", ">", "max_dup_paragraph_ratio", "dup_paragraphs", "paragraphs"),
        ("much_text_in_repeated_paragraphs", ">", "max_dup_paragraph_char_ratio", "dup_paragraph_chars", chars),
    )


def _length(words: str) -> tuple[RuleShape, ...]:
    return (
        ("too_few_words", "<", "min_words", words, None),
        ("too_many_words", ">", "max_words", words, None),
    )


def _mean(chars: str, words: str | None) -> tuple[RuleShape, ...]:
    return (
        ("short_words", "<", "min_mean_word_length", chars, words),
        ("long_words", ">", "max_mean_word_length", chars, words),
    )


_MARKED: tuple[RuleShape, ...] = (
    ("too_many_bullet_lines", ">", "max_bullet_line_ratio", "bullet_lines", "lines"),
    ("too_many_ellipsis_lines", ">", "max_ellipsis_line_ratio", "ellipsis_lines", "lines"),
)
_LETTERS: RuleShape = ("too_few_words_with_letters", "<", "min_letter_word_ratio", "letter_words", "words")
_STOP_WORDS: RuleShape = ("too_few_stop_words", "<", "min_stop_words", "stop_words", None)
_SYMBOLS: RuleShape = ("too_many_symbols", ">", "max_symbol_ratio", "symbols", "words")
_HASHES: tuple[RuleShape, ...] = (
    ("too_many_hashes", ">", "max_hash_ratio", "hashes", "words"),
    ("too_many_ellipses", ">", "max_ellipsis_ratio", "ellipses", "words"),
)

_PIECES = {"pieces": "lines.pieces", "paragraphs": "paragraphs.pieces"}
_LATER = _PIECES | {
    "dup_lines": "lines.later",
    "dup_line_chars": "lines.later_chars",
    "dup_paragraphs": "paragraphs.later",
    "dup_paragraph_chars": "paragraphs.later_chars",
}
_COPIES = _PIECES | {
    "dup_lines": "lines.copies",
    "dup_line_chars": "lines.copied_chars",
    "dup_paragraphs": "paragraphs.copies",
    "dup_paragraph_chars": "paragraphs.copied_chars",
}
_MARKS = {"lines": "marked.lines", "bullet_lines": "marked.bullet_lines", "ellipsis_lines": "marked.ellipsis_lines"}
_SPACED = {"words": "spaced.words", "word_chars": "spaced.chars", "letter_words": "spaced.letter_words"}


def _grams(top: str, duplicate: str) -> dict[str, str]:
    """Where the counts of n-grams are."""
    columns = {f"top_{n}_gram_chars": f"ngrams.{top}_{n}" for n in TOP_SIZES}
    return columns | {f"dup_{n}_gram_chars": f"ngrams.{duplicate}_{n}" for n in DUPLICATE_SIZES}


DATATROVE = GopherDialect(
    ngram_words="all",
    columns=_LATER
    | {
        "chars": "characters.chars",
        "words": "words.words",
        "text_words": "words.text_words",
        "text_word_chars": "words.text_word_chars",
        "letter_words": "words.letter_words",
        "stop_words": "stop.different",
        "hashes": "characters.hashes",
        "ellipses": "characters.ellipses",
        "lines": "characters.lines",
        "bullet_lines": "characters.bullet_lines",
        "ellipsis_lines": "characters.ellipsis_lines",
    }
    | {f"top_{n}_gram_chars": f"repeats.top_{n}" for n in TOP_SIZES}
    | {f"dup_{n}_gram_chars": f"repeats.dup_{n}" for n in DUPLICATE_SIZES},
    rules=(
        *_paragraphs("chars"),
        *_lines("pieces", "chars"),
        *_top("chars"),
        *_duplicate("chars"),
        *_length("text_words"),
        *_mean("text_word_chars", "text_words"),
        *_HASHES,
        *_MARKED,
        _LETTERS,
        _STOP_WORDS,
    ),
)


def _dolma(lines: str) -> GopherDialect:
    """Words between white space; every copy of a line counts; the median length of words; no paragraphs."""
    columns = {name: place for name, place in (_COPIES | _SPACED | _MARKS).items() if "paragraph" not in name}
    totals = {f"all_{n}_gram_chars": f"ngrams.all_{n}" for n in DUPLICATE_SIZES}
    return GopherDialect(
        segmenter="whitespace",
        ngram_words="whitespace",
        lines=lines,
        paragraphs=None,
        bullets="*-",
        ellipses=1,
        marked="NOT_EMPTY" if lines == "RUNS" else "ALL",
        marked_ink=False,
        columns=columns
        | totals
        | _grams("first", "copied")
        | {"median_word_length": "spaced.median", "symbols": "spaced.symbol_words"}
        | {"stop_words": "stop.occurrences"},
        rules=(
            *_length("words"),
            *_mean("median_word_length", None),
            _SYMBOLS,
            _LETTERS,
            _STOP_WORDS,
            *_MARKED,
            *_lines("pieces", "word_chars"),
            *_top("word_chars"),
            *_duplicate("all_{n}_gram_chars"),
        ),
        limits={"max_dup_line_char_ratio": 0.3},
    )


DCLM = GopherDialect(
    lines="INK",
    paragraphs="INK_PARAGRAPHS",
    bullets="●•*-",
    ellipses=7,
    marked="NOT_BLANK",
    lower_stop_words=True,
    columns=_COPIES
    | _SPACED
    | _MARKS
    | _grams("longest", "covered")
    | {
        "alnum_words": "spaced.alnum_words",
        "symbols": "characters.spaced_symbols",
        "stop_words": "stop.occurrences",
        "piece_chars": "lines.chars",
        "paragraph_chars": "paragraphs.chars",
        "ngram_word_chars": "ngrams.word_chars",
    },
    rules=(
        *_length("alnum_words"),
        *_mean("word_chars", "words"),
        _SYMBOLS,
        *_MARKED,
        _LETTERS,
        _STOP_WORDS,
        *_lines("pieces", "piece_chars"),
        *_paragraphs("paragraph_chars"),
        *_top("ngram_word_chars"),
        *_duplicate("ngram_word_chars"),
    ),
)

REDPAJAMA = GopherDialect(
    ngram_words="normalized",
    lines="FULL",
    paragraphs=None,
    bullets="•‣▶◀◦■□▪▫–",
    ellipses=3,
    marked="NOT_LAST_EMPTY",
    columns=_MARKS
    | _grams("first_repeated", "covered")
    | {
        "words": "runs.words",
        "letter_words": "runs.ascii_letter_words",
        "normalized_words": "normalized.words",
        "normalized_word_chars": "normalized.chars",
        "symbols": "characters.symbols_together",
    },
    rules=(
        *_length("normalized_words"),
        *_mean("normalized_word_chars", "normalized_words"),
        _SYMBOLS,
        *_MARKED,
        _LETTERS,
        *_top("normalized_word_chars"),
        *_duplicate("normalized_word_chars"),
    ),
)

PAPER = GopherDialect(
    lines="FULL",
    paragraphs="INK_PARAGRAPHS",
    marked="NOT_BLANK",
    columns=_COPIES
    | _MARKS
    | _grams("first", "covered")
    | {
        "words": "words.words",
        "text_words": "words.text_words",
        "text_word_chars": "words.text_word_chars",
        "letter_words": "words.letter_words",
        "stop_words": "stop.different",
        "hashes": "characters.hashes",
        "ellipses": "characters.ellipses",
        "piece_chars": "lines.chars",
        "paragraph_chars": "paragraphs.chars",
        "ngram_word_chars": "ngrams.word_chars",
    },
    rules=(
        *_length("text_words"),
        *_mean("text_word_chars", "text_words"),
        *_HASHES,
        *_MARKED,
        _LETTERS,
        _STOP_WORDS,
        *_lines("pieces", "piece_chars"),
        *_paragraphs("paragraph_chars"),
        *_top("ngram_word_chars"),
        *_duplicate("ngram_word_chars"),
    ),
)

GOPHER_DIALECTS = {
    "datatrove": DATATROVE,
    "dolma": _dolma("RUNS"),
    "dolma-v1": _dolma("ALL"),
    "dclm": DCLM,
    "redpajama": REDPAJAMA,
    "paper": PAPER,
}
