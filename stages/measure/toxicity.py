"""Measures how toxic a text is (insults, slurs, hate, threats) with a small fastText model that is shipped.

Trained by `python -m corpusmill.stages.models.train_toxicity` from openly licensed comments in English, Chinese,
German, Korean, Arabic and French and from clean prose, law, classics, code and technical text; in other languages a low
score means nothing. The card `stages/models/toxicity.json` gives sources, licences, ROC-AUC per set, what the default
threshold buys, and how often terms for groups of people raise the score. A score is the whole document's: a
single insult in a long text disappears in it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.models.model_file import MODELS

DEFAULT_MAX_SCORE = 0.8
"""At most 0.5 % of the clean documents of every tried domain lie above; the card gives precision and recall."""


@dataclass(frozen=True, kw_only=True)
class Toxicity(StageSettings):
    """`toxicity` is a probability in [0, 1], null for a text without words."""

    name: ClassVar[str] = "toxicity"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba", "pyarrow")

    max_score: float | None = threshold(DEFAULT_MAX_SCORE)  # None: measured, nothing dropped
    model: Path | None = None  # None: toxicity.ftz, which is shipped

    def adds(self) -> dict[str, pa.DataType]:
        return {"toxicity": pa.float32()}

    def rules(self) -> tuple[Rule, ...]:
        if self.max_score is None:
            return ()
        return (Rule("toxicity.toxic", value=("toxicity",), op=">", limit=self.max_score),)

    def files(self) -> tuple[Path, ...]:
        model = self.model or MODELS / "toxicity.ftz"
        card = model.with_suffix(".json")
        return (model, card) if card.exists() else (model,)

    def open(self) -> ClassifierWorker:
        return ClassifierWorker(self.files()[0], "toxicity", positive="toxic" if self.model is None else None)
