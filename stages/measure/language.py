"""Measures the language of a document with a fastText model, and drops what was not asked for.

The default is fastText's lid.176.ftz (Joulin et al. 2016, Bag of Tricks): 176 languages, shipped with its card. Any
other fastText model (GlotLID, a trained one) is taken by path. As fastText's documentation says, the text is given as
one line: line feeds count as spaces. Label and score are those of fastText (score to 1e-5; it may exceed 1, since
its softmax adds 1e-5 inside the logarithm), computed over the Arrow buffer by our own kernels.

Two checks stand beside the label. Of the text's letters, how many belong to a script in which the language is
written: a page of Thai that is called English has none. And, with `paragraphs`, how much of the text lies in paragraphs
of another language: a label of their own counts from `min_paragraph_letters` letters on and at a score of
`min_paragraph_score`, since on a few words every model guesses.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import take
from corpusmill.pipeline.document import Batch, Column, text_buffers
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.settings import nearest
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.pieces import LABELLED, cut_pieces
from corpusmill.stages.measure.prediction import Predictor
from corpusmill.stages.measure.writing_systems import scripts_of
from corpusmill.stages.models.fasttext_model import read_model
from corpusmill.stages.models.model_file import MODELS, check_model


@dataclass(frozen=True, kw_only=True)
class Language(StageSettings):
    """`lang` replaces what the record said; it and its score are null for a text that is empty or blank.

    `language_num_script_letters` of `language_num_letters` belong to the language's scripts. With `paragraphs`,
    `language_paragraphs` are those with a label of their own, and `language_num_other_letters` of
    `language_num_paragraph_letters` stand in those of another language than the document's.
    """

    name: ClassVar[str] = "language"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba",)

    keep: tuple[str, ...] = threshold(())  # labels of the model, such as en or zh; empty keeps every language
    min_score: float | None = threshold(None)
    min_script_share: float | None = threshold(None)  # of the letters, such as 0.5
    max_other_share: float | None = threshold(None)  # of the letters in labelled paragraphs; needs `paragraphs`
    paragraphs: bool = False
    min_paragraph_score: float = 0.5
    min_paragraph_letters: int = 30  # a letter of a script without spaces counts as three
    model: Path | None = None  # None: lid.176.ftz, which is shipped

    def __post_init__(self) -> None:
        if self.max_other_share is not None and not self.paragraphs:
            raise RequestError("language.max_other_share is set, paragraphs is not. Set paragraphs: true.")

    def adds(self) -> dict[str, pa.DataType]:
        added: dict[str, pa.DataType] = {
            "lang": pa.string(),
            "language_score": pa.float32(),
            "language_num_letters": pa.int32(),
            "language_num_script_letters": pa.int32(),
        }
        if self.paragraphs:
            added |= {
                "language_paragraphs": LABELLED,
                "language_num_paragraph_letters": pa.int32(),
                "language_num_other_letters": pa.int32(),
            }
        return added

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.keep:
            made.append(Rule("language.unwanted_language", value=("lang",), op="not in", limit=self.keep))
        if self.min_score is not None:
            made.append(Rule("language.low_score", value=("language_score",), op="<", limit=self.min_score))
        if self.min_script_share is not None:
            share = ("language_num_script_letters", "language_num_letters")
            made.append(Rule("language.foreign_script", value=share, op="<", limit=self.min_script_share))
        if self.max_other_share is not None:
            share = ("language_num_other_letters", "language_num_paragraph_letters")
            made.append(Rule("language.mixed_languages", value=share, op=">", limit=self.max_other_share))
        return tuple(made)

    def files(self) -> tuple[Path, ...]:
        return (self.model or MODELS / "lid.176.ftz",)

    def problems(self) -> tuple[str, ...]:
        (path,) = self.files()
        check_model(path)
        labels = read_model(path).labels if self.keep else ()  # a large model takes seconds to read
        return tuple(
            f"keep: '{label}' is no label of {path.name}; {nearest(label, labels)}"
            for label in self.keep
            if label not in labels
        )

    def open(self) -> "LanguageWorker":
        return LanguageWorker(Predictor(self.files()[0]), self)


class LanguageWorker:
    """Holds the model, and which scripts each of its labels is written in."""

    def __init__(self, predictor: Predictor, settings: Language) -> None:
        from corpusmill.stages.kernels.scripts import COLUMNS, SCRIPTS

        self.predictor, self.settings = predictor, settings
        self.labels = pa.array(predictor.labels, pa.string())
        self.written = np.zeros((len(predictor.labels), len(SCRIPTS) + 2), dtype=bool)
        for row, label in enumerate(predictor.labels):
            self.written[row, [COLUMNS[script] for script in scripts_of(label) if script in COLUMNS]] = True

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        text = batch.column("text")
        best, scores, undefined = self._labels(text)
        letters = _letters(text)
        in_script = np.where(self.written[best], letters, 0).sum(axis=1)
        measured = {
            "lang": take(self.labels, np.where(undefined, -1, best)),
            "language_score": pa.array(scores, mask=undefined),
            "language_num_letters": pa.array(letters[:, 1:].sum(axis=1, dtype=np.int32)),
            "language_num_script_letters": pa.array(in_script.astype(np.int32), mask=undefined),
        }
        if self.settings.paragraphs:
            measured |= self._paragraphs(text, np.where(undefined, -1, best))
        return measured

    def _labels(self, text: Column) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """[rows] the best label's number, its score, and whether neither means anything."""
        scores_NL, num_tokens = self.predictor.scores(text, only_best=True)
        blank = cast("Column", pc.utf8_is_space(text)).fill_null(True)
        undefined = (num_tokens == 0) | blank.to_numpy(zero_copy_only=False)
        return scores_NL.argmax(axis=1), scores_NL.max(axis=1), undefined

    def _paragraphs(self, text: Column, document_best: npt.NDArray[np.int64]) -> dict[str, Column]:
        pieces = cut_pieces(text)
        best, scores, undefined = self._labels(pieces.text)
        letters = _letters(pieces.text)[:, 1:]
        num_letters = letters.sum(axis=1)
        enough = num_letters + 2 * letters[:, _unspaced()].sum(axis=1) >= self.settings.min_paragraph_letters
        chosen = np.flatnonzero(enough & ~undefined & (scores >= self.settings.min_paragraph_score))
        document, weight = pieces.document[chosen], num_letters[chosen]
        other = weight * (best[chosen] != document_best[document])
        counts = [np.bincount(document, each, len(text)).astype(np.int32) for each in (weight, other)]
        labels, kept = take(self.labels, best[chosen]), pa.array(scores[chosen])
        return {
            "language_paragraphs": pieces.lists(LABELLED, chosen, labels, kept),
            "language_num_paragraph_letters": pa.array(counts[0]),
            "language_num_other_letters": pa.array(counts[1]),
        }


def _letters(text: Column) -> npt.NDArray[np.int32]:
    from corpusmill.stages.kernels.scripts import letters_by_script

    return letters_by_script(*text_buffers(text))


def _unspaced() -> list[int]:
    """Columns, without that of shared letters, of scripts that write no spaces."""
    from corpusmill.stages.kernels.scripts import COLUMNS

    return [COLUMNS[script] - 1 for script in ("Hani", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt")]
