"""Measures the quality of English and Chinese texts with small fastText models that are shipped, or with your own.

Trained by `python -m corpusmill.stages.models.train_quality`: edited prose, documentation, law and code against raw web
pages; the cards `stages/models/quality-en.json` and `quality-zh.json` give sources and what to expect on others. The
column `lang` chooses the model, so a `language` stage stands before; in other languages the value is null, and a
model of your own, made by `train-classifier`, is given by path and scores every document.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.models.model_file import MODELS

SHIPPED = {"en": MODELS / "quality-en.ftz", "zh": MODELS / "quality-zh.ftz"}


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
        models = tuple(SHIPPED.values()) if self.model is None else (self.model,)
        cards = (model.with_suffix(".json") for model in models)
        return (*models, *(card for card in cards if card.exists()))

    def open(self) -> "QualityWorker":
        if self.model is not None:
            return QualityWorker({None: ClassifierWorker(self.model, "quality")})
        return QualityWorker({lang: ClassifierWorker(path, "quality") for lang, path in SHIPPED.items()})


class QualityWorker:
    """Holds a model per language, or one for all under None."""

    def __init__(self, workers: dict[str | None, ClassifierWorker]) -> None:
        self.workers = workers

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        text = batch.column("text")
        if None in self.workers:
            return {"quality": self.workers[None].scores(text)}
        langs = np.array(batch.column("lang").to_pylist(), dtype=object)
        scores = np.full(len(text), np.nan, dtype=np.float32)
        for lang, worker in self.workers.items():
            rows = np.flatnonzero(langs == lang)
            scores[rows] = worker.scores(text.take(pa.array(rows, pa.int64()))).to_numpy(zero_copy_only=False)
        return {"quality": pa.array(scores, mask=np.isnan(scores))}
