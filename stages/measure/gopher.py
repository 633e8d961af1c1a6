"""The quality and repetition rules of Gopher (Rae et al. 2021, "Scaling Language Models", appendix A.1, table A1).

What is counted differs between programs by the same name, so each is a named dialect (gopher_dialects.py); `datatrove`
counts as datatrove 0.10's GopherRepetitionFilter and GopherQualityFilter do (which FineWeb used), given the same words.
By default our own words differ a little: English contractions stay one word, a run of one symbol is a word (see
kernels/word_spans.py); with `segmenter: spacy-en` they are datatrove's own.

Departures, all for languages other than English. In a document in a script without spaces the words are single letters:
it has no word length (null, the rules do not fire), and where a rule speaks of n words, 2n letters count, 4n in Thai,
Lao, Burmese and Khmer, about what their words have. (With n letters, law in Chinese and all of Thai were repetitive.)
The stop words are those of the document's language
(`lang`; without it, those of English where most letters are ASCII); where there is no list they are not measured.
Where the document has no words, or no lines, ratios are null.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.language_codes import language_code
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.gopher_dialects import DUPLICATE_SIZES, GOPHER_DIALECTS, TOP_SIZES, GopherDialect
from corpusmill.stages.measure.layout import hash_words
from corpusmill.stages.measure.segmenters import Segmenter, layout, segmenter_depends
from corpusmill.stages.measure.shared_counts import SharedCounts
from corpusmill.stages.measure.stop_words import STOP_WORDS

Dialect = Literal["datatrove", "dolma", "dolma-v1", "dclm", "redpajama", "paper"]


@dataclass(frozen=True, kw_only=True)
class Gopher(StageSettings):
    """A threshold of None switches its rule off. Which rules there are, and of what their ratios are shares, is the
    dialect's."""

    name: ClassVar[str] = "gopher"
    kind: ClassVar[Kind] = "measure"

    dialect: Dialect = "datatrove"
    segmenter: Segmenter | None = None  # of words; None is the dialect's own

    max_dup_paragraph_ratio: float | None = threshold(0.3)
    max_dup_paragraph_char_ratio: float | None = threshold(0.2)
    max_dup_line_ratio: float | None = threshold(0.3)
    max_dup_line_char_ratio: float | Literal["dialect"] | None = threshold("dialect")  # 0.3 in dolma, else 0.2
    max_top_ngram_ratios: tuple[float, ...] = threshold((0.2, 0.18, 0.16))  # 2-, 3-, 4-grams; () is off
    max_dup_ngram_ratios: tuple[float, ...] = threshold((0.15, 0.14, 0.13, 0.12, 0.11, 0.1))  # 5- to 10-grams
    min_words: int | None = threshold(50)  # symbols not counted
    max_words: int | None = threshold(100_000)
    min_mean_word_length: float | None = threshold(3.0)  # characters
    max_mean_word_length: float | None = threshold(10.0)
    max_hash_ratio: float | None = threshold(0.1)  # '#' per word
    max_ellipsis_ratio: float | None = threshold(0.1)  # '...' and '…' per word
    max_symbol_ratio: float | None = threshold(0.1)  # both together, per word
    max_bullet_line_ratio: float | None = threshold(0.9)
    max_ellipsis_line_ratio: float | None = threshold(0.3)
    min_letter_word_ratio: float | None = threshold(0.8)  # words with a letter
    min_stop_words: int | None = threshold(2)  # different ones

    def __post_init__(self) -> None:
        used = {setting.partition(".")[0] for _, _, setting, _, _ in self._dialect.rules}
        for field in fields(self):
            unused = field.metadata.get("threshold") and field.name not in used
            if unused and getattr(self, field.name) not in (field.default, None):
                raise ValueError(f"the dialect {self.dialect} has no rule with the threshold {field.name}")

    @property
    def _dialect(self) -> GopherDialect:
        return GOPHER_DIALECTS[self.dialect]

    @property
    def depends(self) -> tuple[str, ...]:  # type: ignore[override]
        return segmenter_depends(self.words)

    @property
    def words(self) -> str:
        """The segmenter in use."""
        return self.segmenter or self._dialect.segmenter

    def adds(self) -> dict[str, pa.DataType]:
        halves = {"gopher_median_word_length": pa.float64()}
        return {f"gopher_{name}": halves.get(f"gopher_{name}", pa.int32()) for name in self._dialect.columns}

    def rules(self) -> tuple[Rule, ...]:
        """In the order in which the program applies them."""
        made = []
        for rule, op, setting, column, total in self._dialect.rules:
            limit = self._limit(setting)
            columns = tuple(f"gopher_{name}" for name in (column, total) if name is not None)
            if limit is not None:
                assert op in (">", "<")
                made.append(Rule(f"gopher.{rule}", columns, ">" if op == ">" else "<", limit))
        return tuple(made)

    def _limit(self, setting: str) -> float | None:
        name, _, size = setting.partition(".")
        limit = getattr(self, name)
        if limit == "dialect":
            limit = self._dialect.limits.get(name, 0.2)
        if size:
            index = (TOP_SIZES if int(size) <= TOP_SIZES[-1] else DUPLICATE_SIZES).index(int(size))
            limit = limit[index] if index < len(limit) else None
        return None if limit is None else float(limit)

    def open(self) -> "GopherWorker":
        return GopherWorker(self)


