"""The logistic fit over fastText's features: same features, least loss, same scores in fastText itself, same bytes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels import classifier_rows, text_classifier
from corpusmill.stages.measure.prediction import Predictor
from corpusmill.stages.models.fasttext_model import find_lookup, read_model
from corpusmill.stages.models.linear_classifier import (
    Features,
    fit_logistic,
    inverse_frequency,
    log_count_ratio,
    quantise,
    train_linear,
)
from corpusmill.stages.models.model_file import load_model

WORDS = ("the", "old", "garden", "buy", "pills", "!", "schön", "花", "园")
RNG = np.random.default_rng(3)
LINES = [" ".join(RNG.choice(WORDS, size=RNG.integers(1, 12))) for _ in range(400)]
POSITIVE = [("pills" in line.split()) ^ (RNG.random() < 0.05) for line in LINES]
FEATURES = Features(minn=2, maxn=4, word_ngrams=2, bucket=5000, cutoff=120, penalty=0.5)


def train(model: Path, lines: list[str] = LINES, positive: list[bool] = POSITIVE) -> None:
    train_linear(lines, positive, [1.0] * len(lines), ["en"] * len(lines), ("no", "yes"), FEATURES, model)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("model") / "linear.ftz"
    train(model)
    return model


def test_fasttext_itself_reads_the_file_and_gives_the_same_scores(trained: Path) -> None:
    lines = [*LINES, "unseen words only", "pills pills pills"]
    ours, num_tokens = Predictor(trained).scores(pa.array(lines, type=pa.large_string()))
    library = load_model(trained)
    assert sorted(library.get_labels()) == ["__label__no", "__label__yes"]
    for line, row, tokens in zip(lines, ours, num_tokens, strict=True):
        labels, scores = library.predict(line, k=2)
        if tokens:
            theirs = dict(zip(labels, scores, strict=True))
            assert float(row[1]) == pytest.approx(theirs["__label__yes"], abs=1e-5)


def test_it_separates_and_keeps_as_many_rows_as_asked_for(trained: Path) -> None:
    scores, _ = Predictor(trained).scores(pa.array(LINES, type=pa.large_string()))
    truth = np.array(["pills" in line.split() for line in LINES])
    assert np.mean((scores[:, 1] > 0.5) == truth) > 0.95
    assert len(read_model(trained).rows) == FEATURES.cutoff


def test_twice_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    train(tmp_path / "again.ftz")
    assert (tmp_path / "again.ftz").read_bytes() == trained.read_bytes()


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), max_size=5))
@settings(max_examples=50)
def test_rows_are_those_that_the_predictor_adds_up(lines: list[str]) -> None:
    """Random values for all rows: the mean of the listed ones is the mean that inference takes."""
    lookup = find_lookup(["</s>", *WORDS[:4]], None, bucket=64, minn=2, maxn=4, word_ngrams=3)
    data, offsets = text_buffers(pa.array(lines, type=pa.large_string()))
    rows, begins = classifier_rows.list_rows(data, offsets, lookup)
    values = np.random.default_rng(1).normal(size=5 + 64)
    counted = np.zeros(len(lines), dtype=np.int64)
    table = values.astype(np.float32).reshape(-1, 1)
    expected = text_classifier.mean_rows(data, offsets, lookup, table, counted)
    assert classifier_rows.means(rows, begins, values) == pytest.approx(expected[:, 0], abs=1e-5)


matrices = st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=6)


@given(matrices)
def test_products_equal_those_of_the_dense_matrix(lists: list[list[int]]) -> None:
    rows = np.array([row for entries in lists for row in entries], dtype=np.int32)
    begins = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    dense = np.zeros((len(lists), 5))
    for line, entries in enumerate(lists):
        for row in entries:
            dense[line, row] += 1 / len(entries)
    weights = np.array([-1.5, -0.5, 0.5, 1.5, 2.5], dtype=np.float64)
    values = np.array([line + 0.5 for line in range(len(lists))], dtype=np.float64)
    assert classifier_rows.means(rows, begins, weights) == pytest.approx(dense @ weights)
    assert classifier_rows.spread(rows, begins, values, 5) == pytest.approx(values @ dense)
    assert classifier_rows.sum_lines_with(rows, begins, values, 5) == pytest.approx(values @ (dense > 0))
    kept, starts = classifier_rows.keep_rows(rows, begins, np.array([0, -1, 1, -1, 2], dtype=np.int32))
    for line, entries in enumerate(lists):
        assert kept[starts[line] : starts[line + 1]].tolist() == [row // 2 for row in entries if row % 2 == 0]


def test_the_fit_has_no_slope_left() -> None:
    """At the minimum the derivative of loss and penalty is zero, computed here over the dense matrix."""
    dense = (np.random.default_rng(2).random((60, 5)) < 0.4).astype(float)
    dense[:, 0] = 1
    lists = [np.flatnonzero(line).tolist() for line in dense]
    mean = dense / dense.sum(axis=1, keepdims=True)
    rows = np.array([row for entries in lists for row in entries], dtype=np.int32)
    begins = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    label = (dense[:, 1] > 0).astype(float)
    weight = np.where(label > 0, 3.0, 1.0)
    weights, offset = fit_logistic(rows, begins, np.ones(5), label, weight, 2.0)
    p = 1 / (1 + np.exp(-(mean @ weights + offset)))
    assert mean.T @ (weight * (p - label)) + 2.0 * weights == pytest.approx(0.0, abs=0.05)
    assert np.sum(weight * (p - label)) == pytest.approx(0.0, abs=0.05)


def test_levels_are_near_the_values() -> None:
    values = np.random.default_rng(5).normal(size=5000)
    levels, codes = quantise(values)
    assert np.abs(levels[codes] - values).mean() < 0.01
    few = np.array([1.0, -2.0, 1.0])
    levels, codes = quantise(few)
    assert levels[codes] == pytest.approx(few)


def test_a_row_is_as_common_as_in_the_language_that_uses_it_most() -> None:
    rows = np.array([0, 0, 1, 0, 1, 2], dtype=np.int32)  # en: 0 in two of 2 lines, 1 in one; de: 0, 1 and 2 in one of 1
    begins = np.array([0, 1, 3, 6], dtype=np.int64)
    found = inverse_frequency(rows, begins, ["en", "en", "de"], 4)
    assert found == pytest.approx([1, 1 + np.log(3 / 2), 1 + np.log(3), 1 + np.log(3)])  # de is too small to count
    with pytest.raises(ValueError, match="do not stand together"):
        inverse_frequency(rows, begins, ["en", "de", "en"], 4)


def test_a_rows_ratio_is_that_of_its_shares_of_both_sides() -> None:
    rows = np.array([0, 1, 0, 0, 2], dtype=np.int32)
    begins = np.array([0, 2, 3, 5], dtype=np.int64)
    found = log_count_ratio(rows, begins, np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, 0.5]), 4)
    positive, negative = np.array([2, 2, 1, 1]) / 3, np.array([3.5, 1, 1.5, 1]) / 4.5
    assert found == pytest.approx(np.abs(np.log(positive / negative)))
