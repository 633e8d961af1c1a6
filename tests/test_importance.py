"""Importance weights by a hand count, draws that follow them, copies that add up, and a selection as a plan."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shards import write_manifest, write_shards

from corpusmill.mixtures.importance import (
    Selection,
    copies,
    draw_documents,
    log_importance,
    resample,
    select_documents,
)
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.permutation import mix
from corpusmill.mixtures.sources import TokenManifest, read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.settings import build_settings


def write_documents(run: Path, sources: dict[str, list[list[int]]]) -> TokenManifest:
    """One shard for each source, from documents given as token ids."""
    entries = []
    for name, documents in sources.items():
        path = f"tokens/{name}/all/00000"
        (run / path).parent.mkdir(parents=True, exist_ok=True)
        tokens = np.array([token for document in documents for token in document], dtype=np.uint16)
        tokens.tofile(run / f"{path}.bin")
        lengths = [len(document) for document in documents]
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        table = {"id": [f"{name}#{i}" for i in range(len(lengths))], "source": [name] * len(lengths)}
        table |= {"url": pa.nulls(len(lengths), pa.string()), "token_start": starts, "num_tokens": lengths}  # type: ignore[dict-item]  # columns of several types
        pq.write_table(pa.table(table), run / f"{path}.docs.parquet")
        entry = {"source": name, "bucket": "all", "split": "train", "path": path, "num_tokens": len(tokens)}
        entries.append(entry | {"num_documents": len(lengths), "num_bytes": len(tokens), "checksum": name})
    write_manifest(run, entries)
    return read_manifest(run)


def test_log_importance_by_hand(tmp_path: Path) -> None:
    # Source: [1 1], [2]: unigrams 1 1 2 and the bigram (1, 1). Target: [1], [2 2]: unigrams 1 2 2, bigram (2, 2).
    readers = write_documents(tmp_path, {"web": [[1, 1], [2]], "goal": [[1], [2, 2]]}).open()

    def bucket(value: int) -> int:
        return int(mix(np.array([value], dtype=np.uint64))[0] % np.uint64(10_000))

    one, two, pair, other = bucket(1), bucket(2), bucket((2 << 32) | 1), bucket((3 << 32) | 2)
    assert len({one, two, pair, other}) == 4
    small = 1e-8
    ratio = {
        one: math.log((1 / 4 + small) / (2 / 4 + small)),
        two: math.log((2 / 4 + small) / (1 / 4 + small)),
        pair: math.log(small / (1 / 4 + small)),
    }
    found = log_importance(readers["web"], [readers["goal"]])
    assert found == pytest.approx([2 * ratio[one] + ratio[pair], ratio[two]])


def test_documents_like_the_target_come_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = [rng.integers(1, 300, 60).tolist() if i % 4 else rng.integers(200, 500, 60).tolist() for i in range(400)]
    goal = [rng.integers(200, 500, 60).tolist() for _ in range(100)]
    readers = write_documents(tmp_path, {"web": kinds, "goal": goal}).open()
    chosen = resample(log_importance(readers["web"], [readers["goal"]]), 100, seed=1)
    assert (chosen % 4 == 0).mean() > 0.95
    assert (np.diff(chosen) > 0).all()


def test_draws_follow_the_weights() -> None:
    # Weights 1 : 2 : 5, one drawn of three: shares over seeds.
    weights = np.log(np.array([1.0, 2.0, 5.0]))
    counts = Counter(int(resample(weights, 1, seed)[0]) for seed in range(8000))
    for index, share in enumerate((1 / 8, 2 / 8, 5 / 8)):
        assert counts[index] / 8000 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 8000))


def test_more_documents_than_there_are() -> None:
    with pytest.raises(RequestError, match="3 documents wanted of 2"):
        resample(np.zeros(2), 3, 0)


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), min_size=1, max_size=40).filter(
        lambda parts: sum(weight for weight, _ in parts) > 0.01
    ),
    st.integers(1, 3000),
)
def test_copies_are_their_shares_rounded(parts: list[tuple[float, int]], num_tokens: int) -> None:
    weights, lengths = (np.array(column) for column in zip(*parts, strict=True))
    times = copies(weights, lengths, num_tokens)
    expected = weights * num_tokens / (weights * lengths).sum()
    assert (np.abs(times - expected) <= 1 + 1e-9).all()
    assert abs(times.sum() - expected.sum()) <= 0.5 + 1e-6
    assert (times[weights == 0] == 0).all()


def test_no_weight_at_all() -> None:
    with pytest.raises(RequestError, match="one above it"):
        copies(np.zeros(3), np.ones(3, dtype=np.int64), 10)


def test_a_selection_is_a_source_of_a_plan(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [300], "books": [400]}, document_tokens=20)
    manifest = read_manifest(tmp_path)
    times = np.array([3, 0, 1] + [0] * 12)
    packed = {"web": select_documents(manifest.open()["web"], times, 40)}
    mixture = Mixture(tokens=40 * 4, sequence_length=40, weights={"web": 1, "books": 1}, max_epochs=1)
    loader = PlanLoader.open(tmp_path, make_plan(manifest, mixture, packed))
    counts: Counter[str] = Counter()
    for position in range(len(loader)):
        for token in range(0, 40, 20):  # documents have 20 tokens
            document = loader.document_at(position, token)
            if document is not None and document.source == "web":
                counts[document.id] += 1
    assert counts == {"web/0#0": 3, "web/0#40": 1}
    with pytest.raises(RequestError, match="2 weights for 15 documents"):
        select_documents(manifest.open()["web"], np.array([1, 2]), 40)


def test_selections_in_a_mixture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = [rng.integers(1, 300, 60).tolist() if i % 4 else rng.integers(200, 500, 60).tolist() for i in range(200)]
    goal = [rng.integers(200, 500, 60).tolist() for _ in range(50)]
    shards = write_documents(tmp_path, {"web": kinds, "goal": goal})
    mixture, problems = build_settings(
        Mixture,
        {"tokens": 120 * 20, "sequence_length": 120, "weights": {"web": 1}, "max_epochs": 1}
        | {"documents": {"web": {"like": "goal", "keep": 0.2}}},
    )
    assert problems == []
    assert mixture is not None
    loader = PlanLoader.open(tmp_path, make_plan(shards, mixture))
    # A fifth of 200 documents, two to a row: 20 rows, each once.
    drawn = [loader.document_at(row, token) for row in range(20) for token in (0, 60)]
    ids = [document.id for document in drawn if document is not None]
    assert len(set(ids)) == len(ids) == 40
    assert sum(int(each.split("#")[1]) % 4 == 0 for each in ids) > 36
    assert make_plan(shards, mixture) == loader.plan


def with_quality(run: Path, values: list[float | None]) -> TokenManifest:
    shards = write_documents(run, {"web": [[1, 2, 3, 0]] * len(values)})
    path = run / "tokens/web/all/00000.docs.parquet"
    table = pq.read_table(path, partitioning=None)
    table = table.append_column("quality", pa.array(values, type=pa.float32()))
    pq.write_table(table.append_column("empty", pa.nulls(len(values))), path)
    return shards


def test_documents_by_a_measure(tmp_path: Path) -> None:
    shards = with_quality(tmp_path, [1.0, 2.0, None, 0.0, 3.0])
    reader = shards.open()["web"]
    # Squares 1, 4, -, 0, 9 of 14: twice 20 tokens are 10 documents of 4.
    times = draw_documents(shards, reader, Selection(by="quality", power=2, epochs=2), 0)
    assert times.sum() == 10
    assert (abs(times - np.array([1, 4, 0, 0, 9]) * 10 / 14) <= 1).all()
    assert times[[2, 3]].tolist() == [0, 0]
    # Without replacement no more are drawn than have a weight.
    assert draw_documents(shards, reader, Selection(by="quality", keep=0.8), 0).tolist() == [1, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(by="score", keep=0.5), r"tokens.measures: \[score\] keeps it"),
        (Selection(by="url", keep=0.5), "url is string, not a number"),
        (Selection(like="wkii", keep=0.5), "no such source"),
        (Selection(by="quality", keep=0.5), "below 0 somewhere"),
        (Selection(by="empty", keep=0.5), "no document has empty above 0"),
    ],
)
def test_selections_that_cannot_be_made(tmp_path: Path, selection: Selection, message: str) -> None:
    shards = with_quality(tmp_path, [1.0, -2.0])
    mixture = Mixture(tokens=8, sequence_length=4, documents={"web": selection})
    with pytest.raises(RequestError, match=message):
        make_plan(shards, mixture)
    with pytest.raises(RequestError, match=r"documents\.books: no such source"):
        make_plan(shards, Mixture(tokens=8, sequence_length=4, documents={"books": selection}))


@pytest.mark.parametrize(
    "values",
    [
        {"keep": 0.5},
        {"like": "a", "by": "b", "keep": 0.5},
        {"like": "a"},
        {"like": "a", "epochs": 1},
        {"by": "b", "keep": 0.5, "epochs": 1},
        {"by": "b", "keep": 1.5},
        {"by": "b", "epochs": 0},
    ],
)
def test_settings_of_a_selection_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"give one of|is a share|epochs, above 0"):
        Selection(**values)
