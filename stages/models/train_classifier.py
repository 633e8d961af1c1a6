"""Trains a fastText classifier of two labels and writes the model with its card.

A tenth of the examples is held out (see `labelled_examples`), or whole sources where the caller says so. The card holds
sources, licences, settings, ROC-AUC per source and language, what each threshold buys (precision, recall, share kept),
the calibration that the `classifier` stage applies, the threshold that was asked for, and the SHA-256 by which the
model is loaded. Same examples, same settings: same bytes (see train_process). Joulin et al. 2016, Bag of Tricks;
quantised as in Joulin et al. 2016, FastText.zip.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.measure.prepared_text import PREPARATIONS
from corpusmill.stages.models.calibration import calibrate, calibration_of
from corpusmill.stages.models.labelled_examples import Example, count_sources, hash_text
from corpusmill.stages.models.operating_points import (
    describe_threshold,
    evaluate,
    roc_auc,
    threshold_by_kept_share,
    threshold_by_precision,
)
from corpusmill.stages.models.train_process import ENVIRONMENT

MIN_CUTOFF = 257  # product quantisation learns 256 centroids from the rows; one row is the end of the sentence


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """fastText's settings under its names; `cutoff` is the number of rows that the quantised model keeps, None: all.

    `trainer` is fastText's own, or `logistic`, a regularised fit over the same features (see linear_classifier), which
    has `penalty`, `idf_power`, `ratio_power` and `layout_weight` instead of dim, epoch and lr.
    """

    positive: str
    negative: str
    text: str = "words"
    trainer: Literal["fasttext", "logistic"] = "fasttext"
    penalty: float = 1.0
    idf_power: float = 2.0
    ratio_power: float = 0.0
    layout_weight: float = 1.0
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
    calibrated: bool = True
    kept_share: float | None = None  # choose the threshold that keeps this share of the pool
    precision: float | None = None  # or the lowest threshold of this precision
    about: dict[str, Any] = field(default_factory=dict)  # further facts for the card, such as name and licence

    def __post_init__(self) -> None:
        if self.cutoff is not None and self.cutoff < MIN_CUTOFF:
            raise RequestError(
                f"cutoff is {self.cutoff}, expected at least {MIN_CUTOFF}: quantising needs that many rows."
            )
        if self.kept_share is not None and self.precision is not None:
            raise RequestError("kept share and precision are both given: a threshold follows from one of them.")
        if self.text not in PREPARATIONS:
            raise RequestError(f"text is '{self.text}', expected one of {', '.join(PREPARATIONS)}.")
        if self.held_out_one_in < 2:
            raise RequestError(f"held out is one in {self.held_out_one_in}, expected 2 or more.")


DCLM = TrainSettings(
    positive="hq",
    negative="cc",
    text="joined_lines",
    dim=100,
    lr=0.1,
    bucket=2_000_000,
    cutoff=None,
    calibrated=False,
)
"""Li et al. 2024, DataComp-LM, 4.4: word bigrams, fastText's defaults otherwise (dim 100, lr 0.1, 5 epochs), labels
`hq` and `cc`, lines joined by spaces and nothing else changed. The paper keeps the best 10 % of the pool."""


def train_classifier(
    examples: Iterable[Example], out: Path, settings: TrainSettings, pool: Sequence[str] | None = None
) -> dict[str, Any]:
    """Writes the model `out` (.ftz, or .bin without `cutoff`) and its card beside it; returns the card.

    `pool` are the texts that a kept share is a share of; without it the held-out negatives, which is right where they
    are a sample of what will be filtered. Takes a minute per 20 MB of text; all examples are held in memory.
    """
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
        pool_scores = None if pool is None else score_texts(model, pool, settings)
        content = model.read_bytes()
    positive = np.array([e.positive for e in held_out])
    card: dict[str, Any] = {
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
    }
    if settings.calibrated:
        halves = np.array([hash_text(f"half {e.group or e.text}") % 2 == 0 for e in held_out])
        card["calibration"] = calibration_of(positive, scores, halves)
        scores = calibrate(scores, card["calibration"])
        pool_scores = None if pool_scores is None else calibrate(pool_scores, card["calibration"])
    if settings.kept_share is not None:
        pooled = scores[~positive] if pool_scores is None else pool_scores
        value = float(np.float32(threshold_by_kept_share(pooled, settings.kept_share)))  # as the stage stores it
        card["threshold"] = {"by": f"kept share {settings.kept_share}", "num_pool": len(pooled)}
        card["threshold"] |= describe_threshold(value, positive, scores)
    elif settings.precision is not None:
        value = float(np.float32(threshold_by_precision(positive, scores, settings.precision)))
        card["threshold"] = {"by": f"precision {settings.precision}", **describe_threshold(value, positive, scores)}
    card["held_out"] = evaluate(held_out, scores)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    write_card(out, card)
    return card


def leave_one_source_out(examples: Sequence[Example], settings: TrainSettings) -> list[dict[str, Any]]:
    """ROC-AUC of a positive and a negative source under a model that saw neither, for all pairs; the worst last.

    That is what to expect on sources of which nothing was seen: held-out texts of sources that were seen look better.
    A source with both labels is left out alone and counts for both sides. Trains a model per pair.
    """
    positive = sorted({e.source for e in examples if e.positive})
    negative = sorted({e.source for e in examples if not e.positive})
    both = set(positive) & set(negative)
    pairs = [(name, name) for name in sorted(both)]
    pairs += [pair for pair in product(positive, negative) if not both & set(pair)]
    table = []
    for left_out in pairs:
        seen = [e for e in examples if e.source not in left_out]
        unseen = [e for e in examples if e.source in left_out]
        labels = np.array([e.positive for e in unseen])
        if len({e.positive for e in seen}) < 2:
            continue
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model.bin"
            train_model(seen, model, replace(settings, cutoff=None))
            scores = score_texts(model, [e.text for e in unseen], settings)
        auc = round(roc_auc(labels, scores), 4)
        table.append({"positive": left_out[0], "negative": left_out[1], "num_texts": len(unseen), "auc": auc})
    return sorted(table, key=lambda row: -row["auc"])


def score_texts(model: Path, texts: Sequence[str], settings: TrainSettings) -> npt.NDArray[np.float64]:
    """[num_texts] probabilities of the positive label, as the stage gives them; 0 where nothing is left to classify."""
    worker = ClassifierWorker(model, "score", positive=settings.positive, text=settings.text)
    scores = worker.scores(pa.array(texts, type=pa.large_string())).fill_null(0.0)
    return np.asarray(scores.to_numpy(zero_copy_only=False), dtype=np.float64)


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


def _prepared(training: Sequence[Example], settings: TrainSettings) -> list[str]:
    texts = pa.array([e.text for e in training], type=pa.large_string())
    return cast("list[str]", PREPARATIONS[settings.text](texts).to_pylist())


def _labelled_lines(training: Sequence[Example], settings: TrainSettings) -> list[str]:
    """fastText's lines, in the order of a hash of the text: the order of the examples changes nothing."""
    prepared = _prepared(training, settings)
    keyed = []
    for example, line in zip(training, prepared, strict=True):
        labelled = f"__label__{settings.positive if example.positive else settings.negative} {line}\n"
        for time in range(round(example.times) if line else 0):
            key = hashlib.blake2b(f"{settings.seed} {time} {labelled}".encode(), digest_size=8).digest()
            keyed.append((key, labelled))
    return [labelled for _, labelled in sorted(keyed)]


