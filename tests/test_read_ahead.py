"""Rows asked from the disk ahead: only while the disk is read, all that is read, and nothing else changes."""

import mmap
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_shards import write_shards

from corpusmill.mixtures.batches import BatchStream
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.read_ahead import DiskWatch, will_need
from corpusmill.mixtures.sources import map_tokens, read_manifest


def test_the_disk_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = iter([10, 10, 10, 12, 12, 12])
    usage = type("Usage", (), {"ru_inblock": property(lambda self: next(blocks))})
    monkeypatch.setattr("resource.getrusage", lambda who: usage())
    watch, seen = DiskWatch(), []
    for _ in range(3):
        with watch.batch():
            pass
        seen.append(watch.reads_disk)
    assert seen == [False, True, False]


@pytest.mark.parametrize("packing", ["none", "best-fit"])
def test_what_is_asked_is_what_is_read(tmp_path: Path, packing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path, {"web": [3000, 1, 900], "books": [777]})
    mixture = Mixture(tokens=128 * 40, sequence_length=128, packing=packing)
    plan = make_plan(read_manifest(tmp_path), mixture)
    straight = [batch.inputs for batch in BatchStream(PlanLoader.open(tmp_path, plan), 4, num_threads=0)]
    for source in range(2):
        loader = PlanLoader.open(tmp_path, plan)
        rows = loader.sources[source]
        asked: Counter[tuple[int, int]] = Counter()
        read: Counter[tuple[int, int]] = Counter()
        early: list[bool] = []
        reading = rows.reader.read

        def ask(start: int, stop: int, asked: Counter[tuple[int, int]] = asked) -> None:
            asked[start, stop] += 1

        def watch(
            start: int, stop: int, asked: Any = asked, read: Any = read, early: Any = early, of: Any = reading
        ) -> Any:
            read[start, stop] += 1
            early.append(asked[start, stop] >= read[start, stop])
            return of(start, stop)

        monkeypatch.setattr(rows.reader, "will_need", ask)
        monkeypatch.setattr(rows.reader, "read", watch)
        monkeypatch.setattr(DiskWatch, "batch", lambda self: nullcontext())  # stays as it is
        loader._disk.reads_disk = True
        again = [batch.inputs for batch in BatchStream(loader, 4, num_threads=0)]
        assert all((a == b).all() for a, b in zip(again, straight, strict=True))
        assert early
        assert all(early)
        assert asked == read  # each once, and nothing else


def test_a_mapped_file_is_asked_by_whole_pages(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [30_000]})
    manifest = read_manifest(tmp_path)
    tokens = map_tokens(manifest.run, manifest.sources["web"].shards[0], manifest.dtype)
    assert isinstance(tokens.base.obj, mmap.mmap)  # type: ignore[union-attr]  # a memoryview
    for start, stop in ((0, 1), (5000, 9000), (29_999, 30_000), (7, 7)):
        will_need(tokens, start, stop)
    will_need(np.zeros(10, dtype=np.uint16), 0, 10)
    assert tokens[5000] == 5000 * 7 % 50_021
