"""Runs on an object store read as runs on a disk, within the bounds of the cache, whatever fails on the way."""

import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shards import expected_tokens, write_shards

from corpusmill.mixtures.batches import BatchStream
from corpusmill.mixtures.block_cache import BlockCache, CacheSettings, FileRange
from corpusmill.mixtures.exclusions import exclude
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.plan_curves import save_with_curves
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import CorpusmillError, DamagedFileError
from corpusmill.pipeline.run_folder import RunFolder

SMALL = CacheSettings(max_bytes=8 * 256, block_bytes=256)
STORE = "memory://bucket/run"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """The same run on a disk and in fsspec's store in memory."""
    write_shards(tmp_path, {"web": [3000, 1, 777], "books": [1500]})
    files = fsspec.filesystem("memory")
    files.put(str(tmp_path) + "/", "/bucket/run/", recursive=True)
    yield tmp_path
    files.rm("/bucket", recursive=True)


@pytest.mark.parametrize("packing", ["none", "best-fit"])
def test_a_run_on_a_store_reads_as_on_a_disk(store: Path, packing: Any) -> None:
    mixture = Mixture(tokens=128 * 60, sequence_length=128, weights={"web": 1, "books": 1}, packing=packing)
    save_with_curves(make_plan(read_manifest(STORE), mixture), STORE, "main")
    plan = Plan.load(f"{STORE}/plans/main.json")
    assert plan == make_plan(read_manifest(store), mixture)
    local, remote = PlanLoader.open(store, plan), PlanLoader.open(STORE, plan, SMALL)
    remote = pickle.loads(pickle.dumps(remote))
    assert remote.cache is not None
    for here, there in zip(BatchStream(local, 7), BatchStream(remote, 7, num_threads=3), strict=True):
        assert (here.inputs == there.inputs).all()
        assert (here.targets == there.targets).all()
    assert local.document_at(11, 3) == remote.document_at(11, 3)
    order = np.random.default_rng(0).permutation(60)
    assert (local.pairs_at(order)[1] == remote.pairs_at(order)[1]).all()
    excluding = exclude(plan, plan.sources_in(remote.manifest), STORE, ["web/0#0"], 5)
    assert len(PlanLoader.open(STORE, excluding, SMALL).pairs(0, 60)[0]) == 60


def test_whole_sources_of_a_store(store: Path) -> None:
    readers = read_manifest(STORE).open()
    assert readers["web"].read_all().tolist() == expected_tokens(0, 0, 3778).tolist()
    assert readers["books"].read(1490, 1500).tolist() == expected_tokens(1, 1490, 10).tolist()


@given(st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 1999)), min_size=1, max_size=40))
def test_any_ranges_in_any_order_within_the_bounds(ranges: list[tuple[int, int]]) -> None:
    data = np.random.default_rng(3).integers(0, 256, 2000, dtype=np.uint8)
    fsspec.filesystem("memory").pipe_file("/cache/a.bin", data.tobytes())
    cache = BlockCache(RunFolder("memory://cache"), CacheSettings(max_bytes=320, block_bytes=64))
    for first, second in ranges:
        start, stop = sorted((first, second))
        found = cache.read(FileRange("a.bin", 2000, start, stop))
        assert found.tolist() == data[start:stop].tolist()
        assert len(cache._slots) <= 5


def test_what_was_read_lately_is_not_fetched_again(store: Path) -> None:
    cache = BlockCache(RunFolder(STORE), SMALL)
    name = "tokens/web/all/00000.bin"
    blocks = [FileRange(name, 6000, 256 * n, 256 * n + 2) for n in range(9)]
    cache.fetch(blocks[:8], keep=False)
    assert cache.num_fetched == 8
    cache.read(blocks[0])
    cache.read(blocks[8])  # takes the place of block 1
    cache.read(blocks[0])
    assert cache.num_fetched == 9
    cache.read(blocks[1])
    assert cache.num_fetched == 10


def test_a_batch_asks_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(read_manifest(STORE), Mixture(tokens=128 * 20, sequence_length=128))
    loader = PlanLoader.open(STORE, plan)
    assert loader.cache is not None
    asked: list[int] = []
    ask = loader.cache._ask

    def counted(blocks: list[Any], sizes: Any) -> Any:
        asked.append(len(blocks))
        return ask(blocks, sizes)

    monkeypatch.setattr(loader.cache, "_ask", counted)
    loader.pairs(0, 16)
    assert len(asked) == 1


def test_a_store_that_fails_for_a_moment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpusmill.mixtures.block_cache.FIRST_WAIT_S", 0.001)
    cache = BlockCache(RunFolder(STORE), SMALL)
    wanted = FileRange("tokens/web/all/00000.bin", 6000, 0, 600)
    ask, failures = cache._ask, [2, 1]

    def flaky(blocks: list[Any], sizes: Any) -> Any:
        answers = ask(blocks, sizes)
        for block in list(answers)[: failures.pop(0) if failures else 0]:
            answers[block] = OSError("connection reset")
        return answers

    monkeypatch.setattr(cache, "_ask", flaky)
    assert cache.read(wanted).view("<u2").tolist() == expected_tokens(0, 0, 300).tolist()
    monkeypatch.setattr(cache, "_ask", lambda blocks, sizes: dict.fromkeys(blocks, OSError("down")))
    with pytest.raises(CorpusmillError, match=r"00000.bin: block 4 cannot be read after 4 tries: OSError\('down'\)"):
        cache.read(FileRange("tokens/web/all/00000.bin", 6000, 1200, 1210))


def test_damaged_files_are_named(store: Path) -> None:
    files = fsspec.filesystem("memory")
    plan = make_plan(read_manifest(STORE), Mixture(tokens=128 * 20, sequence_length=128, weights={"books": 1}))
    files.pipe_file("/bucket/run/tokens/books/all/00000.bin", b"short")
    with pytest.raises(DamagedFileError, match=r"00000.bin: block 0 has \d+ bytes, the manifest says"):
        PlanLoader.open(STORE, plan).pairs(0, 16)
    files.rm("/bucket/run/tokens/books/all/00000.bin")
    with pytest.raises(DamagedFileError, match=r"00000.bin is missing"):
        PlanLoader.open(STORE, plan).pairs(0, 16)


def test_threads_share_a_cache(store: Path) -> None:
    cache = BlockCache(RunFolder(STORE), SMALL)
    whole = (store / "tokens/web/all/00000.bin").read_bytes()

    def read(seed: int) -> bool:
        starts = np.random.default_rng(seed).integers(0, 5000, 200).tolist()
        wanted = [FileRange("tokens/web/all/00000.bin", 6000, start, start + 700) for start in starts]
        return all(cache.read(each).tobytes() == whole[each.start : each.stop] for each in wanted)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(8)))


def _read_in_child(cache: BlockCache, queue: Any) -> None:
    queue.put(cache.read(FileRange("tokens/web/all/00000.bin", 6000, 0, 4)).tolist())


def test_a_forked_process_begins_its_own(store: Path) -> None:
    cache = BlockCache(RunFolder(STORE), SMALL)
    mine = cache.read(FileRange("tokens/web/all/00000.bin", 6000, 0, 4)).tolist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(cache, queue))
    child.start()
    assert queue.get(timeout=60) == mine
    child.join()


@pytest.mark.parametrize("values", [{"block_bytes": 0}, {"max_bytes": 10, "block_bytes": 20}])
def test_settings_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be above 0 and at most max_bytes"):
        CacheSettings(**values)
