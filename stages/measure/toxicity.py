"""Measures how toxic a text is (insults, slurs, hate, threats) with a small fastText model that is shipped.

Trained by `python -m corpusmill.stages.models.train_toxicity` from openly licensed comments in English, Chinese,
German, Korean, Arabic and French and from clean prose, law, classics, code and technical text. Documents whose `lang`
is German get a model of their own, and those in any other language none: it would have dropped more than half of clean
news in Telugu, Burmese or Khmer. Documents without a `lang` get the first. The cards `stages/models/toxicity.json`
and `toxicity-de.json` give sources, licences, ROC-AUC per set and for sources left out, what each threshold buys, and
how far terms for groups of people raise the score. A score is the whole document's: a single insult in a long text
disappears in it, which is what `paragraphs` and `sentences` are for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.columns import take
from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.by_language import LanguageClassifiers, with_cards
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.measure.pieces import SCORED, Unit, cut_pieces
from corpusmill.stages.models.model_file import MODELS

SHIPPED: dict[str | None, Path] = {
    **dict.fromkeys((None, "en", "zh", "ko", "ar", "fr"), MODELS / "toxicity.ftz"),
    "de": MODELS / "toxicity-de.ftz",
}
OFF = (("ko", None),)
"""Korean comments taught it words of news: 15 of 30 passages of NTREX are above 0.5, 7 above 0.97."""

DEFAULT_MAX_SCORE = 0.5
"""At most 0.5 % of the clean documents of every tried domain lie above; the card gives precision and recall."""


@dataclass(frozen=True, kw_only=True)
class Toxicity(StageSettings):
    """`toxicity` is a probability in [0, 1], null for a text without words or in a language without a model. The rules
    are off for Korean unless `per_language` gives a limit, or `model` is one of yours. With `paragraphs` it adds
    `toxicity_paragraphs`, their bytes in the text and scores, and `toxicity_max_paragraph`, the highest of them; with
    `sentences` the same of sentences."""

    name: ClassVar[str] = "toxicity"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba", "pyarrow")

    max_score: float | None = threshold(DEFAULT_MAX_SCORE)  # None: measured, nothing dropped
    max_paragraph_score: float | None = threshold(None)  # needs `paragraphs`
    max_sentence_score: float | None = threshold(None)  # needs `sentences`
    paragraphs: bool = False
    sentences: bool = False
    model: Path | None = None  # None: the shipped ones, by `lang`

    def __post_init__(self) -> None:
        for unit, wanted in (("paragraph", self.paragraphs), ("sentence", self.sentences)):
            if getattr(self, f"max_{unit}_score") is not None and not wanted:
                raise RequestError(f"toxicity.max_{unit}_score is set, {unit}s is not. Set {unit}s: true.")

    def units(self) -> tuple[Unit, ...]:
        """What is scored beside whole documents."""
        wanted: tuple[tuple[Unit, bool], ...] = (("paragraph", self.paragraphs), ("sentence", self.sentences))
        return tuple(unit for unit, wanted_too in wanted if wanted_too)

    def adds(self) -> dict[str, pa.DataType]:
        added: dict[str, pa.DataType] = {"toxicity": pa.float32()}
        for unit in self.units():
            added |= {f"toxicity_{unit}s": SCORED, f"toxicity_max_{unit}": pa.float32()}
        return added

    def rules(self) -> tuple[Rule, ...]:
        off = OFF if self.model is None else ()
        limits = [("toxic", "toxicity", self.max_score)]
        limits += [("toxic_paragraph", "toxicity_max_paragraph", self.max_paragraph_score)]
        limits += [("toxic_sentence", "toxicity_max_sentence", self.max_sentence_score)]
        return tuple(
            Rule(f"toxicity.{name}", value=(column,), op=">", limit=limit, by_language=off)
            for name, column, limit in limits
            if limit is not None
        )

    def files(self) -> tuple[Path, ...]:
        return with_cards(shipped_models() if self.model is None else (self.model,))

    def problems(self) -> tuple[str, ...]:
        self.open()
        return ()

    def open(self) -> "ToxicityWorker":
        return ToxicityWorker(toxicity_classifiers(self.model), self.units())


def toxicity_classifiers(model: Path | None) -> LanguageClassifiers:
    """The shipped models, or one of the user's for all languages."""
    if model is not None:
        return LanguageClassifiers({None: ClassifierWorker(model, "toxicity")})
    opened = {path: ClassifierWorker(path, "toxicity") for path in shipped_models()}
    return LanguageClassifiers({lang: opened[path] for lang, path in SHIPPED.items()})


def shipped_models() -> tuple[Path, ...]:
    return tuple(dict.fromkeys(SHIPPED.values()))


class ToxicityWorker:
    """Holds the models."""

    def __init__(self, classifiers: LanguageClassifiers, units: tuple[Unit, ...]) -> None:
        self.classifiers, self.units = classifiers, units

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        text = batch.column("text")
        lang = batch.column("lang") if "lang" in batch.schema.names else None
        measured = {"toxicity": self.classifiers.scores(text, lang)}
        for unit in self.units:
            pieces = cut_pieces(text, unit)
            scores = self.classifiers.scores(pieces.text, None if lang is None else take(lang, pieces.document))
            lists, highest = pieces.scored(scores)
            measured |= {f"toxicity_{unit}s": lists, f"toxicity_max_{unit}": highest}
        return measured
