"""Composition: entropy and compression against Python's, counts, and what is not defined."""

import math
import zlib
from collections import Counter

import pyarrow as pa
from hypothesis import given
from unicode_texts import BATCHES

from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.composition import Composition
from corpusmill.stages.measure.segmenters import segment_by_script


def measure(texts: list[str], stage: Composition | None = None) -> list[dict[str, float | None]]:
    stage = stage or Composition()
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    columns = stage.open().measure(batch, Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    return [{name[12:]: column[row].as_py() for name, column in columns.items()} for row in range(len(texts))]


@given(BATCHES)
def test_entropy_and_compression(texts: list[str]) -> None:
    for text, found in zip(texts, measure(texts), strict=True):
        words = segment_by_script(pa.record_batch({"text": pa.array([text], pa.large_string())})).words(0)
        counts = Counter(words)
        parts = [count / len(words) for count in counts.values()]
        entropy = -sum(part * math.log2(part) for part in parts) if words else None
        assert (found["word_entropy"] is None) == (entropy is None)
        if entropy is not None:
            assert math.isclose(found["word_entropy"] or 0.0, entropy, abs_tol=1e-9)
        size = len(text.encode())
        assert found["compression_ratio"] == (len(zlib.compress(text.encode(), 6)) / size if size else None)


def test_counts() -> None:
    text = "See https://example.com/x and (here) {or} there. Our privacy policy. Lorem ipsum."
    (found,) = measure([text])
    assert (found["urls"], found["url_chars"]) == (1, len("https://example.com/x"))
    assert found["url_ratio"] == len("https://example.com/x") / len(text)
    assert (found["brackets"], found["curly_brackets"]) == (4, 2)
    assert (found["policy_phrases"], found["lorem_ipsum"]) == (1, 1)


def test_compression_can_be_left_out() -> None:
    assert "compression_ratio" not in measure(["a"], Composition(compress=False))[0]
