import numpy as np
import pyarrow as pa
import pytest
from gather_rounds import documents

from corpusmill.pipeline.columns import take_rows
from corpusmill.stages.gather.keep_policy import ORDER, Keep, KeepSettings, best_first, group_bounds


@pytest.mark.parametrize(
    ("keep", "by", "prefer", "expected"),
    [
        ("first", None, (), "abcd"),
        ("longest", None, (), "bcad"),  # c and b are equally long: by id
        ("shortest", None, (), "dabc"),
        ("highest", "score", (), "cabd"),  # null last
        ("lowest", "score", (), "acbd"),
        ("first", None, ("wiki", "books"), "dbac"),
        ("longest", None, ("web",), "cabd"),
    ],
)
def test_order(keep: Keep, by: str | None, prefer: tuple[str, ...], expected: str) -> None:
    batch = documents(
        ["xx", "xxx", "xxx", "x"],
        ids=list("abcd"),
        sources=["web", "books", "web", "wiki"],
        score=pa.array([1.0, None, 2.0, None]),
    )
    rows = pa.table(KeepSettings(keep=keep, by=by, prefer_sources=tuple(prefer)).order_columns(batch), schema=ORDER)
    for order in (np.arange(4), np.array([3, 1, 0, 2])):
        shuffled = take_rows(rows, order).append_column("key", pa.array([0] * 4, pa.uint64()))
        ids = shuffled.column("id").to_pylist()
        assert "".join(str(ids[i]) for i in best_first(shuffled, ("key",))) == expected


def test_repeated_ids_are_told_apart_by_row() -> None:
    batch = documents(["x", "x"], ids=["a", "a"], first_row=5)
    rows = pa.table(KeepSettings(keep="first").order_columns(batch), schema=ORDER)
    assert best_first(take_rows(rows, np.array([1, 0])), ()).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("columns", "bounds"),
    [
        (([],), [0]),
        (([7],), [0, 1]),
        (([1, 1, 2],), [0, 2, 3]),
        (([1, 1, 1], [4, 5, 5]), [0, 1, 3]),
        (([1, 2, 2], [4, 4, 4]), [0, 1, 3]),
    ],
)
def test_group_bounds(columns: tuple[list[int], ...], bounds: list[int]) -> None:
    assert group_bounds(*(np.array(column, dtype=np.uint64) for column in columns)).tolist() == bounds
