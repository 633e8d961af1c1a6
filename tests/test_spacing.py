"""space_words against a plain-Python reference over the same classes, and against words counted by hand."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.stages.kernels.characters import EXTEND, SINGLE, SKIP, SPACE, WORD, character_classes
from corpusmill.stages.kernels.spacing import space_words

SPACED = [
    ("", ""),
    (" \u3000\n", ""),
    ("a", "a"),
    ("  two  words ", "two words"),
    ("e-mail: x@y.z", "e - mail : x @ y . z"),
    ("你好, world你", "你 好 , world 你"),
    ("한국어 텍스트", "한국어 텍스트"),
    ("क्या है", "क्या है"),
    ("ที่นี่", "ที่ นี่"),
    ("cafe\u0301s", "cafe\u0301s"),
    ("a\u200bb\x00c", "a\u200bb c"),
    ("\u0301x", "\u0301 x"),
    ("🙂🙂", "🙂 🙂"),
    ("snake_case 3.14", "snake_case 3 . 14"),
]


def reference(text: str) -> str:
    words: list[str] = []
    joins = marks = False
    for character in text:
        kind = int(character_classes()[ord(character)])
        if (joins and kind & WORD) or (marks and kind & EXTEND):
            words[-1] += character
        elif kind & (SPACE | SKIP):
            joins = marks = False
        else:
            words.append(character)
            joins, marks = bool(kind & WORD), bool(kind & (WORD | SINGLE))
    return " ".join(words)


@pytest.mark.parametrize(("text", "expected"), SPACED)
def test_words_by_hand(text: str, expected: str) -> None:
    assert space_words(pa.array([text], type=pa.large_string())).to_pylist() == [expected]
    assert reference(text) == expected


@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=5), st.integers(0, 5))
def test_equals_the_reference_for_slices_too(texts: list[str | None], start: int) -> None:
    column = pa.array(texts, type=pa.large_string()).slice(start)
    assert space_words(column).to_pylist() == [reference(text or "") for text in texts[start:]]


LAYOUTS = [
    ("", ""),
    ("\n \n", ""),
    ("Home 12", "Home 0 xlinetn"),
    (
        "It ends.\n\n  It goes on and on, with more words \n",
        "It ends . xlinetp It goes on and on , with more words xlinesn",
    ),
    ("a" * 14, "a" * 14 + " xlinetn"),
    ("a" * 15, "a" * 15 + " xlinesn"),
    ("a" * 40, "a" * 40 + " xlinemn"),
    ("a" * 100 + "。", "a" * 100 + " 。 xlinelp"),
    ("他说：“好”", "他 说 ： “ 好 ” xlinetp"),
    (
        "x\n" * 6 + "y.\n\n" + "x\n" * 3,
        "x xlinetn " * 2 + "x xlinetn xruna " + "x xlinetn " * 2 + "x xlinetn xrunb "
        "y . xlinetp " + "x xlinetn " * 2 + "x xlinetn xruna",
    ),
    ("3,141 or 2x4\n1\n2", "0 , 0 or 0x0 xlinetn 0 xlinetn 0 xlinetn xruna"),
    ("1 2\n" * 3, "0 0 xlinetn " * 2 + "0 0 xlinetn xruna"),
]


@pytest.mark.parametrize(("text", "expected"), LAYOUTS)
def test_layout_by_hand(text: str, expected: str) -> None:
    assert space_words(pa.array([text], type=pa.large_string()), layout=True).to_pylist() == [expected]


@given(st.lists(st.text(alphabet="a1 .\n字", max_size=30), max_size=4))
def test_layout_is_words_with_zeros_and_line_ends(texts: list[str]) -> None:
    """Without the words for line ends, and with every number as 0, it is the plain form of the zeroed text."""
    column = pa.array(texts, type=pa.large_string())
    for text, line in zip(texts, space_words(column, layout=True).to_pylist(), strict=True):
        words = (line or "").split(" ") if line else []
        ends = [word for word in words if word.startswith("xline")]
        assert len(ends) == sum(bool(part.strip()) for part in text.split("\n"))
        rest = [word for word in words if word not in ends and not word.startswith("xrun")]
        assert " ".join(rest) == reference(re.sub("1+", "0", text))
