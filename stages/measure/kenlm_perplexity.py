"""Perplexity of a document under a KenLM n-gram model by path, as CCNet takes it (Wenzek et al. 2020, section 3.3).

A low perplexity means text like that which the model was trained from. The text is cut into lines; the score of each
line that is not blank is KenLM's log10 probability with begin and end of sentence; perplexity is
10^(-sum of scores / sum of (words + 1)). Models that were trained on pieces of a sentencepiece model, CCNet's own among
them, name it in `tokenizer`; otherwise words are what stands between blanks, after lower-casing where `lowercase` is
true. Give the text the preparation that the model was trained with: numbers under another one mean nothing. Python,
line by line: about 1 MB/s. Needs the extra `kenlm`; a model is data, no pickle.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import DamagedFileError, MissingExtraError
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold


@dataclass(frozen=True, kw_only=True)
class KenlmPerplexity(StageSettings):
    """`kenlm_perplexity`; null for a text without words."""

    name: ClassVar[str] = "kenlm_perplexity"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("kenlm",)
    extra: ClassVar[str | None] = "kenlm"

    model: Path  # .bin or .arpa of KenLM
    tokenizer: Path | None = None  # a sentencepiece model
    lowercase: bool = False
    max_perplexity: float | None = threshold(None)
    min_perplexity: float | None = threshold(None)  # repeated boilerplate is very predictable

    def adds(self) -> dict[str, pa.DataType]:
        return {self.name: pa.float32()}

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.max_perplexity is not None:
            made.append(Rule(f"{self.name}.too_high", value=(self.name,), op=">", limit=self.max_perplexity))
        if self.min_perplexity is not None:
            made.append(Rule(f"{self.name}.too_low", value=(self.name,), op="<", limit=self.min_perplexity))
        return tuple(made)

    def files(self) -> tuple[Path, ...]:
        return (self.model,) if self.tokenizer is None else (self.model, self.tokenizer)

    def open(self) -> "KenlmWorker":
        try:
            import kenlm
        except ModuleNotFoundError as error:
            raise MissingExtraError("the stage kenlm_perplexity", "kenlm") from error
        try:
            model = kenlm.Model(str(self.model))
        except OSError as error:
            raise DamagedFileError(f"{self.model}: KenLM cannot read it: {error}. Fetch or train it again.") from error
        return KenlmWorker(model, _pieces(self.tokenizer), self.lowercase)


class KenlmWorker:
    """Holds the model, and what cuts lines into its words."""

    def __init__(self, model: Any, processor: Any, lowercase: bool) -> None:
        self.model, self.processor, self.lowercase = model, processor, lowercase

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        values = [self._perplexity(text or "") for text in batch.column("text").to_pylist()]
        found = np.array(values, dtype=np.float32)
        return {KenlmPerplexity.name: pa.array(found, mask=np.isnan(found))}

    def _perplexity(self, text: str) -> float:
        score, length = 0.0, 0
        for line in (text.lower() if self.lowercase else text).split("\n"):
            words = self.processor.EncodeAsPieces(line) if self.processor is not None else line.split()
            if words:
                score += self.model.score(" ".join(words))
                length += len(words) + 1
        return float(10 ** min(-score / length, 38.0)) if length else float("nan")


def _pieces(tokenizer: Path | None) -> Any:
    if tokenizer is None:
        return None
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
