"""Decision tables of gathers: one line for every row that reached it, most of them "keep"."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import integers, nulls, one_chunk, take
from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import DECISION_SCHEMA


def schema_of(**columns: pa.DataType) -> pa.Schema:
    """A schema of these columns, in this order."""
    return pa.schema(list(columns.items()))


def rows_of(rows: Mapping[str, pa.Table], name: str, schema: pa.Schema) -> pa.Table:
    """The rows of an earlier round; none where that round had no unit at all."""
    return rows.get(name, schema.empty_table())


def part_rows(batches: Iterable[Batch]) -> npt.NDArray[np.uint64]:
    """The `row`s of a part's batches in order."""
    columns = [integers(batch.column("row"), np.uint64) for batch in batches]
    return np.concatenate(columns) if columns else np.zeros(0, dtype=np.uint64)


def decide(
    rows: npt.NDArray[np.uint64],
    found: pa.Table,
    *,
    dropped: npt.NDArray[np.bool_],
    rule: str | list[str],
    values: Iterable[object],
    threshold: object,
    columns: Mapping[str, object] | None = None,
) -> pa.Table:
    """DECISION_SCHEMA for `rows`, from `found`: facts (`key` = row, sorted) on some of them.

    `dropped`, `values` and, where they are lists, `rule` and `threshold` go with the rows of `found`; its `winner`,
    `group` and `cut` are taken where it has them. `columns` of `found` are added, with the given value for other rows.
    """
    at = np.searchsorted(rows, integers(one_chunk(found, "key"), np.uint64))
    places = np.full(len(rows), -1, dtype=np.int64)
    places[at] = np.arange(found.num_rows)
    drop = np.zeros(len(rows), dtype=np.bool_)
    drop[at] = dropped
    count = found.num_rows
    rules = rule if isinstance(rule, list) else [rule] * count
    limits = threshold if isinstance(threshold, list) else [threshold] * count

    def of_lost(facts: Iterable[object], write: Callable[[object], str]) -> Column:
        written = [write(fact) if lost else None for fact, lost in zip(facts, dropped, strict=True)]
        return take(pa.array(written, pa.string()), places)

    decision: dict[str, Any] = {
        "row": pa.array(rows, pa.uint64()),
        "keep": pa.array(~drop),
        "rule": of_lost(rules, str),
        "value": of_lost(values, to_json),
        "threshold": of_lost(limits, to_json),
    }
    for field in list(DECISION_SCHEMA)[len(decision) :]:
        known = field.name in found.column_names
        decision[field.name] = take(one_chunk(found, field.name), places) if known else nulls(len(rows), field.type)
    table = pa.table(decision, schema=DECISION_SCHEMA)
    for name, otherwise in (columns or {}).items():
        column = take(one_chunk(found, name), places)
        filled = column if otherwise is None else cast("Any", pc).fill_null(column, otherwise)
        table = table.append_column(name, filled)
    return table


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
