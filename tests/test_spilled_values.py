import pyarrow as pa
from gather_rounds import InMemory

from corpusmill.stages.gather.decisions import schema_of
from corpusmill.stages.gather.spilled_values import spilled_values

SCHEMA = schema_of(key=pa.uint64(), name=pa.string(), sets=pa.large_list(pa.uint32()))


def test_rows_and_sets_come_back_in_one_order() -> None:
    lists = [list(range(i, i + i % 4)) for i in range(20)]
    table = pa.table({"key": range(20), "name": [str(i) for i in range(20)], "sets": lists}, schema=SCHEMA)
    with spilled_values(InMemory(table), SCHEMA, "sets") as (rows, values, bounds):
        assert rows.column_names == ["key", "name"]
        found = {line["key"]: values[bounds[at] : bounds[at + 1]].tolist() for at, line in enumerate(rows.to_pylist())}
    assert found == dict(enumerate(lists))


def test_nothing_and_empty_sets() -> None:
    with spilled_values(None, SCHEMA, "sets") as (rows, values, bounds):
        assert (rows.num_rows, values.tolist(), bounds.tolist()) == (0, [], [0])
    empty = pa.table({"key": [1], "name": ["a"], "sets": [[]]}, schema=SCHEMA)
    with spilled_values(InMemory(empty), SCHEMA, "sets") as (rows, values, bounds):
        assert (rows.num_rows, values.tolist(), bounds.tolist()) == (1, [], [0, 0])
