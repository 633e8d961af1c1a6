"""Several classifiers of one kind, chosen by the language of the document."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import take
from corpusmill.pipeline.document import Column
from corpusmill.pipeline.language_codes import language_code
from corpusmill.stages.measure.classifier import ClassifierWorker


class LanguageClassifiers:
    """Holds a worker per language code, some perhaps the same; that under None is for documents without a language, and
    alone for all."""

    def __init__(self, workers: Mapping[str | None, ClassifierWorker]) -> None:
        self.workers = dict(workers)

    def scores(self, text: Column, lang: "Column | None") -> Column:
        """float32 [rows]; null for text without words, and without a model for its language."""
        scores, num_words = self.scores_and_words(text, lang)
        return pa.array(scores, mask=num_words == 0)

    def scores_and_words(
        self, text: Column, lang: "Column | None"
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """[rows] the scores, which mean nothing where the number of words is 0, and that number: 0 without a model."""
        if len(self.workers) == 1 and None in self.workers:
            return self.workers[None].scores_and_words(text)
        scores, num_words = np.zeros(len(text), dtype=np.float32), np.zeros(len(text), dtype=np.int64)
        codes = [None] * len(text) if lang is None else [language_code(each) for each in lang.to_pylist()]
        workers = list(dict.fromkeys(self.workers.values()))
        number = {code: workers.index(worker) for code, worker in self.workers.items()}
        chosen = np.array([number.get(code, -1) for code in codes])
        for index, worker in enumerate(workers):
            rows = np.flatnonzero(chosen == index)
            if len(rows):
                scores[rows], num_words[rows] = worker.scores_and_words(take(text, rows))
        return scores, num_words


def with_cards(models: tuple[Path, ...]) -> tuple[Path, ...]:
    """The models, and the cards that lie beside them."""
    cards = (model.with_suffix(".json") for model in models)
    return (*models, *(card for card in cards if card.exists()))
