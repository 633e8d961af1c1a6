"""How texts become the lines that fastText reads, in scripts with and without blanks between words."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import Column
from corpusmill.stages.measure.prepared_text import PREPARATIONS, joined_lines, one_line, words

WORDS = [
    ("", ""),
    ("  \n\t", ""),
    ("Hello, World!", "hello , world !"),
    ("don't", "don ' t"),
    ("你好世界", "你 好 世 界"),
    ("日本語のテキスト", "日 本 語 の テ キ ス ト"),
    ("한국어 텍스트", "한국어 텍스트"),
    ("يولد جميع", "يولد جميع"),
    ("नमस्ते दुनिया", "नमस्ते दुनिया"),
    ("ＡＢＣ１２３", "abc123"),  # full width
    ("see https://example.com/a?b=c now", "see now"),
    ("@user hi RT @other_one", "hi rt"),
    ("a\nb\u2028c", "a b c"),
    ("ÄÖÜ ẞ", "äöü ß"),
    ("so 😀😀", "so 😀 😀"),
]


def column(texts: list[str | None]) -> Column:
    return pa.array(texts, type=pa.large_string())


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_words(text: str, expected: str) -> None:
    assert words(column([text, None])).to_pylist() == [expected, ""]


def test_thai_and_khmer_characters_stand_alone() -> None:
    (line,) = words(column(["กขค ក"])).to_pylist()
    assert line == "ก ข ค ក"


def test_one_line_changes_line_feeds_alone() -> None:
    assert one_line(column([" A b\nC,\n\nd ", "", None])).to_pylist() == ["A b C,  d", "", None]


@given(st.text(max_size=40))
def test_a_line_has_no_line_feed_and_preparing_again_changes_nothing_in_words(text: str) -> None:
    for prepare in PREPARATIONS.values():
        (line,) = prepare(column([text])).to_pylist()
        assert line is not None
        assert "\n" not in line
        assert line == line.strip(" ")


@given(st.text(alphabet="ab \t\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\u3000中", max_size=12))
def test_joined_lines_are_pythons(text: str) -> None:
    column = joined_lines(pa.array([text, None], type=pa.large_string()))
    assert column.to_pylist() == [" ".join(text.strip().splitlines()), None]
