import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels import folding
from corpusmill.stages.kernels.shingles import CHARACTER, WORD, shingle_sets, sort_hashes, tokenize

TEXTS = st.text(st.sampled_from("abßﬁﬃ1.,' \n漢がÉก\u0301ि😀-२"), max_size=30)


SPELLED = str.maketrans(
    {"ß": "ss", "ẞ": "ss", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)


def plain_tokens(text: str, unit: int, same_numbers: bool) -> list[str]:
    """Tokens as strings, by regular expressions over folded text."""
    table = folding.folding_table()
    text = text.translate(SPELLED)
    entries = [int(table[ord(character)]) for character in text]
    kinds = [entry >> folding.CLASS_SHIFT & 15 for entry in entries]
    folded = "".join(
        (character if character in ".," else " ") if kind == folding.BLANK else chr(entry & folding.CHARACTER_MASK)
        for character, entry, kind in zip(text, entries, kinds, strict=True)
        if kind != folding.IGNORED
    )
    if same_numbers:
        folded = re.sub(r"[0-9]+(?:[.,][0-9]+)*", "0", folded)
    folded = re.sub(r"[.,]", " ", folded)
    if unit == CHARACTER:
        return list(re.sub(" +", " ", folded).strip(" "))
    return re.findall("[漢がก]|[^漢がก ]+", folded)


def tokens_of(text: str, unit: int, same_numbers: bool) -> tuple[list[int], list[str]]:
    raw = text.encode()
    data = np.frombuffer(raw + b"\0", dtype=np.uint8)
    tokens = np.empty(len(raw) + 1, dtype=np.uint64)
    starts, stops = np.empty(len(raw) + 1, dtype=np.int64), np.empty(len(raw) + 1, dtype=np.int64)
    count = tokenize(data, 0, len(raw), folding.folding_table(), unit, same_numbers, tokens, starts, stops)
    return tokens[:count].tolist(), [raw[starts[i] : stops[i]].decode() for i in range(count)]


@settings(max_examples=300)
@given(text=TEXTS, other=TEXTS, unit=st.sampled_from([WORD, CHARACTER]), same_numbers=st.booleans())
def test_tokens_are_those_of_plain_python(text: str, other: str, unit: int, same_numbers: bool) -> None:
    known: dict[int, str] = {}
    for document in (text, other):
        hashes, _ = tokens_of(document, unit, same_numbers)
        expected = plain_tokens(document, unit, same_numbers)
        assert len(hashes) == len(expected)
        for value, word in zip(hashes, expected, strict=True):  # equal hashes are equal words, and the reverse
            assert known.setdefault(value, word) == word
    assert len(set(known.values())) == len(known)


@pytest.mark.parametrize(
    ("text", "unit", "same_numbers", "pieces"),
    [
        ("", WORD, False, []),
        ("Don't stop", WORD, False, ["Don", "t", "stop"]),
        ("π≈3.14, 1,000 x2", WORD, True, ["π", "3.14", "1,000", "x2"]),
        ("3.14", WORD, False, ["3", "14"]),
        ("end 3. Next", WORD, True, ["end", "3", "Next"]),
        ("Straße ﬁeld", WORD, False, ["Straße", "ﬁeld"]),
        ("ßa", CHARACTER, False, ["ß", "ß", "a"]),
        ("漢字kana と", WORD, False, ["漢", "字", "kana", "と"]),
        ("नमस्ते दुनिया", WORD, False, ["नमस्ते", "दुनिया"]),
        ("e\u0301te\u0301", WORD, False, ["e\u0301te"]),
        ("ab  c", CHARACTER, False, ["a", "b", "  ", "c"]),
    ],
)
def test_where_tokens_stand(text: str, unit: int, same_numbers: bool, pieces: list[str]) -> None:
    assert tokens_of(text, unit, same_numbers)[1] == pieces


@given(texts=st.lists(TEXTS, max_size=4), size=st.integers(1, 4))
def test_sets_are_distinct_runs_of_tokens(texts: list[str], size: int) -> None:
    sets, bounds = shingle_sets(
        *text_buffers(pa.array(texts, pa.large_string())), folding.folding_table(), WORD, False, size
    )
    assert bounds[-1] == len(sets)
    runs_of = [runs(text, size) for text in texts]
    for row in range(len(texts)):
        mine = sets[bounds[row] : bounds[row + 1]].tolist()
        assert mine == sorted(set(mine))
        assert len(mine) == len(runs_of[row])
        for other in range(row):
            theirs = set(sets[bounds[other] : bounds[other + 1]].tolist())
            assert len(theirs & set(mine)) == len(runs_of[row] & runs_of[other])


def runs(text: str, size: int) -> set[tuple[str, ...]]:
    words = plain_tokens(text, WORD, False)
    length = min(size, len(words))
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)} if words else set()


@given(st.lists(st.integers(0, 2**32 - 1), max_size=120), st.integers(0, 3))
def test_sorting(values: list[int], beyond: int) -> None:
    given_values = np.array([*values, *range(beyond)], dtype=np.uint32)
    sort_hashes(given_values, np.empty_like(given_values), len(values))
    assert given_values.tolist() == [*sorted(values), *range(beyond)]
