import pyarrow as pa
from gather_rounds import InMemory

from corpusmill.stages.gather.decisions import schema_of
from corpusmill.stages.gather.spilled_values import spilled_values

SCHEMA = schema_of(key=pa.uint64(), name=pa.string(), sets=pa.large_list(pa.uint32()))


def test_rows_and_sets_come_back_in_one_order() -> None:
    lists = [list(range(i, i + i % 4)) for i in range(20)]
    table = pa.table({"key": range(20), "name": [str(i) for i in range(20)], "sets": lists}, schema=SCHEMA)
    with spilled_values(InMemory(table), SCHEMA, ["sets"]) as (rows, spilled):
        assert rows.column_names == ["key", "name"]
        values, bounds = spilled.values["sets"], spilled.offsets["sets"]
        found = {line["key"]: values[bounds[at] : bounds[at + 1]].tolist() for at, line in enumerate(rows.to_pylist())}
    assert found == dict(enumerate(lists))


def test_numbers_and_bytes() -> None:
    schema = schema_of(key=pa.uint64(), place=pa.int32(), text=pa.large_binary())
    lines = [{"key": 2**64 - 1 - i, "place": -i, "text": b"ab" * (i % 5)} for i in range(30)]
    with spilled_values(InMemory(pa.Table.from_pylist(lines, schema)), schema, schema.names) as (rows, spilled):
        assert rows.num_columns == 0
        values, bounds = spilled.values["text"], spilled.offsets["text"]
        columns = spilled.values["key"].tolist(), spilled.values["place"].tolist()
        texts = [values[bounds[at] : bounds[at + 1]].tobytes() for at in range(30)]
    assert sorted(zip(*columns, texts, strict=True)) == sorted(tuple(line.values()) for line in lines)


def test_nothing_and_empty_sets() -> None:
    with spilled_values(None, SCHEMA, ["sets", "key"]) as (rows, spilled):
        assert (rows.num_rows, rows.column_names) == (0, ["name"])
        assert (spilled.values["sets"].tolist(), spilled.offsets["sets"].tolist()) == ([], [0])
        assert spilled.values["key"].tolist() == []
    empty = pa.table({"key": [1], "name": ["a"], "sets": [[]]}, schema=SCHEMA)
    with spilled_values(InMemory(empty), SCHEMA, ["sets"]) as (rows, spilled):
        assert (rows.num_rows, spilled.values["sets"].tolist(), spilled.offsets["sets"].tolist()) == (1, [], [0, 0])
