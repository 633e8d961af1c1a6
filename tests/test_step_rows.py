"""Rows gathered from tokens on the device are the rows that are read from the shards, from any step on."""

from pathlib import Path

import pytest
from markov_shards import write_markov_run

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.proxy import step_rows as rows_module
from corpusmill.mixtures.proxy.step_rows import ahead, place_tokens, step_rows
from corpusmill.mixtures.sources import read_manifest


def loaders(run: Path) -> list[PlanLoader]:
    """Of plans that share some sources."""
    write_markov_run(run, {"web": 90, "books": 60, "code": 40})
    manifest = read_manifest(run)
    mixtures = ({"web": 2, "books": 1}, {"code": 1}, {"code": 1, "web": 1})
    plans = [make_plan(manifest, Mixture(tokens=6_400, sequence_length=16, weights=each, seed=3)) for each in mixtures]
    return [PlanLoader(plan, manifest) for plan in plans]


@pytest.mark.parametrize("block_bytes", [1, 20_000, 1 << 26])
@pytest.mark.parametrize("first", [0, 13])
def test_resident_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, first: int) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", block_bytes)
    plans, steps = loaders(tmp_path), range(first, 40)
    streamed = list(step_rows(plans, 10, steps, "cpu"))
    resident = list(step_rows(plans, 10, steps, "cpu", "resident"))
    assert len(streamed) == len(resident) == 40 - first
    for step, one, other in zip(steps, streamed, resident, strict=True):
        assert one.shape == (3, 10, 17)
        assert torch.equal(one, other)
        assert torch.equal(one[1], torch.from_numpy(plans[1].rows(step * 10, step * 10 + 10)))


def test_each_source_lies_on_the_device_once(tmp_path: Path) -> None:
    plans = loaders(tmp_path)
    tokens, bases = place_tokens(plans, "cpu")
    manifest = read_manifest(tmp_path)
    assert len(tokens) == sum(source.num_tokens for source in manifest.sources.values())
    assert tokens.dtype == torch.int16
    assert len(bases) == 3


def test_ids_above_32767_come_back(tmp_path: Path) -> None:
    plans = loaders(tmp_path)
    path = tmp_path / "tokens/code/all/00000.bin"
    data = bytearray(path.read_bytes())
    data[:4] = (65_499).to_bytes(2, "little") + (40_000).to_bytes(2, "little")
    path.write_bytes(data)
    fresh = [PlanLoader(plans[1].plan, read_manifest(tmp_path))]
    ids = {int(token) for rows in step_rows(fresh, 10, range(40), "cpu", "resident") for token in rows.flatten()}
    assert {65_499, 40_000} <= ids
    assert min(ids) >= 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_made_ahead_comes_in_order(device: str) -> None:
    made = ahead([range(2), range(2, 5), range(5, 6)], sum, device)
    assert [(list(some), total) for some, total in made] == [([0, 1], 1), ([2, 3, 4], 9), ([5], 5)]
    assert list(ahead([], sum, device)) == []
