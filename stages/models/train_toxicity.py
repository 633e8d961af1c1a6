"""Trains the toxicity models that are shipped, from labelled comments and clean documents.

    python -m corpusmill.stages.models.train_toxicity DATA FOLDER [toxicity.ftz] [toxicity-de.ftz] [--table]

`toxicity.ftz` is for every language that it was trained on, `toxicity-de.ftz` for German: its comments are few, and a
penalised fit with less weight on templates serves them better (ROC-AUC 0.855 together, 0.883 alone). DATA holds
`toxicity/toxicity-train.jsonl.zst` (rows of text, toxic, source, license, lang, functionality) and clean documents in
`domains/*.train.jsonl.zst` and `multilingual/*.jsonl.zst`. Clean documents are cut into snippets of the lengths that
comments and paragraphs have, so that neither length nor subject gives the label away. Beside the usual card it measures
the share of clean `domains/*` documents flagged, and identity-term bias: the scores of neutral sentences about groups
of people. With `--table` also the table of sources left out, each scored by a model that saw nothing of it (and fewer
clean snippets, for time). The German fit is logistic (see linear_classifier), ten seconds; the other is fastText's own
and takes three minutes on one core.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from corpusmill.stages.measure.toxicity import DEFAULT_MAX_SCORE
from corpusmill.stages.models.labelled_examples import Example, hash_text, read_rows
from corpusmill.stages.models.operating_points import roc_auc
from corpusmill.stages.models.train_classifier import (
    TrainSettings,
    score_texts,
    train_classifier,
    train_model,
    write_card,
)

SETTINGS = TrainSettings(
    positive="toxic",
    negative="clean",
    text="words",
    dim=16,
    epoch=5,
    lr=0.3,
    wordNgrams=2,
    minn=2,
    maxn=5,
    bucket=1_000_000,
    cutoff=120_000,
    calibrated=False,  # families of templates make the held-out part uneven
)
GERMAN = replace(SETTINGS, trainer="logistic", penalty=0.5, ratio_power=0.5, cutoff=150_000)
ABOUT = {
    "license": "CC-BY-SA-4.0",  # the strictest of the rows; CC-BY-SA-3.0 rows may go under 4.0 by its section 4b
    "trained_by": "python -m corpusmill.stages.models.train_toxicity",
    "default_threshold": DEFAULT_MAX_SCORE,
    "warning": "Sources define the label differently: see held_out. In other languages a low score says nothing.",
}
SNIPPET_CHARS = (60, 120, 250, 500, 1000, 3000)
MAX_SNIPPETS = {"toxicity.ftz": 4000, "toxicity-de.ftz": 120}  # of one clean file
TABLE_SNIPPETS = 200
WEIGHTS = {
    "toxicity.ftz": {"germeval2018": 4.0, "beep-korean": 2.0},  # small sources that are alone in their language
    "toxicity-de.ftz": {"multilingual-hatecheck": 0.1},
}
"""Templates filled with many words each: at full weight they take 0.03 off the ROC-AUC of German comments."""
CLEAN_WEIGHTS = {"toxicity.ftz": 1.0, "toxicity-de.ftz": 0.3}

IDENTITY_TERMS = {  # language → neutral templates, and terms in one string
    "en": (
        ("I am {}.", "My neighbour is {} and a teacher.", "The {} community met on Friday."),
        "Black white Asian Jewish Muslim Christian gay lesbian transgender straight female male disabled deaf "
        "immigrant Mexican Chinese old",
    ),
    "zh": (
        ("我是{}。", "我的邻居是{}，也是一位老师。", "{}在星期五举行了聚会。"),
        "黑人 白人 犹太人 穆斯林 基督徒 同性恋者 跨性别者 女人 男人 残疾人 移民 河南人 上海人",
    ),
    "de": (
        ("Mein Nachbar ist {}.", "Am Freitag traf ich dort einen {} und andere Gäste."),
        "Juden Muslim Christen Türken Syrer Deutschen Flüchtling Rentner Franzosen",
    ),
}


def main(data: Path, folder: Path, *options: str) -> None:
    wanted = {*options} - {"--table"}
    for name, settings, languages in (("toxicity-de.ftz", GERMAN, "de"), ("toxicity.ftz", SETTINGS, "")):
        if name not in (wanted or {name}):
            continue
        spoken = "German" if languages else "en, zh, de, ko, ar, fr"
        about = {"what": f"Toxicity of a text: insults, slurs, hate, threats; {spoken}", **ABOUT}
        comments = [each for each in labelled_comments(data, WEIGHTS[name]) if languages in ("", each.lang)]
        examples = [*comments, *clean_snippets(data, MAX_SNIPPETS[name], CLEAN_WEIGHTS[name])]
        card = train_classifier(examples, folder / name, replace(settings, about=about))
        card["clean_documents"] = clean_documents_flagged(data, folder / name)
        card["identity_terms"] = identity_term_bias(folder / name, languages)
        if "--table" in options:
            few = [*comments, *clean_snippets(data, TABLE_SNIPPETS, CLEAN_WEIGHTS[name])]
            card["leave_one_source_out"] = left_out_sources(few, settings)
        write_card(folder / name, card)


def left_out_sources(examples: Sequence[Example], settings: TrainSettings) -> list[dict[str, Any]]:
    """Per labelled source and language: ROC-AUC under a model that saw nothing of the source."""
    table = []
    for source in sorted({e.source for e in examples if e.positive}):
        seen = [e for e in examples if e.source != source]
        if not any(e.positive for e in seen):
            continue
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model.ftz"
            train_model(seen, model, settings)
            for lang in sorted({e.lang for e in examples if e.source == source}):
                left_out = [e for e in examples if (e.source, e.lang) == (source, lang)]
                positive = np.array([e.positive for e in left_out])
                scores = score_texts(model, [e.text for e in left_out], settings)
                row = {"source": source, "lang": lang, "num_texts": len(left_out)}
                table.append(row | {"auc": round(roc_auc(positive, scores), 4)})
    return table


def labelled_comments(data: Path, weights: Mapping[str, float] = MappingProxyType({})) -> Iterator[Example]:
    for row in read_rows(data / "toxicity" / "toxicity-train.jsonl.zst"):
        family = row.get("functionality")
        group = f"{row['source']}/{row['lang']}/{family}" if family else ""
        source = row["source"]
        weight = weights.get(source, 1.0)
        yield Example(row["text"], bool(row["toxic"]), source, row["license"], row["lang"], group, weight)


def clean_snippets(data: Path, max_snippets: int, weight: float = 1.0) -> Iterator[Example]:
    """Snippets of every clean file, chosen and cut by hash; a document's snippets are held out together."""
    files = [*sorted((data / "domains").glob("*.train.jsonl.zst")), *sorted((data / "multilingual").glob("*.zst"))]
    for file in files:
        source = file.name.partition(".")[0]
        cut = [
            Example(snippet, False, source, row["license"], row["lang"], f"{source}/{row['id']}", weight)
            for row in read_rows(file)
            for snippet in snippets(row["text"])
            if snippet.strip()
        ]
        yield from sorted(cut, key=lambda example: hash_text(example.text))[:max_snippets]


