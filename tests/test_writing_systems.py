"""Which scripts a language is written in: against real text in 100 languages."""

import json
import os
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.scripts import COLUMNS, letters_by_script
from corpusmill.stages.measure.writing_systems import SCRIPTS_OF, scripts_of
from corpusmill.stages.models.fasttext_model import read_model
from corpusmill.stages.models.model_file import MODELS

DATA = Path(os.environ.get("CORPUSMILL_DATA", ""))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("de", {"Latn"}),
        ("ja", {"Hani", "Hira", "Kana"}),
        ("eng_Latn", {"Latn"}),
        ("zh-Hant", {"Hani"}),
        ("srp_Cyrl", {"Cyrl"}),
        ("jpn_Jpan", {"Hani", "Hira", "Kana"}),
        ("sr", {"Cyrl", "Latn"}),
        ("pt-BR", {"Latn"}),
        ("unknown", {"Latn"}),
    ],
)
def test_labels(label: str, expected: set[str]) -> None:
    assert scripts_of(label) == expected


def test_every_script_has_a_column() -> None:
    assert set().union(*SCRIPTS_OF.values()) <= set(COLUMNS)


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is unset")
def test_letters_of_real_text_belong_to_the_languages_scripts() -> None:
    """Sentences in 74 languages; the few letters in other scripts are names."""
    content = (DATA / "lid" / "lingua-short-texts-train.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(BytesIO(content)).read().split(b"\n")
    texts: dict[str, list[str]] = {}
    for row in (json.loads(line) for line in lines if line):
        if row["kind"] == "sentence":
            texts.setdefault(row["lang"], []).append(row["text"])
    known = [lang for lang in sorted(texts) if lang in read_model(MODELS / "lid.176.ftz").labels]
    assert len(known) >= 65
    counts = letters_by_script(*text_buffers(pa.array([" ".join(texts[lang]) for lang in known], pa.large_string())))
    for lang, row in zip(known, counts, strict=True):
        inside = sum(row[COLUMNS[script]] for script in scripts_of(lang))
        assert inside >= 0.9 * row[1:].sum(), (lang, scripts_of(lang))
