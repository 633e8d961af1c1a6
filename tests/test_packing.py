"""Best fit against a plain reading of the rule; no token lost; bins stored, damaged and read back."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from small_shards import expected_tokens, write_shards

from corpusmill.mixtures.packing import PackedRows, Packing, best_fit, pack_source
from corpusmill.mixtures.plan import PACKINGS
from corpusmill.mixtures.segments import IGNORED
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import DamagedFileError, RequestError


def plain_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """Longest first, each into the bin with the least room that holds it, else a new one: how full each bin is.

    Among bins with equal room the rule is free, and they are alike for all that comes later.
    """
    bins: list[list[int]] = []
    for length in sorted(lengths, reverse=True):
        fitting = [held for held in bins if capacity - sum(held) >= length]
        if fitting:
            max(fitting, key=sum).append(length)
        else:
            bins.append([length])
    return sorted(map(sum, bins))


@given(st.integers(1, 40).flatmap(lambda most: st.tuples(st.just(most), st.lists(st.integers(1, most), max_size=60))))
def test_equals_the_plain_rule(case: tuple[int, list[int]]) -> None:
    capacity, lengths = case
    bin_of = best_fit(np.array(lengths, dtype=np.int64), capacity)
    held: dict[int, list[int]] = {}
    for length, place in sorted(zip(lengths, bin_of.tolist(), strict=True), reverse=True):
        held.setdefault(place, []).append(length)
    assert set(held) == set(range(len(held)))
    assert sorted(map(sum, held.values())) == plain_best_fit(lengths, capacity)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 17), st.booleans())
def test_every_token_lies_in_one_slot(lengths: list[int], capacity: int, one_each: bool) -> None:
    counts = np.array(lengths, dtype=np.int64)
    starts = np.cumsum(counts) - counts
    packing = pack_source(starts, counts, capacity, "f00d", one_each=one_each)
    slots = [packing.tokens_of(row) for row in range(packing.report.num_bins)]
    tokens = np.concatenate(slots) if slots else np.zeros(0, dtype=np.int64)
    assert sorted(tokens[tokens >= 0].tolist()) == list(range(sum(lengths)))
    assert packing.report.num_padding == int((tokens < 0).sum())
    assert packing.report.num_cut == sum(length > capacity for length in lengths)
    # A document is cut only where it is longer than a row, into as few pieces as can be.
    assert len(packing.starts) == sum(-(-length // capacity) for length in lengths)
    if one_each:
        assert all(len(packing.pieces(row)) == 1 for row in range(packing.report.num_bins))


def test_by_hand() -> None:
    # 25 tokens into rows of 10: two full rows and 5; then 7, 5, 3, 2 best fit: [7, 3], [5, 5], [2].
    lengths = np.array([25, 3, 7, 5, 2])
    packing = pack_source(np.array([0, 25, 28, 35, 40]), lengths, 10, "f00d")
    assert [packing.pieces(row) for row in range(packing.report.num_bins)] == [
        [(0, 10)],
        [(10, 10)],
        [(25, 3), (28, 7)],
        [(20, 5), (35, 5)],
        [(40, 2)],
    ]
    assert packing.report.filled == 42 / 50


def test_a_bin_as_inputs_and_targets(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [60]})
    reader = read_manifest(tmp_path).open()["web"]
    packing = pack_source(np.array([1, 4, 30]), np.array([3, 2, 12]), 8, reader.source.fingerprint)
    tokens = expected_tokens(0, 0, 60).tolist()
    inputs, targets = np.zeros(8, dtype=np.int64), np.zeros(8, dtype=np.int64)
    rows = PackedRows(packing, reader, end_of_document=tokens[3])
    rows.fill(0, inputs, targets)
    # The document of 12 is cut: its first 8 tokens predict up to the ninth.
    assert inputs.tolist() == tokens[30:38]
    assert targets.tolist() == tokens[31:39]
    rows.fill(1, inputs, targets)
    assert inputs.tolist() == [*tokens[1:4], *tokens[38:42], tokens[3]]
    assert targets.tolist() == [*tokens[2:4], IGNORED, *tokens[39:43], IGNORED]


def test_stored_and_read_back(tmp_path: Path) -> None:
    packing = pack_source(np.array([0, 25, 28]), np.array([25, 3, 7]), 10, "f00d")
    rows = packing.save(tmp_path)
    fingerprint = packing.fingerprint
    assert (rows.num_rows, rows.num_tokens, rows.packing) == (4, 35, fingerprint)
    again = Packing.load(tmp_path, fingerprint)
    assert again.report == packing.report
    assert again.fingerprint == fingerprint
    assert [again.pieces(row) for row in range(4)] == [packing.pieces(row) for row in range(4)]
    path = tmp_path / PACKINGS / fingerprint / "starts.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match=r"starts.bin is not what packing.json says"):
        Packing.load(tmp_path, fingerprint)
    with pytest.raises(RequestError, match="pack the source again"):
        Packing.load(tmp_path, "beef")


def test_a_packing_of_other_shards_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [60]})
    packing = pack_source(np.array([0]), np.array([3]), 8, "other")
    with pytest.raises(RequestError, match="made for other shards"):
        PackedRows(packing, read_manifest(tmp_path).open()["web"], 0)


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")
def test_real_documents_fill_their_rows() -> None:
    # Lengths in tokens as a 32k vocabulary gives them within a factor of two: a token for four bytes.
    lengths = []
    for path in sorted((Path(os.environ["CORPUSMILL_DATA"]) / "domains").glob("*.train.jsonl.zst")):
        with zstandard.open(path, "rt", encoding="utf-8") as file:
            lengths += [len(json.loads(line)["text"].encode()) // 4 + 1 for line in file]
    counts = np.array(lengths, dtype=np.int64)
    packing = pack_source(np.cumsum(counts) - counts, counts, 2048, "f00d")
    assert packing.report.num_documents > 1000
    assert packing.report.filled > 0.99


def test_nothing_to_pack() -> None:
    none = np.zeros(0, dtype=np.int64)
    packing = pack_source(none, none, 8, "f00d")
    assert packing.report.num_bins == 0
    assert packing.bins.tolist() == [0]
