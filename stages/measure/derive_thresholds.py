"""Thresholds of FineWeb2's filters from texts that are good: where the tails of their distributions begin.

For each value that a rule compares, its distribution over the reference is cut so that a share of `tail` lies beyond:
with 0.1 this is what FineWeb2 calls 10Tail. The mean length of words has a limit on either side, each with half of the
tail beyond, rounded outward to whole characters. Stop words are the words that make up at least 0.8 % of all words
that are no symbols or numbers, and at least the eight most frequent. All of it depends on the segmenter, which is
written down with the result.
"""

from collections import Counter
from collections.abc import Iterable
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.fineweb2 import LIMITS, Fineweb2
from corpusmill.stages.measure.gopher_dialects import DUPLICATE_SIZES, TOP_SIZES
from corpusmill.stages.measure.segmenters import Segmenter, layout

MIN_DOCUMENTS = 100
STOP_WORD_SHARE = 0.008
MIN_STOP_WORDS = 8
MAX_STOP_WORDS = 60


def derive_thresholds(
    texts: Iterable[list[str]], language: str, segmenter: Segmenter = "auto", tail: float = 0.1
) -> dict[str, Any]:
    """Thresholds of one language, as `fineweb2: {thresholds: ...}` reads them; `texts` in lists of any size.

    Raises RequestError for fewer than MIN_DOCUMENTS documents.
    """
    worker = Fineweb2(segmenter=segmenter).open()
    values: dict[str, list[npt.NDArray[np.float64]]] = {}
    words: Counter[str] = Counter()
    num_documents = 0
    for some in texts:
        batch = pa.record_batch({"text": pa.array(some, pa.large_string()), "lang": pa.array([language] * len(some))})
        scratch = Scratch()
        columns = {name[9:]: column for name, column in worker.measure(batch, scratch).items()}
        for _, _, name, pair in LIMITS:
            values.setdefault(name, []).append(_ratio(columns, *pair))
        for n in TOP_SIZES:
            values.setdefault(f"top_{n}", []).append(_ratio(columns, f"top_{n}_gram_chars", "chars"))
        for n in DUPLICATE_SIZES:
            values.setdefault(f"dup_{n}", []).append(_ratio(columns, f"dup_{n}_gram_chars", "chars"))
        words += _count_words(batch, scratch, segmenter)
        num_documents += len(some)
    if num_documents < MIN_DOCUMENTS:
        raise RequestError(
            f"{num_documents} documents are too few to find where tails begin: give {MIN_DOCUMENTS} or more"
        )
    limits: dict[str, Any] = {}
    for _, op, name, _ in LIMITS:
        share = tail / 2 if name.endswith("mean_word_length") else tail
        limits[name] = _tail(values[name], share if op == "<" else 1 - share)
    for name, rounded in (("min_mean_word_length", floor), ("max_mean_word_length", ceil)):
        limits[name] = None if limits[name] is None else rounded(limits[name])
    limits["max_top_ngram_ratios"] = [_tail(values[f"top_{n}"], 1 - tail) for n in TOP_SIZES]
    limits["max_dup_ngram_ratios"] = [_tail(values[f"dup_{n}"], 1 - tail) for n in DUPLICATE_SIZES]
    limits["stop_words"] = _stop_words(words)
    limits["made_from"] = {"documents": num_documents, "segmenter": segmenter, "tail": tail}
    return limits


def _ratio(columns: dict[str, Any], numerator: str, denominator: str) -> npt.NDArray[np.float64]:
    above, below = (
        np.asarray(columns[name].to_numpy(zero_copy_only=False), dtype=np.float64) for name in (numerator, denominator)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = above / below
    return ratios[np.isfinite(ratios)]


def _tail(parts: list[npt.NDArray[np.float64]], quantile: float) -> float | None:
    """The value below which a share of `quantile` lies, None where nothing was measured."""
    values = np.concatenate(parts)
    return round(float(np.quantile(values, quantile)), 3) if len(values) else None


def _count_words(batch: Batch, scratch: Scratch, segmenter: Segmenter) -> Counter[str]:
    """How often each word with a letter and without a digit occurs."""
    words = layout(batch, scratch, segmenter)
    counts: Counter[str] = Counter()
    for row in range(batch.num_rows):
        counts.update(words.words(row))
    return Counter(
        {
            word: count
            for word, count in counts.items()
            if any(c.isalpha() for c in word) and not any(c.isdigit() for c in word)
        }
    )


def _stop_words(words: Counter[str]) -> list[str]:
    total = sum(words.values())
    often = [word for word, count in words.most_common(MAX_STOP_WORDS) if count >= STOP_WORD_SHARE * total]
    return often if len(often) >= MIN_STOP_WORDS else [word for word, _ in words.most_common(MIN_STOP_WORDS)]