def train_model(training: Sequence[Example], model: Path, settings: TrainSettings) -> None:
    """Writes fastText's file alone, without card, from all of the examples."""
    if settings.trainer == "logistic":
        _train_logistic(training, model, settings)
        return
    lines = _labelled_lines(training, settings)
    names = ("dim", "epoch", "lr", "wordNgrams", "minn", "maxn", "minCount", "bucket", "seed", "cutoff")
    text, chosen = model.with_suffix(".txt"), model.with_suffix(".settings")
    text.write_text("".join(lines), encoding="utf-8")
    chosen.write_text(json.dumps({name: getattr(settings, name) for name in names}), encoding="utf-8")
    command = [sys.executable, "-m", "corpusmill.stages.models.train_process", str(text), str(model), str(chosen)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
    if done.returncode:
        raise CorpusmillError(f"{model.name}: training ended with exit status {done.returncode}: {done.stderr[-2000:]}")


def _train_logistic(training: Sequence[Example], model: Path, settings: TrainSettings) -> None:
    from corpusmill.stages.models.linear_classifier import Features, train_linear

    pairs = zip(_prepared(training, settings), training, strict=True)
    seen = sorted((pair for pair in pairs if pair[0]), key=lambda pair: (pair[1].lang, hash_text(pair[0])))
    features = Features(
        minn=settings.minn,
        maxn=settings.maxn,
        word_ngrams=settings.wordNgrams,
        bucket=settings.bucket,
        cutoff=settings.cutoff or settings.bucket,
        penalty=settings.penalty,
        idf_power=settings.idf_power,
        ratio_power=settings.ratio_power,
        layout_weight=settings.layout_weight,
    )
    train_linear(
        [line for line, _ in seen],
        [example.positive for _, example in seen],
        [float(example.times) for _, example in seen],
        [example.lang for _, example in seen],
        (settings.negative, settings.positive),
        features,
        model,
    )
