"""Trains the quality models that are shipped, English and Chinese, from sources that stand for high and low quality.

    python -m corpusmill.stages.models.train_quality DATA FOLDER [--table]

DATA holds `quality/quality-silver-train.jsonl.zst` (rows of text, label, source, license, lang; the label follows the
source: reference works and articles against the whole visible text of raw pages) and `domains/*.train.jsonl.zst`,
of which law, code, mathematics, dialogue and history are added to the high side, so that the subject does not give the
label away. Texts are cut into windows of equal length. With `--table` the card also holds the table of leaving one
high and one low source out (in Chinese one high source and a quarter of the low sites): each pair is scored by
a model that saw neither, which is what to expect on new sources, beside a baseline of length and share of short lines.
That trains 36 more models. The English fit is logistic (see linear_classifier), the Chinese one fastText's own.
"""

import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from corpusmill.stages.models.labelled_examples import Example, hash_text, read_rows
from corpusmill.stages.models.operating_points import roc_auc
from corpusmill.stages.models.train_classifier import (
    TrainSettings,
    score_texts,
    train_classifier,
    train_model,
    write_card,
)

SETTINGS = {
    "en": TrainSettings(
        positive="high",
        negative="low",
        text="layout",
        trainer="logistic",
        penalty=1.0,
        idf_power=2.0,
        layout_weight=10.0,  # words tell the subject, which fails on new sources; the layout does not
        wordNgrams=2,
        bucket=1_000_000,
        cutoff=100_000,
        calibrated=False,  # the share of high quality in the silver labels says nothing of anyone's corpus
    ),
    "zh": TrainSettings(
        positive="high",
        negative="low",
        text="layout",
        dim=8,
        epoch=5,
        lr=0.3,
        wordNgrams=2,
        bucket=200_000,
        cutoff=60_000,
        calibrated=False,
    ),
}
WINDOW_CHARS = {"en": 2000, "zh": 700}
MAX_WINDOWS = 6  # of one document
ADDED_HIGH = {  # domain → documents
    "en": {"source-code": 250, "math-latex": 250, "law-en": 60, "dialogue-en": 60},
    "zh": {"law-zh": 120, "zh-modern-history": 120, "zh-classical": 60},
}
LICENSE = "CC-BY-SA-4.0"


def main(data: Path, folder: Path, *options: str) -> None:
    for lang in WINDOW_CHARS:
        examples = list(labelled_windows(data, lang))
        about = {
            "what": f"Quality of a text in {lang}: edited prose, documentation and law against raw web pages",
            "license": LICENSE,
            "trained_by": "python -m corpusmill.stages.models.train_quality",
            "warning": "Silver labels: they follow the source. On new sources expect less than held_out says.",
        }
        out = folder / f"quality-{lang}.ftz"
        card = train_classifier(examples, out, replace(SETTINGS[lang], about=about))
        if "--table" in options:
            card["leave_one_source_out"] = leave_one_source_out(examples, SETTINGS[lang], by_site=lang == "zh")
            write_card(out, card)


def labelled_windows(data: Path, lang: str) -> Iterator[Example]:
    for row in read_rows(data / "quality" / "quality-silver-train.jsonl.zst"):
        if row["lang"] == lang:
            source = "serp" if row["source"].startswith("serp") else row["source"]
            group = f"{source}/{urlsplit(row.get('url') or '').hostname or row['id']}"
            for window in windows(row["text"], lang):
                yield Example(window, row["label"] == "high", source, row["license"], lang, group)
    for domain, number in ADDED_HIGH[lang].items():
        rows = sorted(read_rows(data / "domains" / f"{domain}.train.jsonl.zst"), key=lambda row: hash_text(row["id"]))
        for row in rows[:number]:
            for window in list(windows(row["text"], lang))[:2]:
                yield Example(window, True, domain, row["license"], lang, f"{domain}/{row['id']}")


def windows(text: str, lang: str) -> Iterator[str]:
    """At most MAX_WINDOWS pieces of the language's length, spread over the text; a shorter text is one."""
    length = WINDOW_CHARS[lang]
    step = max(length, (len(text) - length) // (MAX_WINDOWS - 1))
    for start in range(0, max(1, min(len(text) - length + 1, step * MAX_WINDOWS)), step):
        yield text[start : start + length]


def leave_one_source_out(
    examples: Sequence[Example], settings: TrainSettings, *, by_site: bool
) -> list[dict[str, Any]]:
    """ROC-AUC of the first windows of a high and a low source under a model that saw neither; the worst last."""
    added = {domain for domains in ADDED_HIGH.values() for domain in domains}
    high = sorted({e.source for e in examples if e.positive} - added)
    low = [f"sites {i} of 4" for i in range(4)] if by_site else sorted({e.source for e in examples if not e.positive})

    def side(example: Example) -> str:
        if example.positive or not by_site:
            return example.source
        return f"sites {hash_text(example.group) % 4} of 4"

    table = []
    for pair in product(high, low):
        seen = [e for e in examples if side(e) not in pair]
        first = list({e.group: e for e in reversed(examples) if side(e) in pair}.values())  # one of a site
        if len({e.positive for e in first}) < 2:
            continue
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model.bin"
            train_model(seen, model, replace(settings, cutoff=None))
            scores = score_texts(model, [e.text for e in first], settings)
        labels = np.array([e.positive for e in first])
        row = {"high": pair[0], "low": pair[1], "num_texts": len(first), "auc": round(roc_auc(labels, scores), 4)}
        table.append(row | {"baseline_auc": round(roc_auc(labels, baseline(seen, first)), 4)})
    return sorted(table, key=lambda row: -row["auc"])


def baseline(seen: Sequence[Example], texts: Sequence[Example]) -> npt.NDArray[np.float64]:
    """Scores by length and share of short lines alone, weighted by least squares over the texts that were seen."""
    weights = np.linalg.lstsq(_plain_facts(seen), np.array([float(e.positive) for e in seen]), rcond=None)[0]
    return np.asarray(_plain_facts(texts) @ weights, dtype=np.float64)


def _plain_facts(examples: Sequence[Example]) -> npt.NDArray[np.float64]:
    """[texts, 3]: 1, the log of the characters, the share of lines under 40 characters."""
    facts = []
    for example in examples:
        lines = [line for line in example.text.split("\n") if line.strip()]
        short = sum(len(line.strip()) < 40 for line in lines) / max(1, len(lines))
        facts.append((1.0, math.log(1 + len(example.text)), short))
    return np.array(facts, dtype=np.float64)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
