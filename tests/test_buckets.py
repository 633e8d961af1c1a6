"""Buckets: edges by hand, and a run cut by a measured column."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_run import manifest, token_run

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.buckets import buckets_of, folder_name, quantile_edges


@pytest.mark.parametrize(
    ("values", "num_buckets", "edges"),
    [
        ([], 4, []),
        ([5.0], 2, [5.0]),
        ([4, 1, 3, 2], 2, [3]),
        ([4, 1, 3, 2], 4, [2, 3, 4]),
        ([1, 1, 1, 9], 2, [1]),
        ([1, 2], 1, []),
    ],
)
def test_edges(values: list[float], num_buckets: int, edges: list[float]) -> None:
    assert quantile_edges(np.array(values, np.float64), num_buckets) == edges


def names(values: Sequence[float | None] | Sequence[str | None], edges: list[float]) -> list[str]:
    batch = pa.RecordBatch.from_pydict({"v": pa.array(values), "id": pa.array(["x"] * len(values))})
    found, index = buckets_of(batch, "v", edges)
    return [found[at] for at in index]


def test_a_value_at_an_edge_goes_up_and_no_value_is_none() -> None:
    assert names([0.9, 1.0, 1.1, 2.0, None], [1.0, 2.0]) == ["b0", "b1", "b1", "b2", "none"]
    assert names([7.0], []) == ["b0"]
    assert names([1.0], [float(i) for i in range(11)]) == ["b02"]


def test_text_values_are_buckets_with_safe_names() -> None:
    assert names(["en", None, "zh/hans", "val", "all"], []) == ["en", "none", "zh_hans", "val_", "all_"]
    assert folder_name("") == "none"


def test_an_unknown_column_is_refused() -> None:
    batch = pa.RecordBatch.from_pydict({"id": ["x"]})
    with pytest.raises(RequestError, match="no stage measures 'quality'"):
        bucket_names_checked(batch)


def bucket_names_checked(batch: pa.RecordBatch) -> object:
    from corpusmill.stages.tokens.buckets import is_text

    return is_text(batch, "quality")


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60, unique=True), st.integers(1, 7))
def test_buckets_of_distinct_values_are_equal_to_one_document(values: list[float], num_buckets: int) -> None:
    edges = quantile_edges(np.array(values), num_buckets)
    counts = [names(list(values), edges).count(f"b{index}") for index in range(num_buckets)]
    assert sum(counts) == len(values)
    assert max(counts) - min(counts) <= 1


def test_a_run_cut_by_bytes_has_equal_buckets_in_order_of_size() -> None:
    run = token_run(bucket_by="num_bytes", num_buckets=3)
    by_bucket: dict[str, list[int]] = {}
    for shard in manifest(run)["shards"]:
        if shard["source"] == "b":
            sizes = run.read_table(f"{shard['path']}.docs.parquet", ["num_bytes"]).column("num_bytes").to_pylist()
            by_bucket.setdefault(shard["bucket"], []).extend(map(int, sizes))  # type: ignore[arg-type]  # no nulls
    assert sorted(by_bucket) == ["b0", "b1", "b2", "val"]
    assert len(by_bucket["b0"]) == len(by_bucket["b1"]) == len(by_bucket["b2"]) == 36
    assert max(by_bucket["b0"]) <= min(by_bucket["b1"]) <= max(by_bucket["b1"]) <= min(by_bucket["b2"])
