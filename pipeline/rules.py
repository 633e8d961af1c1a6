"""Rules: which documents go, decided from measured columns alone, by one DuckDB query per batch.

DuckDB runs with external access off and its configuration locked. A rule whose value is NULL does not fire; it is
counted as not measured. NaN is treated as NULL, since it would pass every `>`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import flags, one_chunk, take
from corpusmill.pipeline.document import Column
from corpusmill.pipeline.stage import Rule


@dataclass(frozen=True)
class Verdicts:
    """What the rules said of each row of a table."""

    first: npt.NDArray[np.int32]  # index of the first rule that fired, -1 where none did
    value: Column  # string: the measured value as JSON, null where no rule fired
    threshold: Column  # string: the limit as JSON
    fired: Column  # fixed-size binary: bit i of byte i // 8 is rule i
    not_measured: Counter[str]  # rule name -> rows whose value was NULL


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    """This process's DuckDB: one thread, no files, no network, no change of settings."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET threads = 1")
    connection.execute("SET ieee_floating_point_ops = false")  # x / 0 is not NaN or infinity,
    connection.execute("SET error_on_division_by_zero = false")  # and not an error: it is NULL
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _literal(value: float | str) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"CAST({value!r} AS DOUBLE)"


def _value_sql(rule: Rule) -> str:
    """The rule's value; for a free expression, the first column that it reads."""
    if rule.when is not None:
        return quoted(rule.columns[0]) if rule.columns else "NULL"
    if len(rule.value) == 2:
        numerator, denominator = (f"CAST({quoted(name)} AS DOUBLE)" for name in rule.value)
        return f"{numerator} / nullif({denominator}, 0)"
    return quoted(rule.value[0])


def _predicate_sql(rule: Rule) -> str:
    if rule.when is not None:
        return f"TRY(({rule.when}))"  # what overflows is NULL
    value = _value_sql(rule)
    if isinstance(rule.limit, tuple):
        return f"({value} {rule.op} ({', '.join(_literal(item) for item in rule.limit)}))"
    if isinstance(rule.limit, str):
        return f"({value} {rule.op} {_literal(rule.limit)})"
    return f"(CAST({value} AS DOUBLE) {rule.op} {_literal(rule.limit)})"


def defined(column: Column) -> Column:
    """The column with NaN as null, and 64 bits for its whole numbers: products of counts overflow 32."""
    if pa.types.is_signed_integer(column.type):
        return column.cast(pa.int64())
    if not pa.types.is_floating(column.type):
        return column
    return cast("Column", pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column))


def evaluate(rules: Sequence[Rule], table: pa.Table | pa.RecordBatch) -> Verdicts:
    """Apply rules to the rows of a table that has every column they need. Order of rules decides which is first."""
    num_rows = table.num_rows
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    needed = sorted({name for rule in rules for name in rule.needs()})
    parts = [f"{_predicate_sql(rule)} AS p{i}, {_value_sql(rule)} AS v{i}" for i, rule in enumerate(rules)]
    connection = _connection()
    measured = pa.table({name: defined(one_chunk(table, name)) for name in needed} or {"none": pa.nulls(num_rows)})
    connection.register("measured", measured)
    try:
        result = cast("pa.Table", connection.sql(f"SELECT {', '.join(parts)} FROM measured").to_arrow_table())
    finally:
        connection.unregister("measured")
    first = np.full(num_rows, -1, dtype=np.int32)
    bits = np.zeros((num_rows, (len(rules) + 7) // 8), dtype=np.uint8)
    not_measured: Counter[str] = Counter()
    for index, rule in enumerate(rules):
        predicate = one_chunk(result, f"p{index}")
        if predicate.null_count:
            not_measured[rule.name] += predicate.null_count
        fires = flags(predicate, null=False)
        bits[:, index // 8] |= (fires << (index % 8)).astype(np.uint8)
        first[fires & (first < 0)] = index
    values: list[str | None] = [None] * num_rows
    limits: list[str | None] = [None] * num_rows
    for index, rule in enumerate(rules):
        rows = np.flatnonzero(first == index)
        if len(rows):
            limit = json.dumps(rule.when if rule.when is not None else rule.limit, ensure_ascii=False)
            for row, value in zip(rows, take(one_chunk(result, f"v{index}"), rows).to_pylist(), strict=True):
                values[row], limits[row] = json.dumps(value, ensure_ascii=False, default=str), limit
    width = bits.shape[1]
    fired = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(max(width, 1)), num_rows, [None, pa.py_buffer(bits.tobytes())]
    )
    return Verdicts(
        first,
        pa.array(values, type=pa.string()),
        pa.array(limits, type=pa.string()),
        cast("Column", fired),
        not_measured,
    )
