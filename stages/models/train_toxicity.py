"""Trains the toxicity model that is shipped, from labelled comments and clean documents.

    python -m corpusmill.stages.models.train_toxicity DATA OUT.ftz

DATA holds `toxicity/toxicity-train.jsonl.zst` (rows of text, toxic, source, license, lang, functionality) and clean
documents in `domains/*.train.jsonl.zst` and `multilingual/*.jsonl.zst`. Clean documents are cut into snippets of the
lengths that comments and paragraphs have, so that neither length nor subject gives the label away. Beside the usual
card it measures the share of clean `domains/*.val` documents flagged, and identity-term bias: the
scores of neutral sentences about groups of people. Takes three minutes on one core.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.stages.measure.toxicity import DEFAULT_MAX_SCORE
from corpusmill.stages.models.labelled_examples import Example, hash_text, read_rows
from corpusmill.stages.models.train_classifier import TrainSettings, score_texts, train_classifier, write_card

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
    about={
        "what": "Toxicity of a text: insults, slurs, hate, threats; en, zh, de, ko, ar, fr",
        "license": "CC-BY-SA-4.0",  # the strictest of the rows; CC-BY-SA-3.0 rows may go under 4.0 by its section 4b
        "trained_by": "python -m corpusmill.stages.models.train_toxicity",
        "default_threshold": DEFAULT_MAX_SCORE,
        "warning": "Sources define the label differently: see held_out. In other languages a low score says nothing.",
    },
)
SNIPPET_CHARS = (60, 120, 250, 500, 1000, 3000)
MAX_SNIPPETS = 4000  # of one clean file
TIMES = {"germeval2018": 4, "beep-korean": 2}  # small sources that are alone in their language

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


def main(data: Path, out: Path) -> None:
    examples = [*labelled_comments(data), *clean_snippets(data)]
    card = train_classifier(examples, out, SETTINGS)
    card["clean_documents"] = clean_documents_flagged(data, out)
    card["identity_terms"] = identity_term_bias(out)
    write_card(out, card)


def labelled_comments(data: Path) -> Iterator[Example]:
    for row in read_rows(data / "toxicity" / "toxicity-train.jsonl.zst"):
        family = row.get("functionality")
        group = f"{row['source']}/{row['lang']}/{family}" if family else ""
        source = row["source"]
        times = TIMES.get(source, 1)
        yield Example(row["text"], bool(row["toxic"]), source, row["license"], row["lang"], group, times)


def clean_snippets(data: Path) -> Iterator[Example]:
    """Snippets of every clean file, chosen and cut by hash; a document's snippets are held out together."""
    files = [*sorted((data / "domains").glob("*.train.jsonl.zst")), *sorted((data / "multilingual").glob("*.zst"))]
    for file in files:
        source = file.name.partition(".")[0]
        cut = [
            Example(snippet, False, source, row["license"], row["lang"], f"{source}/{row['id']}")
            for row in read_rows(file)
            for snippet in snippets(row["text"])
            if snippet.strip()
        ]
        yield from sorted(cut, key=lambda example: hash_text(example.text))[:MAX_SNIPPETS]


def snippets(text: str) -> Iterator[str]:
    """The text in pieces whose lengths follow from a hash of their beginning."""
    start = 0
    while start < len(text):
        length = SNIPPET_CHARS[hash_text(text[start : start + 60]) % len(SNIPPET_CHARS)]
        yield text[start : start + length]
        start += length


def clean_documents_flagged(data: Path, model: Path) -> list[dict[str, Any]]:
    """Per domain, the share of whole validation documents above the default threshold."""
    made = []
    for file in sorted((data / "domains").glob("*.val.jsonl.zst")):
        scores = score_texts(model, [row["text"] for row in read_rows(file)], SETTINGS)
        flagged = int((scores > DEFAULT_MAX_SCORE).sum())
        highest = round(float(scores.max()), 4)
        made.append({"domain": file.name, "num_documents": len(scores), "num_flagged": flagged, "highest": highest})
    return made


def identity_term_bias(model: Path) -> list[dict[str, Any]]:
    """Per language and term: the mean and highest score of neutral sentences that hold it."""
    made = []
    for lang, (templates, terms) in IDENTITY_TERMS.items():
        for term in terms.split():
            scores = score_texts(model, [template.format(term) for template in templates], SETTINGS)
            mean, highest = round(float(np.mean(scores)), 4), round(float(scores.max()), 4)
            made.append({"lang": lang, "term": term, "mean": mean, "highest": highest})
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