def snippets(text: str) -> Iterator[str]:
    """The text in pieces whose lengths follow from a hash of their beginning."""
    start = 0
    while start < len(text):
        length = SNIPPET_CHARS[hash_text(text[start : start + 60]) % len(SNIPPET_CHARS)]
        yield text[start : start + length]
        start += length


def clean_documents_flagged(data: Path, model: Path) -> list[dict[str, Any]]:
    """Per file of domains/: the share of whole documents above the default threshold, and the highest scores.

    Snippets of the `train` files were trained on, those of `val` were not.
    """
    made = []
    for file in sorted((data / "domains").glob("*.jsonl.zst")):
        scores = score_texts(model, [row["text"] for row in read_rows(file)], SETTINGS)
        flagged = int((scores > DEFAULT_MAX_SCORE).sum())
        highest, high = (round(float(np.quantile(scores, share)), 4) for share in (1.0, 0.995))
        row = {"domain": file.name, "num_documents": len(scores), "num_flagged": flagged}
        made.append(row | {"quantile_995": high, "highest": highest})
    return made


def identity_term_bias(model: Path, only: str = "") -> list[dict[str, Any]]:
    """Per language (or `only` one) and term: the mean and highest score of neutral sentences that hold it."""
    made = []
    for lang, (templates, terms) in IDENTITY_TERMS.items():
        if only not in ("", lang):
            continue
        for term in terms.split():
            scores = score_texts(model, [template.format(term) for template in templates], SETTINGS)
            mean, highest = round(float(np.mean(scores)), 4), round(float(scores.max()), 4)
            made.append({"lang": lang, "term": term, "mean": mean, "highest": highest})
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
