"""Characters and words against Python's own strings."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.text_lengths import text_lengths

SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"


def lengths(texts: list[str]) -> list[tuple[int, int]]:
    data, offsets = text_buffers(pa.array(texts, pa.large_string()))
    characters, words = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    text_lengths(data, offsets, characters, words)
    return list(zip(characters.tolist(), words.tolist(), strict=True))


CHARACTERS = st.sampled_from("abé\u0301я한😀\u200b\u1fff\x1c" + SPACES)
LONG = st.lists(st.text(st.sampled_from("ab \n\x1c\x7f"), min_size=60, max_size=150) | st.text(CHARACTERS, max_size=2))
"""With blocks that are ASCII throughout."""


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(CHARACTERS, min_size=1, max_size=30) | LONG.map("".join), max_size=6))
def test_words_are_what_lies_between_spaces(texts: list[str]) -> None:
    table = str.maketrans(dict.fromkeys(SPACES, " "))
    assert lengths(texts) == [
        (len(text), len(text.translate(table).split(" ")) - text.translate(table).split(" ").count(""))
        for text in texts
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0)),
        ("人民法院 独立", (7, 0)),
        ("ภาษาไทย ดี", (10, 0)),
        ("ひらがな", (4, 0)),
        ("이것은 한국어", (7, 2)),
        ("यह हिन्दी है", (12, 3)),
        ("ab 中中", (5, 2)),  # two of five
        ("a 中中", (4, 0)),
    ],
)
def test_scripts_without_spaces_have_no_words(text: str, expected: tuple[int, int]) -> None:
    assert lengths([text]) == [expected]


UNSPACED = [(0xE00, 0x1100), (0x1780, 0x1800), (0x3040, 0x3100), (0x3400, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000)]
EDGES = [code for low, high in [*UNSPACED, (0x4000, 0xA000)] for code in (low - 1, low, high - 1, high)]


@given(st.lists(st.text(st.sampled_from("ab \u3000" + "".join(map(chr, EDGES))), min_size=1, max_size=40), max_size=4))
def test_half_of_the_characters_or_more_are_of_scripts_without_spaces(texts: list[str]) -> None:
    expected = []
    for text in texts:
        unspaced = sum(any(low <= ord(character) < high for low, high in UNSPACED) for character in text)
        words = len(text.replace("\u3000", " ").split(" ")) - text.replace("\u3000", " ").split(" ").count("")
        expected.append((len(text), 0 if 2 * unspaced >= len(text) else words))
    assert lengths(texts) == expected
