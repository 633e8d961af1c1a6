"""Scores a text with a fastText classifier of two labels: the probability of the positive one.

The card beside the model says how its text is prepared (`text`), which label counts (`positive`), how its scores are
calibrated and, where one was asked for, its threshold; a model without a card gets one line per text, and its positive
label from the settings. Scores before calibration are those of fastText to 1e-5, computed over the Arrow buffer by our
own kernels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.prediction import Predictor
from corpusmill.stages.measure.prepared_text import PREPARATIONS
from corpusmill.stages.models.calibration import calibrate
from corpusmill.stages.models.model_file import read_card


@dataclass(frozen=True, kw_only=True)
class Classifier(StageSettings):
    """A user's model by path. The column `classifier` is null for a text in which nothing is left to classify."""

    name: ClassVar[str] = "classifier"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba", "pyarrow")

    model: Path
    positive: str | None = None  # None: as the card says
    text: str | None = None  # a preparation; None: as the card says, one_line without a card
    min_score: float | Literal["card"] | None = threshold(None)  # card: the threshold that train-classifier chose
    max_score: float | None = threshold(None)

    def adds(self) -> dict[str, pa.DataType]:
        return {"classifier": pa.float32()}

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.min_score is not None:
            limit = card_threshold(self.model) if self.min_score == "card" else self.min_score
            made.append(Rule("classifier.low_score", value=("classifier",), op="<", limit=limit))
        if self.max_score is not None:
            made.append(Rule("classifier.high_score", value=("classifier",), op=">", limit=self.max_score))
        return tuple(made)

    def files(self) -> tuple[Path, ...]:
        card = self.model.with_suffix(".json")
        return (self.model, card) if card.exists() else (self.model,)

    def problems(self) -> tuple[str, ...]:
        self.open()
        return ()

    def open(self) -> "ClassifierWorker":
        return ClassifierWorker(self.model, "classifier", positive=self.positive, text=self.text)


def card_threshold(model: Path) -> float:
    """The threshold in the card of a model; RequestError where there is none."""
    card = model.with_suffix(".json")
    found = read_card(card).get("threshold") if card.exists() else None
    if found is None:
        raise RequestError(
            f"{model}: no card with a threshold lies beside it. Give min_score a number, or train with --keep-share or "
            "--precision."
        )
    return float(found["value"])


class ClassifierWorker:
    """Holds one model; gives the probability of `positive` as the column `name`."""

    def __init__(self, path: Path, name: str, *, positive: str | None = None, text: str | None = None) -> None:
        self.name = name
        self.predictor = Predictor(path)
        card_path = path.with_suffix(".json")
        card = read_card(card_path) if card_path.exists() else {}
        preparation = text or card.get("text", "one_line")
        if preparation not in PREPARATIONS:
            raise RequestError(f"{path}: text is '{preparation}', expected one of {', '.join(PREPARATIONS)}.")
        self.prepare = PREPARATIONS[preparation]
        labels = self.predictor.labels
        positive = positive or card.get("positive", "")
        if positive not in labels:
            raise RequestError(f"{path}: positive is '{positive}', expected a label of the model: {', '.join(labels)}.")
        self.positive = labels.index(positive)
        self.calibration: Mapping[str, Any] | None = (
            card.get("calibration") if preparation == card.get("text") else None
        )
        if self.calibration is not None and positive != card.get("positive"):  # logit(1 - p) = -logit(p)
            self.calibration = {**self.calibration, "offset": -self.calibration["offset"]}

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        return {self.name: self.scores(batch.column("text"))}

    def scores(self, text: Column) -> Column:
        """float32 in [0, 1], where not calibrated up to fastText's 1e-5; null for null and for text without a word."""
        scores, num_words = self.scores_and_words(text)
        return pa.array(scores, mask=num_words == 0)

    def scores_and_words(self, text: Column) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """[rows] the scores, which mean nothing where the number of words is 0, and that number."""
        scores_NL, num_words = self.predictor.scores(self.prepare(text))
        scores = scores_NL[:, self.positive]
        if self.calibration is not None:
            scores = calibrate(scores.astype(np.float64), self.calibration).astype(np.float32)
        return scores, num_words
