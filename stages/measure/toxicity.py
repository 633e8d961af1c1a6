"""Measures how toxic a text is (insults, slurs, hate, threats) with a small fastText model that is shipped.

Trained by `python -m corpusmill.stages.models.train_toxicity` from openly licensed comments in English, Chinese,
German, Korean, Arabic and French and from clean prose, law, classics, code and technical text; in other languages a low
score means nothing. The card `stages/models/toxicity.json` gives sources, licences, ROC-AUC per set, what the default
threshold buys, and how often terms for groups of people raise the score. A score is the whole document's: a
single insult in a long text disappears in it, which is what `paragraphs` is for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.measure.pieces import SCORED, score_pieces
from corpusmill.stages.models.model_file import MODELS

DEFAULT_MAX_SCORE = 0.8
"""At most 0.5 % of the clean documents of every tried domain lie above; the card gives precision and recall."""


@dataclass(frozen=True, kw_only=True)
class Toxicity(StageSettings):
    """`toxicity` is a probability in [0, 1], null for a text without words. With `paragraphs` it adds
    `toxicity_paragraphs`, their bytes in the text and scores, and `toxicity_max_paragraph`, the highest of them."""

    name: ClassVar[str] = "toxicity"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba", "pyarrow")

    max_score: float | None = threshold(DEFAULT_MAX_SCORE)  # None: measured, nothing dropped
    max_paragraph_score: float | None = threshold(None)  # needs `paragraphs`
    paragraphs: bool = False
    model: Path | None = None  # None: toxicity.ftz, which is shipped

    def __post_init__(self) -> None:
        if self.max_paragraph_score is not None and not self.paragraphs:
            raise RequestError("toxicity.max_paragraph_score is set, paragraphs is not. Set paragraphs: true.")

    def adds(self) -> dict[str, pa.DataType]:
        added: dict[str, pa.DataType] = {"toxicity": pa.float32()}
        if self.paragraphs:
            added |= {"toxicity_paragraphs": SCORED, "toxicity_max_paragraph": pa.float32()}
        return added

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.max_score is not None:
            made.append(Rule("toxicity.toxic", value=("toxicity",), op=">", limit=self.max_score))
        if self.max_paragraph_score is not None:
            limit = self.max_paragraph_score
            made.append(Rule("toxicity.toxic_paragraph", value=("toxicity_max_paragraph",), op=">", limit=limit))
        return tuple(made)

    def files(self) -> tuple[Path, ...]:
        model = self.model or MODELS / "toxicity.ftz"
        card = model.with_suffix(".json")
        return (model, card) if card.exists() else (model,)

    def open(self) -> "ToxicityWorker":
        positive = "toxic" if self.model is None else None
        return ToxicityWorker(ClassifierWorker(self.files()[0], "toxicity", positive=positive), self.paragraphs)


class ToxicityWorker:
    """Holds the model."""

    def __init__(self, classifier: ClassifierWorker, paragraphs: bool) -> None:
        self.classifier, self.paragraphs = classifier, paragraphs

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        text = batch.column("text")
        measured = {"toxicity": self.classifier.scores(text)}
        if self.paragraphs:
            lists, highest = score_pieces(text, "paragraph", self.classifier.scores)
            measured |= {"toxicity_paragraphs": lists, "toxicity_max_paragraph": highest}
        return measured
