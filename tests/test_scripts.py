"""Letters by script: against the library `regex`, character by character, and counted by hand."""

import json

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.characters import LETTER, character_classes
from corpusmill.stages.kernels.scripts import COLUMNS, FILE, OTHER, SCRIPTS, SHARED, generate, letters_by_script


def counted(texts: list[str | None]) -> "list[dict[str, int]]":
    rows = letters_by_script(*text_buffers(pa.array(texts, type=pa.large_string())))
    names = {**{number: code for code, number in COLUMNS.items()}, SHARED: "shared", OTHER: "other"}
    return [{names[int(column)]: int(row[column]) for column in np.flatnonzero(row)} for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("12 .,!", {}),
        ("Straße naïve", {"Latn": 11}),
        ("Это text", {"Cyrl": 3, "Latn": 4}),
        ("日本語のテキスト", {"Hani": 3, "Hira": 1, "Kana": 4}),
        ("नमस्ते", {"Deva": 4}),  # signs and virama are marks
        ("ภาษาไทย", {"Thai": 7}),
        ("한국어 中", {"Hang": 3, "Hani": 1}),
        ("ªー", {"Latn": 1, "shared": 1}),
        ("𐌀𓀀", {"other": 2}),
    ],
)
def test_letters_counted_by_hand(text: str, expected: dict[str, int]) -> None:
    assert counted([text, None]) == [expected, {}]


@given(st.text(max_size=30))
def test_the_table_is_that_of_the_library(text: str) -> None:
    classes = character_classes()
    letters = [c for c in text if classes[ord(c)] & LETTER]
    (found,) = counted([text])
    for code, name in SCRIPTS.items():
        assert found.get(code, 0) == sum(bool(regex.match(rf"\p{{Script={name}}}", c)) for c in letters)
    assert sum(found.values()) == len(letters)


def test_the_committed_table_is_what_its_generator_writes() -> None:
    if json.loads(FILE.read_text(encoding="utf-8"))["regex"] != regex.__version__:
        pytest.skip("another version of the library, with other Unicode data")
    assert FILE.read_text(encoding="utf-8") == generate()
