"""Scores documents with a Hugging Face sequence classifier by path: a BERT-like encoder with a head, on GPU or CPU.

The folder is what `save_pretrained` wrote: config, tokenizer, and weights as safetensors. Weights in other formats
are refused, since they are pickles, and so is code that comes with a model. The first `max_tokens` of a document are
read. A head of one output gives its value (FineWeb-Edu's 0 to 5); of several, the probability of `label`. Documents are
sorted by length and batched by tokens, bf16 on GPUs. Needs the extra `encoder`. Values depend on the device to about
1e-3 in bf16, so a run states its device in `environment.json`; on the CPU they are float32.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import DamagedFileError, MissingExtraError, RequestError
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold


@dataclass(frozen=True, kw_only=True)
class Encoder(StageSettings):
    """`encoder` is a probability, or the value of a head of one output; null for a text that is empty or blank."""

    name: ClassVar[str] = "encoder"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    extra: ClassVar[str | None] = "encoder"

    model: Path  # the folder
    label: str | None = None  # needed where the head has several outputs
    max_tokens: int = 512
    batch_tokens: int = 16_384
    device: Literal["auto", "cpu", "cuda"] = "auto"
    min_score: float | None = threshold(None)
    max_score: float | None = threshold(None)

    def adds(self) -> dict[str, pa.DataType]:
        return {"encoder": pa.float32()}

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.min_score is not None:
            made.append(Rule("encoder.low_score", value=("encoder",), op="<", limit=self.min_score))
        if self.max_score is not None:
            made.append(Rule("encoder.high_score", value=("encoder",), op=">", limit=self.max_score))
        return tuple(made)

    def files(self) -> tuple[Path, ...]:
        found = sorted(
            path for path in self.model.glob("*") if path.suffix in (".json", ".safetensors", ".txt", ".model")
        )
        return (*found,) if found else (self.model / "config.json",)

    def open(self) -> "EncoderWorker":
        try:
            import torch
            import transformers
        except ModuleNotFoundError as error:
            raise MissingExtraError("the stage encoder", "encoder") from error
        if not any(self.model.glob("*.safetensors")):
            raise DamagedFileError(
                f"{self.model}: no .safetensors is in it. Save the model with save_pretrained; pickled weights are "
                "refused."
            )
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.model, local_files_only=True)
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                self.model, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise DamagedFileError(f"{self.model}: is no model that can be loaded: {error}") from error
        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        model = model.to(device).eval()
        return EncoderWorker(self, tokenizer, model.bfloat16() if device == "cuda" else model, device)


class EncoderWorker:
    """Holds tokenizer and model."""

    def __init__(self, settings: Encoder, tokenizer: Any, model: Any, device: str) -> None:
        self.settings, self.tokenizer, self.model, self.device = settings, tokenizer, model, device
        labels = [str(model.config.id2label[number]) for number in range(model.config.num_labels)]
        self.output = 0
        if len(labels) > 1:
            if settings.label not in labels:
                raise RequestError(
                    f"{settings.model}: label is '{settings.label}', expected one of {', '.join(labels)}."
                )
            self.output = labels.index(settings.label)

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        texts = [text or "" for text in batch.column("text").to_pylist()]
        blank = np.array([not text.strip() for text in texts])
        scores = np.zeros(len(texts), dtype=np.float32)
        known = np.flatnonzero(~blank)
        if len(known):
            # 16 characters a token is more than text has; the rest need not be tokenized
            cut = [texts[row][: 16 * self.settings.max_tokens] for row in known]
            ids = self.tokenizer(cut, truncation=True, max_length=self.settings.max_tokens)["input_ids"]
            scores[known] = self._scores(ids)
        return {"encoder": pa.array(scores, mask=blank)}

    def _scores(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        import torch

        scores = np.empty(len(ids), dtype=np.float32)
        for rows in batches_by_tokens([len(each) for each in ids], self.settings.batch_tokens):
            longest = max(len(ids[row]) for row in rows)
            tokens = np.full((len(rows), longest), self.tokenizer.pad_token_id or 0, dtype=np.int64)
            mask = np.zeros((len(rows), longest), dtype=np.int64)
            for place, row in enumerate(rows):
                tokens[place, : len(ids[row])] = ids[row]
                mask[place, : len(ids[row])] = 1
            with torch.inference_mode():
                given = (torch.from_numpy(each).to(self.device) for each in (tokens, mask))
                logits = self.model(*given).logits.float()
                values = logits if logits.shape[1] == 1 else logits.softmax(dim=1)
            scores[rows] = values[:, self.output].cpu().numpy()
        return scores


def batches_by_tokens(sizes: list[int], batch_tokens: int) -> list[list[int]]:
    """Rows of about one length together, the longest first; each batch padded is at most `batch_tokens`, or one row."""
    batches: list[list[int]] = []
    for row in sorted(range(len(sizes)), key=lambda row: (-sizes[row], row)):
        if batches and (len(batches[-1]) + 1) * sizes[batches[-1][0]] <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
