"""Rows as arrays: what the shards hold, the same for any cut of positions, ranks and order; back to documents."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shards import expected_tokens, write_manifest, write_shards

from corpusmill.mixtures.loader import PlanLoader, rank_slice
from corpusmill.mixtures.mixture import Mixture, Phase, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.segments import IGNORED
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import DamagedFileError, RequestError

NAMES = ["web", "books", "code/q0", "code/q1"]
LENGTH = 16


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> PlanLoader:
    run = tmp_path_factory.mktemp("run")
    write_shards(
        run, {"web": [3000, 500, 1, 2000], "books": [777], "code/q0": [900, 900], "code/q1": [300], "web/val": [50]}
    )
    phases = (
        Phase(name="main", share=4, weights={"web": 3, "books": 1, "code": 0.5}),
        Phase(name="anneal", share=1, weights={"books": 1}, to={"code": 1}),
    )
    mixture = Mixture(tokens=LENGTH * 9000, sequence_length=LENGTH, phases=phases, seed=3)
    return PlanLoader.open(run, make_plan(read_manifest(run), mixture))


def test_rows_hold_the_tokens_of_their_place(loader: PlanLoader) -> None:
    rows = loader.rows(0, len(loader))
    located = loader.locate(np.arange(len(loader)))
    assert rows.shape == (9000, LENGTH + 1)
    assert rows.dtype == np.int64
    for position in range(len(loader)):
        number = NAMES.index(loader.plan.sources[int(located.source[position])].name)
        expected = expected_tokens(number, int(located.row[position]) * LENGTH, LENGTH + 1)
        assert (rows[position] == expected).all()


@given(st.integers(0, 9000), st.integers(0, 600), st.integers(1, 9), st.integers(1, 9))
def test_ranks_cover_any_batch_without_overlap(
    loader: PlanLoader, start: int, batch_rows: int, num_ranks: int, later_ranks: int
) -> None:
    batch_rows = min(batch_rows, len(loader) - start)
    straight = loader.rows(start, start + batch_rows)
    middle = start + batch_rows // 2  # here the number of ranks changes
    parts = [rank_slice(start, middle - start, rank, num_ranks) for rank in range(num_ranks)]
    parts += [rank_slice(middle, start + batch_rows - middle, rank, later_ranks) for rank in range(later_ranks)]
    assert sum(stop - first for first, stop in parts) == batch_rows
    assert (np.concatenate([loader.rows(first, stop) for first, stop in parts]) == straight).all()


def test_rank_outside() -> None:
    with pytest.raises(ValueError, match="rank 3 of 3"):
        rank_slice(0, 8, 3, 3)


def test_any_positions_and_types(loader: PlanLoader) -> None:
    order = np.random.default_rng(1).integers(0, len(loader), 200)
    assert (loader.rows_at(order) == loader.rows(0, len(loader))[order]).all()
    assert (loader.rows(7, 9, dtype=np.uint16) == loader.rows(7, 9)).all()
    assert loader.rows(7, 9, dtype=np.int32).dtype == np.int32
    assert loader.rows(9000, 9000).shape == (0, LENGTH + 1)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (8999, 9001), (9001, 9001)])
def test_outside_the_plan(loader: PlanLoader, start: int, stop: int) -> None:
    with pytest.raises(IndexError, match="of a plan with 9000 rows"):
        loader.rows(start, stop)


def test_counters_say_what_was_drawn(loader: PlanLoader) -> None:
    sources = loader.locate(np.arange(len(loader))).source
    for position in (0, 1, 100, 7199, 7200, 7201, 9000):
        counts = np.bincount(sources[:position], minlength=4).tolist()
        assert loader.rows_drawn(position) == {s.name: n for s, n in zip(loader.plan.sources, counts, strict=True)}


def test_every_token_leads_to_its_document(loader: PlanLoader) -> None:
    located = loader.locate(np.arange(60))
    files = {"web": [3000, 500, 1, 2000], "books": [777], "code/q0": [900, 900], "code/q1": [300]}
    for position in range(60):
        for token in (0, 7, LENGTH - 1):
            name = loader.plan.sources[int(located.source[position])].name
            place, file = int(located.row[position]) * LENGTH + token, 0
            while place >= files[name][file]:
                place -= files[name][file]
                file += 1
            found = loader.document_at(position, token)
            assert found is not None
            assert found.id == f"{name}/{file}#{place // 100 * 100}"
            assert found.token == place % 100
            assert found.shard.endswith(f"{file:05d}")
    with pytest.raises(IndexError, match="token 16"):
        loader.document_at(0, LENGTH)


def test_without_document_tables(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [300]})
    loader = PlanLoader.open(tmp_path, make_plan(read_manifest(tmp_path), Mixture(tokens=100, sequence_length=10)))
    (tmp_path / "tokens/web/all/00000.docs.parquet").unlink()
    with pytest.raises(DamagedFileError, match=r"docs.parquet is missing"):
        loader.document_at(0, 0)


@pytest.mark.parametrize("packing", ["best-fit", "document"])
def test_packed_rows_hold_whole_documents(tmp_path: Path, packing: Literal["best-fit", "document"]) -> None:
    write_shards(tmp_path, {"web": [300, 40], "books": [500]}, document_tokens=30)
    mixture = Mixture(tokens=256, sequence_length=64, weights={"web": 1, "books": 1}, packing=packing)
    plan = make_plan(read_manifest(tmp_path), mixture)
    plan.save(tmp_path / "plans/main.json")
    loader = PlanLoader.open(tmp_path, Plan.load(tmp_path / "plans/main.json"))
    inputs, targets = loader.pairs(0, len(loader))
    for position in range(2):
        found = [loader.document_at(position, token) for token in range(64)]
        held = [document for document in found if document is not None]
        for document in set(held):
            assert document.token < document.num_tokens
        starts = {(document.shard, document.token_start) for document in held}
        assert len(starts) == 1 if packing == "document" else len(starts) <= 64
        # Documents are whole: as many tokens of each as it has.
        for start in starts:
            whole = [d for d in held if (d.shard, d.token_start) == start]
            assert len(whole) == whole[0].num_tokens
        assert (inputs[position][len(held) :] == plan.end_of_document).all()
        assert (targets[position][len(held) :] == IGNORED).all()
    with pytest.raises(RequestError, match="is packed"):
        loader.rows(0, 1)
    again, _ = loader.pairs_at(np.arange(len(loader))[::-1])
    assert (again[::-1] == inputs).all()


def test_foreign_shards_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [300]})
    plan = make_plan(read_manifest(tmp_path), Mixture(tokens=100, sequence_length=10))
    write_manifest(tmp_path, [], tokenizer_hash="f00d")
    with pytest.raises(RequestError, match="web has no shards"):
        PlanLoader.open(tmp_path, plan)
