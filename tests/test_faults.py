"""Fault points count across threads and processes without losing one: the n-th is met once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from corpusmill.pipeline.faults import _reached


def test_points_met_at_once_are_counted_apart(tmp_path: Path) -> None:
    counter = str(tmp_path / "count")
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: _reached(counter), range(4000)))
    assert sorted(counts) == list(range(1, 4001))
