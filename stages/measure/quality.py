"""Measures the quality of English and Chinese texts with small fastText models that are shipped, or with your own.

Trained by `python -m corpusmill.stages.models.train_quality`: edited prose, documentation, law and code against raw web
pages; the cards `stages/models/quality-en.json` and `quality-zh.json` give sources and what to expect on others. The
column `lang` chooses the model, so a `language` stage stands before; in other languages the value is null, and a
model of your own, made by `train-classifier`, is given by path and scores every document.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.by_language import LanguageClassifiers, with_cards
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.models.model_file import MODELS

SHIPPED: dict[str | None, Path] = {"en": MODELS / "quality-en.ftz", "zh": MODELS / "quality-zh.ftz"}


@dataclass(frozen=True, kw_only=True)
class Quality(StageSettings):
    """`quality` is a probability in [0, 1]; null for text without words, and without a model for its language."""

    name: ClassVar[str] = "quality"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba", "pyarrow")

    min_score: float | None = threshold(None)
    model: Path | None = None  # None: the shipped one of the document's `lang`

    def adds(self) -> dict[str, pa.DataType]:
        return {"quality": pa.float32()}

    def rules(self) -> tuple[Rule, ...]:
        if self.min_score is None:
            return ()
        return (Rule("quality.low_quality", value=("quality",), op="<", limit=self.min_score),)

    def files(self) -> tuple[Path, ...]:
        return with_cards(tuple(SHIPPED.values()) if self.model is None else (self.model,))

    def problems(self) -> tuple[str, ...]:
        self.open()
        return ()

    def open(self) -> "QualityWorker":
        chosen = SHIPPED if self.model is None else {None: self.model}
        return QualityWorker(
            LanguageClassifiers({lang: ClassifierWorker(path, "quality") for lang, path in chosen.items()})
        )


class QualityWorker:
    """Holds a model per language, or one for all."""

    def __init__(self, classifiers: LanguageClassifiers) -> None:
        self.classifiers = classifiers

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        return {"quality": self.classifiers.scores(batch.column("text"), batch.column("lang"))}
