import os
import random
import re

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.folding import folding_table
from corpusmill.stages.kernels.hashing import mix_all
from corpusmill.stages.kernels.shingles import WORD, shingle_sets
from corpusmill.stages.kernels.signatures import band_keys, permutations, text_signatures

DATA = os.environ.get("CORPUSMILL_DATA")


def test_least_images_in_plain_python() -> None:
    texts = ["one two three two", "", "two", "一二 three"]
    column = pa.array(texts, pa.large_string())
    sets, bounds = shingle_sets(*text_buffers(column), folding_table(), WORD, False, 2)
    multipliers, offsets = permutations(7, 3)
    found, counts = text_signatures(*text_buffers(column), folding_table(), WORD, False, 2, multipliers, offsets)
    assert counts.tolist() == [3, 0, 1, 2]
    for row in range(len(texts)):
        members = [int(value) for value in sets[bounds[row] : bounds[row + 1]]]
        for k in range(7):
            images = [(int(multipliers[k]) * value + int(offsets[k])) % 2**32 for value in members]
            assert found[row, k] == min(images, default=2**32 - 1)


def test_permutations_are_bijections_and_stable() -> None:
    multipliers, offsets = permutations(5, 1)
    assert all(multipliers % 2 == 1)
    longer, _ = permutations(9, 1)
    assert longer[:5].tolist() == multipliers.tolist()
    assert permutations(5, 2)[0].tolist() != multipliers.tolist()
    assert offsets.dtype == np.uint32


def test_band_keys_in_plain_python() -> None:
    values = np.arange(24, dtype=np.uint32).reshape(2, 12)
    values[1, 4:8] = values[0, 4:8]
    keys = band_keys(values, 3, 4, np.uint64(9))
    assert keys.shape == (2, 3)
    assert (keys[0] == keys[1]).tolist() == [False, True, False]
    repeated = np.tile(values[:, :4], 3)
    assert len(set(band_keys(repeated, 3, 4, np.uint64(9))[0].tolist())) == 3  # the band's number counts
    value = int(mix_all(np.array([9 + 1], dtype=np.uint64))[0])
    for row in range(4):
        value = (value ^ int(values[0, row])) * 0x9E3779B97F4A7C15 % 2**64
        value ^= value >> 29
    assert keys[0, 0] == mix_all(np.array([value], dtype=np.uint64))[0]


def real_words(domain: str) -> list[str]:
    """Running words of real prose (characters, of Chinese) where the data is there, invented ones elsewhere."""
    if DATA is None:
        return [f"w{number}" for number in range(100_000)]
    import io
    import json
    from pathlib import Path

    import zstandard

    with zstandard.open(Path(DATA) / f"domains/{domain}.train.jsonl.zst", "rb") as raw:
        lines = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
        texts = [json.loads(line)["text"] for _, line in zip(range(100), lines, strict=False)]
    if domain.startswith("zh"):
        return re.findall(r"[\u4e00-\u9fff]", "".join(texts))
    return [word for text in texts for word in text.split()]


@pytest.mark.parametrize("domain", ["books-en", "zh-modern-history"])
def test_estimates_are_unbiased_with_the_variance_of_their_formula(domain: str) -> None:
    """Ten bins of similarity, 4,000 pairs of word 5-gram sets of real text in each, 112 permutations.

    Two windows of the same running text share part of their shingles; pairs of one bin have the same true similarity.
    """
    seed, num_perm, num_pairs, length = 7, 112, 4000, 120
    rng = random.Random(seed)
    words = real_words(domain)
    multipliers, offsets = permutations(num_perm, seed)
    for tenth in range(10):
        shift = round(length * (1 - (tenth + 0.5) / 10) / (1 + (tenth + 0.5) / 10))
        texts = []
        for _ in range(num_pairs):
            start = rng.randrange(len(words) - 2 * length)
            texts += [" ".join(words[at : at + length + 4]) for at in (start, start + shift)]
        column = pa.array(texts, pa.large_string())
        sets, bounds = shingle_sets(*text_buffers(column), folding_table(), WORD, False, 5)
        found, _ = text_signatures(*text_buffers(column), folding_table(), WORD, False, 5, multipliers, offsets)
        estimates = (found[0::2] == found[1::2]).mean(axis=1)
        true = np.empty(num_pairs)
        for pair in range(num_pairs):
            left, right = (sets[bounds[row] : bounds[row + 1]] for row in (2 * pair, 2 * pair + 1))
            shared = len(np.intersect1d(left, right, assume_unique=True))
            true[pair] = shared / (len(left) + len(right) - shared)
        variance = (true * (1 - true) / num_perm).mean()
        errors = estimates - true
        assert abs(errors.mean()) < 4 * (variance / num_pairs) ** 0.5, tenth
        assert errors.var() == pytest.approx(variance, rel=0.1), tenth  # 4.5 standard errors
