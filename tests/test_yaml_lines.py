"""YAML 1.2 scalars (core schema, section 10.3.2), lines, and repeated keys."""

import math

import pytest

from corpusmill.pipeline.errors import RecipeError
from corpusmill.pipeline.yaml_lines import load_yaml, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),  # Norwegian, not false
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-12", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),  # decimal in 1.2, octal in 1.1
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),  # a number in 1.1
        ("2026-01-02", "2026-01-02"),
    ],
)
def test_plain_scalars(text: str, value: object) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_infinity() -> None:
    assert scalar("-.inf") == -math.inf


def test_quoted_scalars_stay_text_and_lines_are_known() -> None:
    value, lines = load_yaml("a: 'true'\nb:\n  - 1\n  - c: \"7\"\n", "r.yaml")
    assert value == {"a": "true", "b": [1, {"c": "7"}]}
    assert lines[("a",)] == 1
    assert lines[("b", 1)] == 4
    assert lines[("b", 1, "c")] == 4


def test_repeated_key_names_both_lines() -> None:
    with pytest.raises(RecipeError, match=r"r.yaml:3: a: given twice \(first in line 1\)"):
        load_yaml("a: 1\nb: 2\na: 3\n", "r.yaml")


def test_broken_yaml_names_its_line() -> None:
    with pytest.raises(RecipeError, match=r"r.yaml:3: not YAML"):
        load_yaml("a: 1\nb: [1, 2\n", "r.yaml")