class GopherWorker:
    """Holds the hashes of stop words."""

    def __init__(self, settings: Gopher) -> None:
        self.settings = settings
        self.list_number = {lang: number for number, lang in enumerate(STOP_WORDS)}
        lists = [hash_words(words) for words in STOP_WORDS.values()]
        self.listed = np.concatenate(lists)
        self.list_starts = np.cumsum([0, *map(len, lists)], dtype=np.int64)

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        dialect = GOPHER_DIALECTS[self.settings.dialect]
        shared = SharedCounts(batch, scratch, dialect, self.settings.words)
        counts: dict[str, npt.NDArray[np.generic]] = {}
        unknown: dict[str, npt.NDArray[np.bool_]] = {}
        for name, place in dialect.columns.items():
            if place.startswith("stop."):
                counts[name], unknown[name] = self._stop_words(shared, place)
            else:
                counts[name] = shared.count(place)
        if "text_word_chars" in dialect.columns:
            unknown["text_word_chars"] = shared.unspaced
        types = self.settings.adds()
        return {
            column: pa.array(counts[column[7:]], kind, mask=unknown.get(column[7:])) for column, kind in types.items()
        }

    def _stop_words(self, shared: SharedCounts, place: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Per row: different stop words of its language, or all occurrences; and whether it has no list."""
        from corpusmill.stages.kernels.word_counts import count_listed_words, lower_hashes

        words = layout(shared.batch, shared.scratch, self.settings.words)
        letters = shared.characters
        lists = self._list_of_rows(shared.batch, letters["ascii_letters"], letters["letters"])
        hashes = words.hashes
        if shared.dialect.lower_stop_words:
            hashes = lower_hashes(words.data, words.starts, words.num_bytes)
        counted = count_listed_words(words.first, hashes, self.listed, self.list_starts, lists)
        return counted[:, 0 if place == "stop.different" else 1], lists < 0

    def _list_of_rows(
        self, batch: Batch, ascii_letters: npt.NDArray[np.int64], letters: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """int64 [rows]: number of the row's stop word list, -1 where there is none."""
        langs = batch.column("lang").to_pylist() if "lang" in batch.schema.names else [None] * batch.num_rows
        english = self.list_number["en"]
        numbers = [english if lang is None else self.list_number.get(language_code(lang) or "", -1) for lang in langs]
        unstated = np.array([lang is None for lang in langs], dtype=bool)
        return np.where(unstated & (2 * ascii_letters < letters), -1, np.array(numbers, dtype=np.int64))
