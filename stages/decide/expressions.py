"""Free rule expressions: SQL over measured columns, accepted only if it decides row by row.

DuckDB parses the text (`json_serialize_sql`), nothing is run. Accepted is one expression of columns, constants,
comparisons, and/or/not, in, between, is null, case, arithmetic and the functions of `FUNCTIONS`. All else is refused by
not being listed: a second statement, a sub-select, a window, an aggregate, random, the time of day, a cast, a setting.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from corpusmill.pipeline.errors import RequestError

OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "^", "||", "~~", "!~~", "~~*", "!~~*")
"""As DuckDB names them; the last four are LIKE, NOT LIKE, ILIKE, NOT ILIKE."""

FUNCTIONS = (
    *("abs", "ceil", "exp", "floor", "greatest", "isnan", "least", "ln", "log10", "log2", "pow", "power", "round"),
    *("sign", "sqrt", "nullif"),
    *("contains", "ends_with", "left", "length", "lower", "prefix", "regexp_full_match", "regexp_matches", "replace"),
    *("right", "split_part", "starts_with", "substring", "suffix", "trim", "upper"),
    *("len", "list_contains"),
)
"""Functions of one row's values that give the same result at any time."""

NODES = {
    "COLUMN_REF": ("COLUMN_REF",),
    "CONSTANT": ("VALUE_CONSTANT",),
    "CONJUNCTION": ("CONJUNCTION_AND", "CONJUNCTION_OR"),
    "COMPARISON": (
        *("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN"),
        *("COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO"),
        *("COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM"),
    ),
    "OPERATOR": (
        *("OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE"),
        *("COMPARE_IN", "COMPARE_NOT_IN"),
    ),
    "BETWEEN": ("COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN"),
    "CASE": ("CASE_EXPR",),
    "FUNCTION": ("FUNCTION",),
}
"""Class -> types of the parsed nodes that an expression may hold."""

NOT_COLUMNS = (
    *("rowid", "current_catalog", "current_date", "current_database", "current_role", "current_schema"),
    *("current_time", "current_timestamp", "current_user", "localtime", "localtimestamp", "session_user", "user"),
)
"""Names that DuckDB reads as something else where no column has them."""


@cache
def check_expression(sql: str) -> tuple[str, ...]:
    """The columns that the expression reads, sorted. Raises RequestError for what is not accepted."""
    if not sql.strip():
        raise RequestError('An expression is empty. Write one such as "toxicity > 0.8".')
    for mark in ("--", "/*", ";"):
        if mark in sql:
            raise RequestError(f"{sql!r}: '{mark}' is not allowed. Write one expression without comments.")
    columns: set[str] = set()
    for node in _walk(_parse(sql)):
        kind, kind_type = node["class"], node["type"]
        if kind_type not in NODES.get(kind, ()):
            raise RequestError(
                f"{sql!r}: {_name(node)} is not allowed. An expression may hold columns, constants, comparisons, and, "
                "or, not, in (a list), between, is null, case, arithmetic and row-wise functions."
            )
        if kind == "FUNCTION":
            _check_function(sql, node)
        if kind == "COLUMN_REF":
            columns.add(_column(sql, node))
    return tuple(sorted(columns))


def _parse(sql: str) -> dict[str, Any]:
    """The parsed expression, made sure to be the whole of a statement that reads nothing."""
    statement = f"SELECT ({sql}) AS expression"
    (serialized,) = _duckdb().execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    parsed = json.loads(serialized)
    if parsed["error"]:
        raise RequestError(f'{sql!r}: {parsed["error_message"]}. Write an SQL expression such as "toxicity > 0.8".')
    statements = parsed["statements"]
    select = statements[0]["node"]
    alone = (
        len(statements) == 1
        and select["type"] == "SELECT_NODE"
        and len(select["select_list"]) == 1
        and select["select_list"][0]["alias"] == "expression"
        and select["from_table"]["type"] == "EMPTY"
        and not any(
            select.get(clause) for clause in ("where_clause", "group_expressions", "having", "qualify", "sample")
        )
        and not select["modifiers"]
        and not select["cte_map"]["map"]
    )
    if not alone:
        raise RequestError(f"{sql!r}: this is more than one expression. Write what stands behind WHERE, and no more.")
    expression: dict[str, Any] = select["select_list"][0]
    return expression


@cache
def _duckdb() -> Any:
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every node of the parsed expression; all of a node's parts are walked, whatever they are called."""
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for part in value.values():
            yield from _walk(part)
    elif isinstance(value, list):
        for part in value:
            yield from _walk(part)


def _check_function(sql: str, node: dict[str, Any]) -> None:
    name = node["function_name"]
    listed = name in (OPERATORS if node["is_operator"] else FUNCTIONS)
    plain = not (node["schema"] or node["catalog"] or node["distinct"] or node["filter"] or node["export_state"])
    if not listed or not plain or node["order_bys"]["orders"]:
        raise RequestError(f"{sql!r}: the function '{name}' is not allowed. There is: {', '.join(FUNCTIONS)}.")


def _column(sql: str, node: dict[str, Any]) -> str:
    names = node["column_names"]
    if len(names) != 1 or names[0].lower() in NOT_COLUMNS:
        raise RequestError(f"{sql!r}: {'.'.join(names)} is not a measured column. Write the column's name alone.")
    name: str = names[0]
    return name


def _name(node: dict[str, Any]) -> str:
    """What a person calls a refused node."""
    names = {"SUBQUERY": "a sub-select", "WINDOW": "a window function", "STAR": "*", "CAST": "a cast"}
    return names.get(node["class"], f"{node['class'].lower()} {node['type']}")
