"""Takes toxic passages out of documents that are worth keeping: sentences or paragraphs above a score, or with a word
of a list, are cut or replaced by a tag.

The model is that of `toxicity`. A passage is scored alone, so there must be enough of it: one of fewer than
`min_words` words counts only by the list. Documents of which too much goes are dropped by a rule, which is what
`max_cut_share` is for. docs/classifiers.md says how much goes of the text that people marked as toxic, and how much
else with it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import lengths, take
from corpusmill.pipeline.document import Batch, Column, text_buffers, with_column
from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold
from corpusmill.stages.measure.by_language import LanguageClassifiers, with_cards
from corpusmill.stages.measure.pieces import Pieces, Unit, cut_pieces
from corpusmill.stages.measure.toxicity import shipped_models, toxicity_classifiers
from corpusmill.stages.measure.word_list import WordFinder, read_entries

TAG = b"[TOXIC]"


@dataclass(frozen=True, kw_only=True)
class ToxicPassages(StageSettings):
    """`toxic_passages_num_cut` passages go, `toxic_passages_num_bytes` of `toxic_passages_num_all_bytes` bytes."""

    name: ClassVar[str] = "toxic_passages"
    kind: ClassVar[Kind] = "change"
    depends: ClassVar[tuple[str, ...]] = ("numba", "pyarrow")

    unit: Unit = "sentence"
    max_score: float | None = 0.9  # of a passage; None: by the lists alone
    lists: tuple[Path, ...] = ()
    min_words: int = 3
    how: Literal["cut", "tag"] = "cut"
    model: Path | None = None  # None: those of `toxicity`, which are shipped
    max_cut_share: float | None = threshold(0.3)  # of the bytes; None: nothing is dropped

    def adds(self) -> dict[str, pa.DataType]:
        names = ("num_cut", "num_bytes", "num_all_bytes")
        return {f"toxic_passages_{name}": pa.int32() for name in names}

    def rules(self) -> tuple[Rule, ...]:
        if self.max_cut_share is None:
            return ()
        share = ("toxic_passages_num_bytes", "toxic_passages_num_all_bytes")
        return (Rule("toxic_passages.mostly_toxic", value=share, op=">", limit=self.max_cut_share),)

    def files(self) -> tuple[Path, ...]:
        models = () if self.max_score is None else shipped_models() if self.model is None else (self.model,)
        return (*with_cards(models), *self.lists)

    def open(self) -> "ToxicPassagesWorker":
        classifiers = None if self.max_score is None else toxicity_classifiers(self.model)
        finder = WordFinder(read_entries(self.lists)) if self.lists else None
        return ToxicPassagesWorker(self, classifiers, finder)


class ToxicPassagesWorker:
    """Holds the models and the list."""

    def __init__(
        self, settings: ToxicPassages, classifiers: LanguageClassifiers | None, finder: WordFinder | None
    ) -> None:
        self.settings, self.classifiers, self.finder = settings, classifiers, finder

    def change(self, batch: Batch) -> tuple[Batch, dict[str, Column]]:
        text = batch.column("text")
        pieces = cut_pieces(text, self.settings.unit)
        lang = batch.column("lang") if "lang" in batch.schema.names else None
        bad = self._bad(pieces, None if lang is None else take(lang, pieces.document))
        size = np.where(bad, pieces.ends - pieces.starts, 0)
        counted = [np.bincount(pieces.document, each, len(text)).astype(np.int32) for each in (bad, size)]
        columns: dict[str, Column] = {
            "toxic_passages_num_cut": pa.array(counted[0]),
            "toxic_passages_num_bytes": pa.array(counted[1]),
            "toxic_passages_num_all_bytes": pa.array(lengths(text).astype(np.int32)),
        }
        touched = counted[0] > 0
        if not touched.any():
            return batch, columns
        changed = [self._without(pieces, bad, row, text) for row in np.flatnonzero(touched).tolist()]
        replaced = pc.replace_with_mask(text, pa.array(touched), pa.array(changed, type=pa.large_string()))
        return with_column(batch, "text", replaced), columns

    def _bad(self, pieces: Pieces, lang: "Column | None") -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """[pieces] whether each is above the score, or holds a word of the list."""
        bad = np.zeros(len(pieces.text), dtype=bool)
        if self.finder is not None:
            words, first, _ = self.finder.find(pieces.text)
            bad[np.searchsorted(first, words, side="right") - 1] = True
        if self.classifiers is not None:
            scores, num_words = self.classifiers.scores_and_words(pieces.text, lang)
            bad |= (scores > (self.settings.max_score or 0.0)) & (num_words >= self.settings.min_words)
        return bad

    def _without(
        self, pieces: Pieces, bad: "np.ndarray[tuple[int], np.dtype[np.bool_]]", row: int, text: Column
    ) -> str:
        data, offsets = text_buffers(text)
        own = data[offsets[row] : offsets[row + 1]].tobytes()
        parts, at = [], 0
        for piece in np.flatnonzero(bad & (pieces.document == row)):
            start, end = int(pieces.starts[piece]), int(pieces.ends[piece])
            passage = own[start:end]
            behind = passage[len(passage.rstrip()) :] if self.settings.how == "tag" else b""
            parts += [own[at:start], (TAG if self.settings.how == "tag" else b"") + behind]
            at = end
        return b"".join([*parts, own[at:]]).decode()
