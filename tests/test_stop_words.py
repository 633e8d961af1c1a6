"""Stop words: names of languages, and the lists against running text in their languages."""

import json
import os
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.pipeline.language_codes import language_code
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.stop_words import STOP_WORDS


@pytest.mark.parametrize(
    ("lang", "code"),
    [("en", "en"), ("EN-GB", "en"), ("eng", "en"), ("zh_Hant", "zh"), ("cmn", "zh"), ("", ""), (None, None)],
)
def test_language_code(lang: str | None, code: str | None) -> None:
    assert language_code(lang) == code


def test_lists_fit_the_kernel() -> None:
    assert all(2 <= len(words) <= 64 for words in STOP_WORDS.values())
    assert all(len(set(words)) == len(words) for words in STOP_WORDS.values())


def documents(path: str) -> list[tuple[str, str]]:
    """(language code, text) of the documents of a real-data file."""
    import zstandard

    file = Path(os.environ["CORPUSMILL_DATA"]) / path
    with zstandard.open(file, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines.read().split("\n") if line]
    return [(language_code(record["lang"]) or "", record["text"]) for record in records]


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")
def test_running_text_has_stop_words_of_its_language() -> None:
    found: dict[str, list[int]] = defaultdict(list)
    texts = [
        pair
        for name in ("xquad-wikipedia", "opensource-guides", "zh-wikipedia-paragraphs")
        for pair in documents(f"multilingual/{name}.jsonl.zst")
        if pair[0] in STOP_WORDS
    ]
    langs, bodies = zip(*texts, strict=True)
    batch = pa.record_batch({"text": pa.array(bodies, pa.large_string()), "lang": pa.array(langs, pa.string())})
    counts = Gopher().open().measure(batch, Scratch())["gopher_stop_words"].to_pylist()
    for lang, count in zip(langs, counts, strict=True):
        found[lang].append(count or 0)
    shares = {lang: sum(count >= 2 for count in counts) / len(counts) for lang, counts in found.items()}
    print(shares)
    assert len(shares) >= 12
    assert all(share >= 0.97 for share in shares.values()), shares
