"""FineWeb2's filters (Penedo et al. 2025, "FineWeb2: One Pipeline to Scale Them All"): thresholds by language.

The rules are those of datatrove's Gopher and FineWeb filters as FineWeb2's pipeline uses them: nothing about
paragraphs, short lines or characters in repeated lines below 10 %. Thresholds and stop words of twelve languages are
FineWeb2's own (configs/*.yml of its repository); `thresholds` names a file with others, as `corpusmill
derive-thresholds` writes it from your own reference texts. Thresholds hold for the words that they were made with:
FineWeb2's for datatrove's tokenizers (`segmenter: datatrove`), which need their libraries; with the default segmenter
derive your own, most of all for Chinese, Japanese and Thai, where our words are letters and the mean length of words
is not measured.

FineWeb2's minimum of GlotLID's score is left out, since scores of other classifiers are not comparable: use the stage
`language`. A document whose language has no thresholds keeps all but the rules that are the same everywhere, or is
dropped by `fineweb2.no_thresholds`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.language_codes import language_code
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.fineweb import Fineweb
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.gopher_dialects import DUPLICATE_SIZES, TOP_SIZES
from corpusmill.stages.measure.layout import hash_words
from corpusmill.stages.measure.segmenters import Segmenter, layout, segmenter_depends

SHIPPED = Path(__file__).with_name("fineweb2.json")

LIMITS = (
    ("repeated_lines", ">", "max_dup_line_ratio", ("dup_lines", "pieces")),
    ("few_lines_end_a_sentence", "<", "min_terminal_line_ratio", ("terminal_lines", "full_lines")),
    ("too_many_line_breaks", ">", "max_line_break_ratio", ("newlines", "words")),
    ("short_words", "<", "min_mean_word_length", ("text_word_chars", "text_words")),
    ("long_words", ">", "max_mean_word_length", ("text_word_chars", "text_words")),
    ("too_few_words_with_letters", "<", "min_letter_word_ratio", ("letter_words", "words")),
)
"""(rule, operator, threshold of a language, columns)"""

GOPHER_COLUMNS = (
    *("chars", "words", "text_words", "text_word_chars", "letter_words", "hashes", "ellipses", "lines", "bullet_lines"),
    *("ellipsis_lines", "pieces", "dup_lines", *(f"top_{n}_gram_chars" for n in TOP_SIZES)),
    *(f"dup_{n}_gram_chars" for n in DUPLICATE_SIZES),
)
FINEWEB_COLUMNS = {
    "full_lines": "lines",
    "terminal_lines": "terminal_lines",
    "dup_line_chars": "dup_line_chars",
    "line_chars": "line_chars",
    "newlines": "newlines",
}


@dataclass(frozen=True, kw_only=True)
class Fineweb2(StageSettings):
    """Limits that are the same for all languages are settings; None switches a rule off."""

    name: ClassVar[str] = "fineweb2"
    kind: ClassVar[Kind] = "measure"

    thresholds: Path | None = None  # a file made by derive-thresholds; None is FineWeb2's own
    segmenter: Segmenter = "auto"

    drop_other_languages: bool = threshold(False)  # documents of languages without thresholds
    max_dup_line_char_ratio: float | None = threshold(0.1)
    min_words: int | None = threshold(50)
    max_words: int | None = threshold(100_000)
    max_hash_ratio: float | None = threshold(0.1)
    max_ellipsis_ratio: float | None = threshold(0.1)
    max_bullet_line_ratio: float | None = threshold(0.9)
    max_ellipsis_line_ratio: float | None = threshold(0.3)
    min_stop_words: int | None = threshold(2)

    @property
    def depends(self) -> tuple[str, ...]:  # type: ignore[override]
        return segmenter_depends(self.segmenter)

    def files(self) -> tuple[Path, ...]:
        return (self.thresholds or SHIPPED,)

    def adds(self) -> dict[str, pa.DataType]:
        names = (*GOPHER_COLUMNS, *FINEWEB_COLUMNS, "stop_words", "has_thresholds")
        return {f"fineweb2_{name}": pa.int32() for name in names}

    def rules(self) -> tuple[Rule, ...]:
        by_language = load_thresholds(self.thresholds or SHIPPED)
        made = []
        if self.drop_other_languages:
            made.append(Rule("fineweb2.no_thresholds", ("fineweb2_has_thresholds",), "=", 0))
        for rule, op, name, columns in LIMITS:
            limits = {lang: limits.get(name) for lang, limits in by_language.items()}
            made.append(_by_language(rule, op, columns, limits))
        for name, sizes, rule, column in (
            ("max_top_ngram_ratios", TOP_SIZES, "dominant_{}_gram", "top_{}_gram_chars"),
            ("max_dup_ngram_ratios", DUPLICATE_SIZES, "repeated_{}_grams", "dup_{}_gram_chars"),
        ):
            for index, n in enumerate(sizes):
                limits = {lang: limits[name][index] for lang, limits in by_language.items() if name in limits}
                made.append(_by_language(rule.format(n), ">", (column.format(n), "chars"), limits))
        everywhere: tuple[tuple[str, str, tuple[str, ...], float | None], ...] = (
            ("much_text_in_repeated_lines", ">", ("dup_line_chars", "line_chars"), self.max_dup_line_char_ratio),
            ("too_few_words", "<", ("text_words",), self.min_words),
            ("too_many_words", ">", ("text_words",), self.max_words),
            ("too_many_hashes", ">", ("hashes", "words"), self.max_hash_ratio),
            ("too_many_ellipses", ">", ("ellipses", "words"), self.max_ellipsis_ratio),
            ("too_many_bullet_lines", ">", ("bullet_lines", "lines"), self.max_bullet_line_ratio),
            ("too_many_ellipsis_lines", ">", ("ellipsis_lines", "lines"), self.max_ellipsis_line_ratio),
            ("too_few_stop_words", "<", ("stop_words",), self.min_stop_words),
        )
        made += [_rule(rule, op, names, limit) for rule, op, names, limit in everywhere if limit is not None]
        return tuple(made)

    def open(self) -> "Fineweb2Worker":
        return Fineweb2Worker(self)


def _rule(rule: str, op: str, columns: tuple[str, ...], limit: float | None) -> Rule:
    names = tuple(f"fineweb2_{name}" for name in columns)
    return Rule(f"fineweb2.{rule}", names, "<" if op == "<" else ">", limit)


def _by_language(rule: str, op: str, columns: tuple[str, ...], limits: Mapping[str, float | None]) -> Rule:
    made = _rule(rule, op, columns, None)
    pairs = tuple((lang, None if limit is None else float(limit)) for lang, limit in sorted(limits.items()))
    return Rule(made.name, made.value, made.op, None, by_language=pairs)


@cache
def load_thresholds(path: Path) -> dict[str, dict[str, Any]]:
    """Thresholds and stop words by ISO 639-1 code. Raises RequestError for a file that is none."""
    known = {name for _, _, name, _ in LIMITS} | {"max_top_ngram_ratios", "max_dup_ngram_ratios", "stop_words"}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for lang, limits in content.items():
            unknown = sorted(set(limits) - known - {"made_from"})
            if unknown:
                raise RequestError(
                    f"{path}: {lang}: no such threshold: {unknown[0]}; there is: {', '.join(sorted(known))}"
                )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        hint = "`corpusmill derive-thresholds` writes such a file"
        raise RequestError(f"{path}: not a file of thresholds by language: {error}; {hint}") from error
    return {str(lang): dict(limits) for lang, limits in content.items()}


class Fineweb2Worker:
    """Measures as the stages gopher and fineweb do, and counts stop words of FineWeb2's lists."""

    def __init__(self, settings: Fineweb2) -> None:
        self.settings = settings
        self.gopher = Gopher(segmenter=settings.segmenter).open()
        self.fineweb = Fineweb(segmenter=settings.segmenter).open()
        lists = {lang: limits.get("stop_words", ()) for lang, limits in load_thresholds(settings.files()[0]).items()}
        self.known = {lang: number for number, lang in enumerate(lists)}
        hashes = [hash_words(words) for words in lists.values()]
        self.listed = np.concatenate([*hashes, np.zeros(0, dtype=np.uint64)])
        self.list_starts = np.cumsum([0, *map(len, hashes)], dtype=np.int64)

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.stages.kernels.word_counts import count_listed_words

        gopher, fineweb = self.gopher.measure(batch, scratch), self.fineweb.measure(batch, scratch)
        columns = {f"fineweb2_{name}": gopher[f"gopher_{name}"] for name in GOPHER_COLUMNS}
        columns |= {f"fineweb2_{name}": fineweb[f"fineweb_{of}"] for name, of in FINEWEB_COLUMNS.items()}
        langs = batch.column("lang").to_pylist() if "lang" in batch.schema.names else [None] * batch.num_rows
        numbers = np.array([self.known.get(language_code(lang) or "", -1) for lang in langs], dtype=np.int64)
        words = layout(batch, scratch, self.settings.segmenter)
        counted = count_listed_words(words.first, words.hashes, self.listed, self.list_starts, numbers)
        columns["fineweb2_stop_words"] = pa.array(counted[:, 0], pa.int32(), mask=numbers < 0)
        columns["fineweb2_has_thresholds"] = pa.array(numbers >= 0).cast(pa.int32())
        return columns
