"""Trains a fastText classifier of two labels and writes the model with its card.

The held-out tenth is chosen by hash of the group (a template family, a site), or of the text where there is none, so
equal texts and whole families lie on one side. The card holds sources, licences, settings, ROC-AUC per source and
language, what each threshold buys (precision, recall, share kept), and the SHA-256 by which the model is
loaded. Same examples, same settings: same bytes (see train_process). Joulin et al. 2016, Bag of Tricks; quantised as
in Joulin et al. 2016, FastText.zip.
"""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.measure.prepared_text import PREPARATIONS
from corpusmill.stages.models.train_process import ENVIRONMENT

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
MIN_CUTOFF = 257  # product quantisation learns 256 centroids from the rows; one row is the end of the sentence


@dataclass(frozen=True)
class Example:
    """One labelled text. `group` keeps together what must not be split; empty is the text itself. `times` is how
    often an epoch sees it, for sources that are small."""

    text: str
    positive: bool
    source: str
    license: str
    lang: str = ""
    group: str = ""
    times: int = 1

    def held_out(self, one_in: int) -> bool:
        digest = hashlib.blake2b((self.group or self.text).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % one_in == 0


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """fastText's settings under its names; `cutoff` is the number of rows that the quantised model keeps, None: all."""

    positive: str
    negative: str
    text: str = "words"
    dim: int = 16
    epoch: int = 5
    lr: float = 0.3
    wordNgrams: int = 2
    minn: int = 0
    maxn: int = 0
    minCount: int = 1
    bucket: int = 200_000
    seed: int = 1
    cutoff: int | None = 50_000
    held_out_one_in: int = 10
    about: dict[str, Any] = field(default_factory=dict)  # further facts for the card, such as name and licence

    def __post_init__(self) -> None:
        if self.cutoff is not None and self.cutoff < MIN_CUTOFF:
            raise RequestError(
                f"cutoff is {self.cutoff}, expected at least {MIN_CUTOFF}: quantising needs that many rows."
            )


DCLM = TrainSettings(
    positive="hq", negative="cc", text="one_line", dim=100, lr=0.1, bucket=2_000_000, cutoff=None
)  # Li et al. 2024, DataComp-LM, section 4.4: word bigrams, fastText's defaults otherwise; lines joined by spaces


def train_classifier(examples: Iterable[Example], out: Path, settings: TrainSettings) -> dict[str, Any]:
    """Writes the model `out` (.ftz) and its card beside it; returns the card. Takes a minute per 20 MB of text."""
    everything = list(examples)
    held_out = [e for e in everything if e.held_out(settings.held_out_one_in)]
    training = [e for e in everything if not e.held_out(settings.held_out_one_in)]
    for name, side in (("training", training), ("held-out", held_out)):
        if len({e.positive for e in side}) < 2:
            raise RequestError(
                f"{out.name}: the {name} part of {len(side)} examples has one label only. Give more of both."
            )
    with tempfile.TemporaryDirectory() as folder:  # a card of an older model beside `out` would refuse the new one
        model = Path(folder) / out.name
        train_model(training, model, settings)
        scores = score_texts(model, [e.text for e in held_out], settings)
        content = model.read_bytes()
    card = {
        "name": out.name,
        **settings.about,
        "sha256": hashlib.sha256(content).hexdigest(),
        "num_bytes": len(content),
        "text": settings.text,
        "positive": settings.positive,
        "settings": {k: v for k, v in asdict(settings).items() if k != "about"},
        "sources": count_sources(everything),
        "num_training": len(training),
        "num_held_out": len(held_out),
        "held_out": evaluate(held_out, scores),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    write_card(out, card)
    return card


def read_examples(paths: Iterable[Path], *, positive: bool) -> Iterator[Example]:
    """Rows of JSONL files (plain, .gz or .zst) with `text`, and where they have them `source` (else the file's name),
    `license`, `lang` and `group`. RequestError names the file and line of a row without text."""
    for path in paths:
        with path.open("rb") as raw, _decompressed(raw, path.suffix) as lines:
            for number, line in enumerate(lines.read().split(b"\n"), start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                    raise RequestError(f"{path}:{number}: field 'text' is no string. Give rows with a text each.")
                license_, lang, group = (str(row.get(name) or "") for name in ("license", "lang", "group"))
                yield Example(row["text"], positive, str(row.get("source") or path.name), license_, lang, group)


def _decompressed(raw: BinaryIO, suffix: str) -> BinaryIO:
    if suffix == ".zst":
        import zstandard

        return cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(raw))
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if suffix == ".gz" else raw


def write_card(model: Path, card: dict[str, Any]) -> None:
    """Beside the model: a line per fact, and per entry of its lists."""
    lines = []
    for key, value in card.items():
        written = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            entries = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in value)
            written = f"[\n{entries}\n  ]"
        lines.append(f"  {json.dumps(key)}: {written}")
    model.with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def score_texts(model: Path, texts: Sequence[str], settings: TrainSettings) -> npt.NDArray[np.float64]:
    """[num_texts] probabilities of the positive label; 0 where nothing is left to classify."""
    worker = ClassifierWorker(model, "score", positive=settings.positive, text=settings.text)
    scores = worker.scores(pa.array(texts, type=pa.large_string())).fill_null(0.0)
    return np.asarray(scores.to_numpy(zero_copy_only=False), dtype=np.float64)


def evaluate(examples: Sequence[Example], scores: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """Over all, per source, and per language of sources that have several: ROC-AUC, and what each threshold buys."""
    slices: dict[tuple[str, str], list[int]] = {}
    labelled = {e.source for e in examples if e.positive}
    for i, example in enumerate(examples):
        slices.setdefault((example.source, example.lang if example.source in labelled else ""), []).append(i)
    made = []
    for (source, lang), rows in [(("all", ""), list(range(len(examples)))), *sorted(slices.items())]:
        positive = np.array([examples[i].positive for i in rows], dtype=bool)
        made.append({"source": source, "lang": lang, **evaluate_slice(positive, scores[rows])})
    return made


def evaluate_slice(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> dict[str, Any]:
    """ROC-AUC (null with one label) and, per threshold, the share of positives and negatives above, and precision."""
    above = {t: scores > t for t in THRESHOLDS}
    return {
        "num_positive": int(positive.sum()),
        "num_negative": int((~positive).sum()),
        "auc": None if positive.all() or not positive.any() else round(roc_auc(positive, scores), 4),
        "thresholds": list(above),
        "recall": [_share(hit[positive]) for hit in above.values()],
        "false_positive_rate": [_share(hit[~positive]) for hit in above.values()],
        "precision": [_share(positive[hit]) for hit in above.values()],
    }


def roc_auc(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """The probability that a positive scores above a negative, ties counted half (Mann-Whitney)."""
    from scipy.stats import rankdata

    num_positive = int(positive.sum())
    above = float(rankdata(scores)[positive].sum()) - num_positive * (num_positive + 1) / 2
    return above / (num_positive * (len(positive) - num_positive))


def count_sources(examples: Iterable[Example]) -> list[dict[str, Any]]:
    counted = Counter((e.source, e.lang, e.license, e.positive) for e in examples)
    return [
        {"source": source, "lang": lang, "license": license_, "positive": positive, "num_examples": number}
        for (source, lang, license_, positive), number in sorted(counted.items())
    ]


def _share(hits: npt.NDArray[np.bool_]) -> float | None:
    return round(float(hits.mean()), 4) if len(hits) else None


def _labelled_lines(training: Sequence[Example], settings: TrainSettings) -> list[str]:
    """fastText's lines, in the order of a hash of the text: the order of the examples changes nothing."""
    prepared = PREPARATIONS[settings.text](pa.array([e.text for e in training], type=pa.large_string())).to_pylist()
    keyed = []
    for example, line in zip(training, prepared, strict=True):
        labelled = f"__label__{settings.positive if example.positive else settings.negative} {line}\n"
        for time in range(example.times if line else 0):
            key = hashlib.blake2b(f"{settings.seed} {time} {labelled}".encode(), digest_size=8).digest()
            keyed.append((key, labelled))
    return [labelled for _, labelled in sorted(keyed)]


def train_model(training: Sequence[Example], model: Path, settings: TrainSettings) -> None:
    """Writes fastText's file alone, without card, from all of the examples."""
    lines = _labelled_lines(training, settings)
    names = ("dim", "epoch", "lr", "wordNgrams", "minn", "maxn", "minCount", "bucket", "seed", "cutoff")
    text, chosen = model.with_suffix(".txt"), model.with_suffix(".settings")
    text.write_text("".join(lines), encoding="utf-8")
    chosen.write_text(json.dumps({name: getattr(settings, name) for name in names}), encoding="utf-8")
    command = [sys.executable, "-m", "corpusmill.stages.models.train_process", str(text), str(model), str(chosen)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
    if done.returncode:
        raise CorpusmillError(f"{model.name}: training ended with exit status {done.returncode}: {done.stderr[-2000:]}")
