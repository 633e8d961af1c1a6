import numpy as np
import pyarrow as pa
from gather_rounds import documents

from corpusmill.pipeline.stage import DECISION_SCHEMA
from corpusmill.stages.gather.decisions import decide, part_rows, rows_of, schema_of


def test_a_line_for_every_row() -> None:
    found = pa.table(
        {
            "key": pa.array([6, 9], pa.uint64()),
            "winner": pa.array([9, None], pa.uint64()),
            "group": pa.array([1, 1], pa.uint64()),
            "size": [2, 2],
        }
    )
    table = decide(
        np.array([5, 6, 9], dtype=np.uint64),
        found,
        dropped=np.array([True, False]),
        rule="x.copy",
        values=["ä", "b"],
        threshold=0.5,
        columns={"size": 1},
    )
    assert table.schema.names == [*DECISION_SCHEMA.names, "size"]
    rows = [list(line.values()) for line in table.to_pylist()]
    assert rows == [
        [5, True, None, None, None, None, None, None, None, 1],
        [6, False, "x.copy", '"ä"', "0.5", 9, None, 1, None, 2],
        [9, True, None, None, None, None, None, 1, None, 2],
    ]


def test_nothing_found_and_no_rows() -> None:
    schema = schema_of(key=pa.uint64(), winner=pa.uint64())
    none = np.zeros(0, dtype=np.bool_)
    for rows in ([], [3, 4]):
        numbers = np.array(rows, dtype=np.uint64)
        table = decide(numbers, schema.empty_table(), dropped=none, rule="x", values=[], threshold=1)
        assert table.column("keep").to_pylist() == [True] * len(rows)


def test_rows_of_a_part() -> None:
    batches = [documents(["a", "b"]), documents([], first_row=2), documents(["c"], first_row=2)]
    assert part_rows(batches).tolist() == [0, 1, 2]
    assert part_rows([]).tolist() == []
    schema = schema_of(key=pa.uint64())
    assert rows_of({}, "x", schema).num_rows == 0
    assert rows_of({"x": pa.table({"key": [1]})}, "x", schema).num_rows == 1
