import json
import unicodedata

import numpy as np
import pytest

from corpusmill.stages.kernels import folding
from corpusmill.stages.kernels.folding import BLANK, DIGIT, IGNORED, LETTER, SINGLE, folding_table

CASES = [
    ("A", "a", LETTER),
    ("É", "e", LETTER),
    ("ß", "ß", LETTER),
    ("ς", "σ", LETTER),
    ("İ", "i", LETTER),
    ("ı", "i", LETTER),
    ("\u06cc", "\u064a", LETTER),  # Persian yeh
    ("\u06a9", "\u0643", LETTER),
    ("\u0640", None, IGNORED),  # tatweel
    ("Я", "я", LETTER),
    ("ﬁ", "ﬁ", LETTER),  # two letters: stays one
    ("한", "한", LETTER),  # Korean writes spaces
    ("क", "क", LETTER),
    ("ि", "ि", LETTER),  # a vowel, not an accent
    ("्", "्", LETTER),
    ("٣", "3", DIGIT),
    ("３", "3", DIGIT),
    ("ａ", "a", LETTER),
    ("漢", "漢", SINGLE),
    ("が", "が", SINGLE),
    ("ｶ", "カ", SINGLE),
    ("ー", "ー", SINGLE),
    ("ก", "ก", SINGLE),
    ("ๅ", "ๅ", SINGLE),
    ("\u0301", None, IGNORED),  # combining acute
    ("\u05b8", None, IGNORED),  # Hebrew qamats
    ("\u064e", None, IGNORED),  # Arabic fatha
    ("\u200d", None, IGNORED),
    ("\u00ad", None, IGNORED),
    ("\ufe0f", None, IGNORED),
    (" ", None, BLANK),
    ("'", None, BLANK),
    ("。", None, BLANK),
    ("$", None, BLANK),
    ("😀", None, BLANK),
    ("\x00", None, BLANK),
    ("\ue000", None, BLANK),
]


@pytest.mark.parametrize(("character", "folded", "kind"), CASES)
def test_characters(character: str, folded: str | None, kind: int) -> None:
    entry = int(folding_table()[ord(character)])
    assert (entry >> folding.CLASS_SHIFT) & 15 == kind
    if folded is not None:
        assert chr(entry & folding.CHARACTER_MASK) == folded


def test_spaces_are_pythons() -> None:
    marked = np.flatnonzero(folding_table() & folding.SPACE_FLAG)
    assert {int(code) for code in marked} == {code for code in range(0x110000) if chr(code).isspace()}


def test_folding_twice_is_folding_once() -> None:
    table = folding_table()
    kinds = (table >> folding.CLASS_SHIFT) & 15
    folded = (table & folding.CHARACTER_MASK)[(kinds == LETTER) | (kinds == DIGIT) | (kinds == SINGLE)]
    assert np.array_equal(table[folded] & folding.CHARACTER_MASK, folded)


@pytest.mark.skipif(unicodedata.unidata_version != folding.UNICODE_VERSION, reason="another Unicode version")
def test_the_committed_file_is_what_the_generator_writes() -> None:
    assert folding.generate() == json.loads(folding.FILE.read_text(encoding="utf-8"))


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        folding_table()[0] = 1
