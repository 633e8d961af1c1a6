"""Measures the language of a document with a fastText model, and drops what was not asked for.

The default is fastText's lid.176.ftz (Joulin et al. 2016, Bag of Tricks): 176 languages, shipped with its card. Any
other fastText model (GlotLID, a trained one) is taken by path. As fastText's documentation says, the text is given as
one line: line feeds become spaces. The score is fastText's probability of the best label, which may exceed 1 by
rounding (its hierarchical softmax adds 1e-5 inside the logarithm).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.prepared_text import one_line
from corpusmill.stages.models.model_file import MODELS, load_model

LABEL = "__label__"


@dataclass(frozen=True, kw_only=True)
class Language(StageSettings):
    """`lang` replaces what the record said; both columns are null for a text that is empty or blank."""

    name: ClassVar[str] = "language"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("fasttext-numpy2-wheel",)

    keep: tuple[str, ...] = threshold(())  # labels of the model, such as en or zh; empty keeps every language
    min_score: float | None = threshold(None)
    model: Path | None = None  # None: lid.176.ftz, which is shipped

    def adds(self) -> dict[str, pa.DataType]:
        return {"lang": pa.string(), "language_score": pa.float32()}

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.keep:
            made.append(Rule("language.unwanted_language", value=("lang",), op="not in", limit=self.keep))
        if self.min_score is not None:
            made.append(Rule("language.low_score", value=("language_score",), op="<", limit=self.min_score))
        return tuple(made)

    def files(self) -> tuple[Path, ...]:
        return (self.model or MODELS / "lid.176.ftz",)

    def open(self) -> "LanguageWorker":
        return LanguageWorker(load_model(self.files()[0]))


class LanguageWorker:
    """Holds the model."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        lines = one_line(batch.column("text")).to_pylist()
        rows = [row for row, line in enumerate(lines) if line]
        labels, scores = self.model.predict([lines[row] for row in rows], k=1) if rows else ([], [])
        langs: list[str | None] = [None] * len(lines)
        best: list[float | None] = [None] * len(lines)
        for row, label, score in zip(rows, labels, scores, strict=True):
            langs[row] = label[0].removeprefix(LABEL)
            best[row] = float(score[0])
        return {"lang": pa.array(langs, pa.string()), "language_score": pa.array(best, pa.float32())}
