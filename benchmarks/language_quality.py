"""Language identification on labelled sentences: F1 per language, ours beside fastText's own with the same model.

    python benchmarks/language_quality.py [--model MODEL.bin] [--output TABLE.md]

Sentences of NTREX (news, 128 languages) and of lingua's set (75 languages) whose language is a label of the model; a
sentence counts once per set. Macro-F1 is the mean over languages. Labels and scores of both programs are compared
sentence by sentence: every difference is counted, a score may differ by 1e-5.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.language_codes import language_code
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.language import Language
from corpusmill.stages.measure.prediction import Predictor
from corpusmill.stages.models.labelled_examples import read_rows
from corpusmill.stages.models.model_file import MODELS, load_model

ISO_639_1 = {  # ISO 639-3 codes of NTREX that lid.176 names by two letters
    "afr": "af", "amh": "am", "aze": "az", "bel": "be", "ben": "bn", "bod": "bo", "bos": "bs", "bul": "bg",
    "cat": "ca", "ces": "cs", "cym": "cy", "dan": "da", "div": "dv", "est": "et", "eus": "eu", "fas": "fa",
    "fin": "fi", "gle": "ga", "glg": "gl", "guj": "gu", "heb": "he", "hrv": "hr", "hun": "hu", "hye": "hy", "isl": "is",
    "kan": "kn", "kat": "ka", "kaz": "kk", "khm": "km", "kir": "ky", "lao": "lo", "lav": "lv", "lit": "lt", "ltz": "lb",
    "mal": "ml", "mar": "mr", "mkd": "mk", "mlg": "mg", "mlt": "mt", "mon": "mn", "msa": "ms", "mya": "my", "nep": "ne",
    "nno": "nn", "nob": "no", "pan": "pa", "prs": "fa", "pus": "ps", "sin": "si", "slk": "sk", "slv": "sl", "snd": "sd",
    "som": "so", "sqi": "sq", "srp": "sr", "swa": "sw", "swe": "sv", "tam": "ta", "tat": "tt", "tel": "te", "tgk": "tg",
    "tuk": "tk", "uig": "ug", "ukr": "uk", "urd": "ur", "uzb": "uz", "yue": "yue", "fil": "tl", "yor": "yo", "nb": "no",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODELS / "lid.176.ftz")
    parser.add_argument("--output", type=Path, help="write the table there as Markdown")
    arguments = parser.parse_args()
    if "CORPUSMILL_DATA" not in os.environ:
        sys.exit("CORPUSMILL_DATA is unset: set it to the folder of the shared data.")
    folder = Path(os.environ["CORPUSMILL_DATA"]) / "lid"
    known = set(Predictor(arguments.model).labels)
    lines = []
    for name, rows in (
        ("NTREX", read_rows(folder / "ntrex-sentences-train.jsonl.zst")),
        ("lingua", read_rows(folder / "lingua-short-texts-train.jsonl.zst")),
    ):
        kept = [
            (label, row["text"])
            for row in rows
            if row.get("kind", "sentence") == "sentence"
            if (label := label_of(row["lang"], known))
        ]
        lines += table(name, kept, arguments.model)
    text = "\n".join(lines) + "\n"
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")
    print(text)


def label_of(code: str, known: set[str]) -> str | None:
    """The model's label of a language code of the sets; None where it has none."""
    primary = code.replace("_", "-").split("-")[0]
    for name in (code, primary, language_code(primary), ISO_639_1.get(primary)):
        if name in known:
            return name
    return None


def table(name: str, rows: list[tuple[str, str]], model: Path) -> list[str]:
    """Lines of Markdown: the sums, and F1 per language."""
    texts = [text.replace("\n", " ") for _, text in rows]
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string())})
    columns = Language(model=model).open().measure(batch, Scratch())
    ours = columns["lang"].to_pylist()
    labels, scores = load_model(model).predict(texts)
    theirs = [found[0].removeprefix("__label__") for found in labels]
    different = sum(a != b for a, b in zip(ours, theirs, strict=True))
    farthest = max(
        abs(float(a) - float(b[0]))
        for a, b in zip(columns["language_score"].to_pylist(), scores, strict=True)
        if a is not None
    )
    truth = [label for label, _ in rows]
    own, other = f1(truth, ours), f1(truth, theirs)
    means = [float(np.mean(list(found.values()))) for found in (own, other)]
    return [
        f"\n## {name}: {len(own)} languages, {len(rows):,} sentences",
        "",
        f"macro-F1 {means[0]:.4f}, fastText {means[1]:.4f}; labels that differ: {different}; largest difference of "
        f"scores: {farthest:.1e}",
        "",
        "| language | sentences | F1 | fastText |",
        "|---|---|---|---|",
        *(f"| {lang} | {truth.count(lang)} | {own[lang]:.4f} | {other[lang]:.4f} |" for lang in sorted(own)),
    ]


def f1(truth: list[str], found: list[str | None]) -> dict[str, float]:
    """Per language of the truth: 2 * right / (labelled + found)."""
    labelled, right = Counter(truth), Counter(a for a, b in zip(truth, found, strict=True) if a == b)
    guessed = Counter(each for each in found if each is not None)
    return {lang: 2 * right[lang] / (labelled[lang] + guessed[lang]) for lang in labelled}


if __name__ == "__main__":
    main()
