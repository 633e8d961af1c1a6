"""Split tables against the `regex` module, which backtracks, with the same characters in every class."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.stages.tokens.byte_level import codes_of, every_character
from corpusmill.stages.tokens.split_pattern import (
    CODES,
    END,
    SplitTable,
    UnsupportedPattern,
    compile_pattern,
    paged_classes,
)
from corpusmill.stages.tokens.tiktoken_file import PATTERNS
from corpusmill.stages.tokens.tokenizer_json import GPT2
from corpusmill.stages.tokens.train_byte_level import CL100K

EXPRESSIONS = {
    **PATTERNS,
    "gpt2": GPT2,
    "first cl100k": CL100K,
    "one digit": GPT2.replace(r" ?\p{N}+", r"\p{N}"),
    "small": r"ab|a|b+c?|[^ab]",
    "order": r"a|ab|abc|c|[^ac]",
    "counts": r"a{2,3}|a|(?:bc){1,2}|[^a]",
}


@cache
def members(expression: str) -> npt.NDArray[np.bool_]:
    found = np.zeros(CODES, dtype=np.bool_)
    found[codes_of("".join(regex.findall(expression, every_character())))] = True
    return found


@cache
def table(name: str) -> SplitTable:
    return compile_pattern(EXPRESSIONS[name], members)


def pieces(table: SplitTable, text: str) -> list[str]:
    """The table followed in plain Python."""
    steps = table.steps.reshape(-1, table.num_classes)
    kinds = [int(table.classes[table.pages[code >> 8] * 256 + (code & 0xFF)]) for code in map(ord, text)] + [END]
    found, at = [], 0
    while at < len(text):
        state, end, position = 1, -1, at
        while state:
            step = int(steps[state, kinds[position]])
            end = position if step & 1 else end
            state = step >> 1 if position < len(text) else 0
            position += 1
        assert end > at
        found.append(text[at:end])
        at = end
    return found


LETTERS = "aAbcsStTreREveVEmMlLdDſKé É1٣½Ⅷ'’ \u00a0\u3000\t\n\r\x0b\u2028.!?/_-中文ʰǅ\u0301\u0e33ひ한😀\u200d\0"


@pytest.mark.parametrize("name", EXPRESSIONS)
@settings(max_examples=300)
@given(text=st.text(st.sampled_from(LETTERS), max_size=40))
def test_pieces_are_those_of_a_backtracking_engine(name: str, text: str) -> None:
    expected = regex.findall(EXPRESSIONS[name].replace("++$", "++(?!.|\\n)"), text)
    assert pieces(table(name), text) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (r"a*", "empty text"),
        (r"(a)\1", "groupref"),
        (r"(?<=a)b|a", "assert"),
        (r"a++a", "possessive"),
        (r"(?i:[a-f])", "ignores case"),
        (r"a+?b", "min_repeat"),
        (r"(a", "not readable"),
        (r"(?s:a)", "switches"),
    ],
)
def test_what_it_cannot_do_it_says(expression: str, reason: str) -> None:
    with pytest.raises(UnsupportedPattern, match=reason):
        compile_pattern(expression, members)


def test_pages_hold_every_code_point() -> None:
    classes = np.random.default_rng(1).integers(0, 3, CODES).astype(np.uint8)
    classes[0x3000:0x90000] = 1
    pages, stored = paged_classes(classes)
    codes = np.arange(CODES)
    assert np.array_equal(stored[pages[codes >> 8] * 256 + (codes & 0xFF)], classes)
    assert pages[0] == 0
    assert len(stored) < CODES // 2
