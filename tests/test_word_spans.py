"""Words: hand-cut texts, a plain-Python reference over any Unicode, and hashes that can be put together."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unicode_texts import BATCHES, TEXTS

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels import characters as chars
from corpusmill.stages.kernels.word_spans import (
    BASE,
    HAS_LETTER,
    HAS_TEXT,
    IS_ALPHABETIC,
    IS_SINGLE,
    describe_words,
    find_words,
    power,
    power_table,
)

CLASSES = chars.character_classes()


def words_of(texts: list[str]) -> list[list[tuple[str, int, int]]]:
    """(word, characters, flags) per text, from the kernel."""
    data, offsets = text_buffers(pa.array(texts, type=pa.large_string()))
    first, starts, num_bytes, num_chars, _, flags = find_words(data, offsets, CLASSES)
    spans = [bytes(data[offsets[0] + s : offsets[0] + s + n]).decode() for s, n in zip(starts, num_bytes, strict=True)]
    described = list(zip(spans, num_chars.tolist(), flags.tolist(), strict=True))
    return [described[first[row] : first[row + 1]] for row in range(len(texts))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n\u3000\x00\u200b", []),
        ("one two", ["one", "two"]),
        ("don't rock'n'roll, 'quoted' dogs'", ["don't", "rock'n'roll", ",", "'", "quoted", "'", "dogs", "'"]),
        ("it’s", ["it’s"]),
        ("3.14 1,000,000. v1.2", ["3.14", "1,000,000", ".", "v1.2"]),
        ("e.g. a.b", ["e", ".", "g", ".", "a", ".", "b"]),
        ("well-known snake_case", ["well", "-", "known", "snake_case"]),
        ("wait... what?!", ["wait", "...", "what", "?", "!"]),
        ("北京大学。", ["北", "京", "大", "学", "。"]),
        ("GPT模型v2", ["GPT", "模", "型", "v2"]),
        ("ภาษาไทยดี่", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย", "ดี่"]),
        ("か\u3099き", ["か\u3099", "き"]),  # a decomposed kana keeps its mark
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a joiner is part of the word
        ("한국어는", ["한국어는"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("👍👍 ok", ["👍👍", "ok"]),
    ],
)
def test_words_of_hand_cut_texts(text: str, words: list[str]) -> None:
    assert [word for word, _, _ in words_of([text])[0]] == words


def reference_words(text: str) -> list[str]:
    """The rules of the module's docstring, character by character."""
    kinds = [int(CLASSES[ord(c)]) for c in text]
    words: list[str] = []
    at = 0
    while at < len(text):
        if kinds[at] & (chars.SPACE | chars.SKIP):
            at += 1
            continue
        end = at + 1
        if kinds[at] & chars.SINGLE:
            while end < len(text) and kinds[end] & chars.EXTEND:
                end += 1
        elif not kinds[at] & (chars.WORD | chars.EXTEND):
            while end < len(text) and (text[end] == text[at] or kinds[end] & chars.EXTEND):
                end += 1
        else:
            base = kinds[at]
            while end < len(text):
                if kinds[end] & (chars.WORD | chars.EXTEND):
                    base = base if kinds[end] & chars.EXTEND else kinds[end]
                    end += 1
                    continue
                after = kinds[end + 1] if end + 1 < len(text) and kinds[end + 1] & chars.WORD else 0
                letters = base & after & chars.LETTER and text[end] in "'’"
                digits = not base & chars.LETTER and base & after & chars.DIGIT and text[end] in ".,"
                if not letters and not digits:
                    break
                end += 1
        words.append(text[at:end])
        at = end
    return words


def reference_flags(word: str) -> int:
    kinds = [int(CLASSES[ord(c)]) for c in word]
    return (
        HAS_LETTER * any(kind & chars.LETTER for kind in kinds)
        + HAS_TEXT * any(not kind & chars.PUNCTUATION for kind in kinds)
        + IS_SINGLE * any(kind & chars.SINGLE for kind in kinds)
        + IS_ALPHABETIC * (any(kind & chars.SINGLE for kind in kinds) and ord(word[0]) < 0x2E80)
    )


@given(BATCHES)
def test_kernel_equals_reference(texts: list[str]) -> None:
    expected = [[(word, len(word), reference_flags(word)) for word in reference_words(text)] for text in texts]
    assert words_of(texts) == expected


def test_one_long_line() -> None:
    text = "wörter und 中文, " * 15_000
    assert [word for word, _, _ in words_of([text])[0]] == reference_words(text)


@given(BATCHES)
def test_slices_of_a_batch_give_the_same_words(texts: list[str]) -> None:
    column = pa.array(texts, type=pa.large_string())
    data, offsets = text_buffers(column)
    whole = find_words(data, offsets, CLASSES)
    hashes = [whole[4][whole[0][row] : whole[0][row + 1]].tolist() for row in range(len(texts))]
    for row in range(len(texts)):
        alone = find_words(*text_buffers(column.slice(row, 1)), CLASSES)
        assert alone[4].tolist() == hashes[row]


@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=5))
def test_hashes_of_words_written_together(words: list[str]) -> None:
    def described(strings: list[str]) -> tuple[list[int], list[int], list[int]]:
        data, offsets = text_buffers(pa.array(strings, type=pa.large_string()))
        num_chars, hashes, flags = describe_words(data, offsets, CLASSES)
        return num_chars.tolist(), hashes.tolist(), flags.tolist()

    num_chars, hashes, flags = described(words)
    assert num_chars == [len(word) for word in words]
    assert flags == [reference_flags(word) & ~(IS_SINGLE | IS_ALPHABETIC) for word in words]
    together = 0
    for word, value in zip(words, hashes, strict=True):
        together = (together * pow(BASE, len(word.encode()), 1 << 64) + value) % (1 << 64)
    assert described(["".join(words)])[1] == [together]


@pytest.mark.parametrize("num_bytes", [0, 1, 255, 256, 1000])
def test_powers(num_bytes: int) -> None:
    assert int(np.uint64(power(num_bytes, power_table()))) == pow(BASE, num_bytes, 1 << 64)
