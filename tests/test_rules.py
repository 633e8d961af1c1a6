"""Rules over measured columns: both sides of a limit, NULL, NaN, division, and a reference in plain Python."""

import json
import math
import operator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Rule


def fired(rule: Rule, **columns: Any) -> list[bool]:
    return [bool(index >= 0) for index in evaluate([rule], pa.table(columns)).first]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("<", [True, False, False]),
        ("<=", [True, True, False]),
        (">", [False, False, True]),
        (">=", [False, True, True]),
    ],
)
def test_both_sides_of_a_limit(op: Any, expected: list[bool]) -> None:
    assert fired(Rule("r", ("x",), op, 0.15), x=pa.array([0.14999999999999997, 0.15, 0.15000000000000002])) == expected


def test_ratio_is_divided_in_float64_and_exact_at_limits() -> None:
    # 3/20 is 0.15 in float64, not in float32
    columns = {"a": pa.array([3, 3, 4], pa.int32()), "b": pa.array([20, 19, 0], pa.int64())}
    assert fired(Rule("r", ("a", "b"), ">", 0.15), **columns) == [False, True, False]


def test_null_and_nan_never_fire_and_are_counted() -> None:
    table = pa.table({"x": pa.array([None, math.nan, 1.0], pa.float32())})
    verdicts = evaluate([Rule("r", ("x",), ">", 0.5)], table)
    assert verdicts.first.tolist() == [-1, -1, 0]
    assert verdicts.not_measured == {"r": 2}


def test_texts_and_lists_of_texts() -> None:
    lang = pa.array(["en", "it's", None])
    assert fired(Rule("r", ("lang",), "not in", ("en", "zh")), lang=lang) == [False, True, False]
    assert fired(Rule("r", ("lang",), "=", "it's"), lang=lang) == [False, True, False]


def test_first_rule_names_the_drop_and_every_rule_has_a_bit() -> None:
    rules = [Rule(f"r{i}", ("x",), ">", float(i)) for i in range(10)]
    verdicts = evaluate(rules, pa.table({"x": [0.5, 9.5, -1.0]}))
    assert verdicts.first.tolist() == [0, 0, -1]
    assert [value.as_py().hex() for value in verdicts.fired] == ["0100", "ff03", "0000"]
    assert json.loads(verdicts.value[1].as_py()) == 9.5
    assert json.loads(verdicts.threshold[1].as_py()) == 0.0
    assert verdicts.value[2].as_py() is None


def test_no_rows_and_awkward_names() -> None:
    table = pa.table({'a "quoted" name': pa.array([], pa.float64())})
    assert len(evaluate([Rule("r", ('a "quoted" name',), ">", 0.0)], table).first) == 0


OPS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.one_of(st.none(), st.integers(-3, 3))), max_size=30),
    st.sampled_from(sorted(OPS)),
    st.floats(-3, 3),
)
def test_equals_plain_python(rows: list[tuple[int, int | None]], op: Any, limit: float) -> None:
    expected = [b is not None and b != 0 and OPS[op](a / b, limit) for a, b in rows]
    a, b = pa.array([row[0] for row in rows], pa.int64()), pa.array([row[1] for row in rows], pa.int64())
    assert fired(Rule("r", ("a", "b"), op, limit), a=a, b=b) == expected


def test_limits_by_language() -> None:
    rule = Rule("r", ("x",), ">", 5, by_language=(("zh", 2.0), ("th", None)))
    table = pa.table({"x": [3, 3, 3, 9, 9, 9, 9, None], "lang": ["en", "zh-Hant", "th", "th", "en", None, "ja", "th"]})
    verdicts = evaluate([rule], table)
    assert verdicts.first.tolist() == [-1, 0, -1, -1, 0, 0, 0, -1]
    assert [text.as_py() for text in verdicts.threshold] == [None, "2.0", None, None, "5.0", "5.0", "5.0", None]
    assert verdicts.not_measured == {}  # where a rule is off nothing is missing
    alone = Rule("r", ("x",), ">", None, by_language=(("zh", 2.0),))
    assert evaluate([alone], table).first.tolist() == [-1, 0, *[-1] * 6]
    assert alone.needs() == ("x", "lang")
