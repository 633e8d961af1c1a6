"""Expressions: what is read, what is refused, and what NULL and NaN do in a rule."""

import pyarrow as pa
import pytest

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Rule
from corpusmill.stages.decide.expressions import FUNCTIONS, OPERATORS, check_expression


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("toxicity > 0.8", ["toxicity"]),
        ("toxicity > 0.8 and lang = 'zh'", ["lang", "toxicity"]),
        ("not (a < 1 or b >= 2)", ["a", "b"]),
        ("lang in ('zh', 'ja') and lang not in ('ko')", ["lang"]),
        ("a between 1 and b", ["a", "b"]),
        ("a not between 1 and 2", ["a"]),
        ("a is null or b is not null", ["a", "b"]),
        ("a is distinct from b", ["a", "b"]),
        ("case when a > 1 then b else -c end > 3", ["a", "b", "c"]),
        ("(a + 1) * 2 / b - c % 3 > 0", ["a", "b", "c"]),
        ("lower(url) like '%.pdf' or starts_with(url, 'ftp')", ["url"]),
        ("regexp_matches(url, '^https?://[^/]*casino')", ["url"]),
        ("coalesce(a, 0) > greatest(b, 1)", ["a", "b"]),
        ('"words_digits" > 3', ["words_digits"]),
        ("true", []),
        ("quality = 'a;b'", None),  # refused: no semicolon anywhere
    ],
)
def test_columns_read(sql: str, columns: list[str] | None) -> None:
    if columns is None:
        with pytest.raises(RequestError, match="';' is not allowed"):
            check_expression(sql)
    else:
        assert list(check_expression(sql)) == columns


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("a > 1; drop table t", "';' is not allowed"),
        ("a > 1 -- and b", "'--' is not allowed"),
        ("a > 1 /* b */", "not allowed"),
        ("count(*) over () > 1", "a window function"),
        ("row_number() over (order by a) > 1", "a window function"),
        ("a > (select max(a) from measured)", "a sub-select"),
        ("exists (select 1)", "a sub-select"),
        ("a in (select 1)", "a sub-select"),
        ("sum(a) > 1", "the function 'sum'"),
        ("avg(a) filter (where b > 1) > 1", "the function 'avg'"),
        ("random() < 0.5", "the function 'random'"),
        ("uuid() = 'x'", "the function 'uuid'"),
        ("now() > b", "the function 'now'"),
        ("a > epoch(current_timestamp)", "not"),
        ("current_date > b", "current_date is not a measured column"),
        ("rowid < 10", "rowid is not a measured column"),
        ("getenv('HOME') = 'x'", "the function 'getenv'"),
        ("read_text('/etc/passwd') = 'x'", "the function 'read_text'"),
        ("nextval('s') > 1", "the function 'nextval'"),
        ("main.lower(a) = 'x'", "the function 'lower'"),
        ("measured.a > 1", "measured.a is not a measured column"),
        ("* > 1", "syntax error|not allowed"),
        ("columns('a.*') > 1", "not allowed"),
        ("list_transform([a], x -> x + 1)[1] > 1", "not allowed"),
        ("a::varchar = '1'", "a cast"),
        ("date '2020-01-01' > b", "a cast"),
        ("a > ?", "parameter"),
        ("a > $limit", "parameter"),
        ("a > 1) as expression, (b", "more than one expression"),
        ("a > 1) as other from (select 1", "more than one expression"),
        ("a > 1) from measured where (b", "syntax error"),
        ("a > 1) as expression order by (a", "syntax error"),
        ("a > 1) union select (b", "more than one expression"),
        ("a > ", "syntax error"),
        ("", "is empty"),
        ("a > 1, b > 2", "not allowed"),
    ],
)
def test_refused(sql: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_expression(sql)


def test_the_lists_name_what_duckdb_has() -> None:
    import duckdb

    rows = duckdb.execute("SELECT function_name, function_type FROM duckdb_functions()").fetchall()
    kinds: dict[str, set[str]] = {}
    for name, kind in rows:
        kinds.setdefault(name, set()).add(kind)
    for name in FUNCTIONS:
        assert kinds.get(name, {"macro"}) <= {"scalar", "macro"}, name
    assert all(kinds[name] == {"scalar"} for name in OPERATORS if name in kinds)


def test_null_does_not_fire_and_is_counted() -> None:
    table = pa.table({"a": pa.array([1.0, 3.0, None]), "b": pa.array([1, None, None], type=pa.int32())})
    rule = Rule("too_much", when="a > 2", columns=check_expression("a > 2"))
    verdicts = evaluate([rule], table)
    assert verdicts.first.tolist() == [-1, 0, -1]
    assert verdicts.not_measured == {"too_much": 1}
    either = "a > 2 or b is null"
    assert evaluate([Rule("r", when=either, columns=check_expression(either))], table).first.tolist() == [-1, 0, 0]


@pytest.mark.parametrize(
    ("sql", "fires"),
    [
        ("zero / zero > 0.5", False),  # IEEE division would give NaN, and NaN is above everything
        ("not (one / zero < 0.5)", False),
        ("score > 0.5", False),  # NaN in a measured column is NULL
        ("not score > 0.5", False),
        ("one / zero is null", True),
        ("big * big > 0", False),  # more than 64 bits: not measured
        ("one + one > 1", True),
    ],
)
def test_undefined_values_never_fire(sql: str, fires: bool) -> None:
    table = pa.table(
        {
            "zero": pa.array([0], pa.int32()),
            "one": pa.array([1], pa.int32()),
            "big": pa.array([1 << 62], pa.int64()),
            "score": pa.array([float("nan")], pa.float32()),
        }
    )
    verdicts = evaluate([Rule("r", when=sql, columns=check_expression(sql))], table)
    assert verdicts.first.tolist() == [0 if fires else -1]
    assert verdicts.not_measured == ({} if fires else {"r": 1})
