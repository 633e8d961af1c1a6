"""Measures the language of a document with a fastText model, and drops what was not asked for.

The default is fastText's lid.176.ftz (Joulin et al. 2016, Bag of Tricks): 176 languages, shipped with its card. Any
other fastText model (GlotLID, a trained one) is taken by path. As fastText's documentation says, the text is given as
one line: line feeds count as spaces. Label and score are those of fastText (score to 1e-5; it may exceed 1, since
its softmax adds 1e-5 inside the logarithm), computed over the Arrow buffer by our own kernels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.prediction import Predictor
from corpusmill.stages.models.model_file import MODELS


@dataclass(frozen=True, kw_only=True)
class Language(StageSettings):
    """`lang` replaces what the record said; both columns are null for a text that is empty or blank."""

    name: ClassVar[str] = "language"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba",)

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
        return LanguageWorker(Predictor(self.files()[0]))


class LanguageWorker:
    """Holds the model."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.labels = pa.array(predictor.labels, pa.string())

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        text = batch.column("text")
        scores_NL, num_tokens = self.predictor.scores(text, only_best=True)
        blank = cast("Column", pc.utf8_is_space(text)).fill_null(True)
        undefined = (num_tokens == 0) | blank.to_numpy(zero_copy_only=False)
        best = pa.array(scores_NL.argmax(axis=1), mask=undefined)
        return {"lang": self.labels.take(best), "language_score": pa.array(scores_NL.max(axis=1), mask=undefined)}
