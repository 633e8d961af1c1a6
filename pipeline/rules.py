"""Rules: which documents go, decided from measured columns alone, by one DuckDB query per batch.

DuckDB runs with external access off and its configuration locked. A rule whose value is NULL does not fire; it is
counted as not measured. NaN is treated as NULL, since it would pass every `>`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import nulls, one_chunk, take
from corpusmill.pipeline.document import Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.language_codes import language_code
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


def _predicate_sql(rule: Rule, index: int) -> str:
    """Whether the rule fires; NULL where its value is not measured."""
    if rule.when is not None:
        return f"TRY(({rule.when}))"  # what overflows is NULL
    value = quoted(rule.value[0])
    if len(rule.value) == 2:
        numerator, denominator = (f"CAST({quoted(name)} AS DOUBLE)" for name in rule.value)
        value = f"{numerator} / nullif({denominator}, 0)"
    if rule.by_language:
        limit = quoted(_limit_name(index))
        return f"CASE WHEN {limit} IS NULL THEN false ELSE CAST({value} AS DOUBLE) {rule.op} {limit} END"
    if rule.limit is None:
        return "false"
    if isinstance(rule.limit, tuple):
        return f"({value} {rule.op} ({', '.join(_literal(item) for item in rule.limit)}))"
    if isinstance(rule.limit, str):
        return f"({value} {rule.op} {_literal(rule.limit)})"
    return f"(CAST({value} AS DOUBLE) {rule.op} {_literal(rule.limit)})"


def _limit_name(index: int) -> str:
    """The column that holds each row's limit of a rule with limits by language."""
    return f"limit of rule {index}"


def _limits_by_language(rule: Rule, lang: Column) -> Column:
    """float64 [rows]: the rule's limit for each row's language, null where it is off."""
    default = float(rule.limit) if isinstance(rule.limit, int | float) else None
    limits = dict(rule.by_language)
    encoded: Any = lang.cast(pa.string()).dictionary_encode()
    codes = [language_code(name) or "" for name in encoded.dictionary.to_pylist()]
    known = pa.array([limits.get(code, default) for code in codes] + [default], pa.float64())
    return known.take(cast("Any", pc).fill_null(encoded.indices, len(codes)))


def _values_of(rule: Rule, measured: pa.Table, rows: npt.NDArray[Any]) -> list[Any]:
    """What the rule compared in these rows; for a free expression, the first column that it reads."""
    names = rule.value if rule.when is None else rule.columns[:1]
    if not names:
        return [None] * len(rows)
    values, *divisors = (take(one_chunk(measured, name), rows).to_pylist() for name in names)
    if not divisors:
        return values
    return [
        float(cast("float", value)) / cast("float", by) if by else None
        for value, by in zip(values, divisors[0], strict=True)
    ]


def defined(column: Column) -> Column:
    """The column with NaN as null, and 64 bits for its whole numbers: products of counts overflow 32."""
    if pa.types.is_signed_integer(column.type):
        return column.cast(pa.int64())
    if not pa.types.is_floating(column.type):
        return column
    return cast("Column", pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column))


def evaluate(rules: Sequence[Rule], table: pa.Table | pa.RecordBatch) -> Verdicts:
    """Apply rules to the rows of a table that has every column they need. Order of rules decides which is first.

    Raises RequestError for an expression that does not fit the types of its columns, also where there are no rows.
    """
    num_rows = table.num_rows
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    needed = sorted({name for rule in rules for name in rule.needs()})
    columns = {name: defined(one_chunk(table, name)) for name in needed} or {"none": nulls(num_rows, pa.int8())}
    for index, rule in enumerate(rules):
        if rule.by_language:
            columns[_limit_name(index)] = _limits_by_language(rule, columns["lang"])
    measured = pa.table(columns)
    parts = [f"{_predicate_sql(rule, index)} AS p{index}" for index, rule in enumerate(rules)]
    connection = _connection()
    connection.register("measured", measured)
    try:
        result = connection.execute(f"SELECT {', '.join(parts)} FROM measured").fetchnumpy()
    except duckdb.Error as error:
        raise RequestError(f"{', '.join(rule.name for rule in rules)}: {str(error).splitlines()[0]}") from error
    finally:
        connection.unregister("measured")
    first = np.full(num_rows, -1, dtype=np.int32)
    bits = np.zeros((num_rows, (len(rules) + 7) // 8), dtype=np.uint8)
    not_measured: Counter[str] = Counter()
    for index, rule in enumerate(rules):
        predicate = np.ma.asarray(result[f"p{index}"])
        if predicate.dtype != np.bool_:
            raise RequestError(f"{rule.name}: {rule.when!r} is neither true nor false. Compare it: toxicity > 0.8.")
        unknown = int(np.ma.getmaskarray(predicate).sum())
        if unknown:
            not_measured[rule.name] += unknown
        fires = predicate.filled(False).astype(np.bool_)
        bits[:, index // 8] |= (fires << (index % 8)).astype(np.uint8)
        first[fires & (first < 0)] = index
    values: list[str | None] = [None] * num_rows
    limits: list[str | None] = [None] * num_rows
    for index, rule in enumerate(rules):
        rows = np.flatnonzero(first == index)
        if not len(rows):
            continue
        at = [rule.when if rule.when is not None else rule.limit] * len(rows)
        if rule.by_language:
            at = take(one_chunk(measured, _limit_name(index)), rows).to_pylist()
        as_json = {limit: json.dumps(limit, ensure_ascii=False) for limit in at}
        for row, value, limit in zip(rows.tolist(), _values_of(rule, measured, rows), at, strict=True):
            values[row], limits[row] = json.dumps(value, ensure_ascii=False, default=str), as_json[limit]
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
