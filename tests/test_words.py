"""The words stage and the pass over characters behind it, against Python's own string methods."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from unicode_texts import BATCHES

from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.kernels import characters as chars
from corpusmill.stages.measure.words import Words, character_counts

CLASSES = chars.character_classes()
WORKER = Words().open()


def batch_of(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, type=pa.large_string())})


def measure(text: str) -> dict[str, int | float | None]:
    columns = WORKER.measure(batch_of([text]), Scratch())
    assert {name: column.type for name, column in columns.items()} == Words().adds()
    return {name.removeprefix("words_"): column[0].as_py() for name, column in columns.items()}


def reference(text: str) -> dict[str, int]:
    def count(bits: int) -> int:
        return sum(bool(int(CLASSES[ord(c)]) & bits) for c in text)

    lines = text.splitlines()
    return {
        "chars": len(text),
        "letters": sum(c.isalpha() for c in text),
        "ascii_letters": sum(c.isascii() and c.isalpha() for c in text),
        "digits": sum(c.isdecimal() for c in text),
        "uppers": sum(c.isupper() for c in text),
        "spaces": sum(c.isspace() for c in text),
        "symbols": count(chars.PUNCTUATION),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "curly_brackets": text.count("{") + text.count("}"),
        "newlines": text.count("\n"),
        "lines": len(lines),
        "blank_lines": sum(not line.strip() for line in lines),
        "bullet_lines": sum(line.strip()[:1] in ("•", "-") for line in lines if line.strip()),
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines),
        "terminal_lines": sum(
            bool(int(CLASSES[ord(line.rstrip()[-1])]) & chars.TERMINAL) for line in lines if line.strip()
        ),
        "longest_line": max(map(len, lines), default=0),
    }


@given(BATCHES)
def test_character_counts_equal_pythons(texts: list[str]) -> None:
    counted = character_counts(batch_of(texts), Scratch())
    rows = [{name: int(values[row]) for name, values in counted.items()} for row in range(len(texts))]
    assert rows == [reference(text) for text in texts]


def test_one_long_line() -> None:
    text = "Wörter, 中文... {7} " * 12_000
    counted = character_counts(batch_of([text]), Scratch())
    assert {name: int(values[0]) for name, values in counted.items()} == reference(text)


def test_a_small_text_by_hand() -> None:
    measured = measure("Hello, World 42!\n\n- it's A... \n")
    assert measured == {
        "count": 9,  # Hello , World 42 ! - it's A ...
        "text_words": 5,
        "text_word_chars": 5 + 5 + 2 + 4 + 1,
        "letter_words": 4,
        "single_words": 0,
        "longest_word": 5,
        "chars": 31,
        "letters": 14,
        "digits": 2,
        "uppers": 3,
        "spaces": 8,
        "symbols": 7,
        "curly_brackets": 0,
        "lines": 3,
        "blank_lines": 1,
        "terminal_lines": 2,
        "longest_line": 16,
        "paragraphs": 2,
        "digit_ratio": 2 / 31,
        "upper_ratio": 3 / 14,
    }


def test_empty_text_has_no_ratios() -> None:
    measured = measure("")
    assert measured["digit_ratio"] is None
    assert measured["upper_ratio"] is None
    assert measured["count"] == measured["chars"] == measured["lines"] == 0
    assert measured["paragraphs"] == 1  # one empty piece


@pytest.mark.parametrize(("text", "paragraphs"), [("a", 1), ("a\nb", 1), ("a\n\nb", 2), ("\n\na\n\n\n\nb\n \n", 2)])
def test_paragraphs(text: str, paragraphs: int) -> None:
    assert measure(text)["paragraphs"] == paragraphs == len(re.split("\n{2,}", text.strip()))


def test_nulls_count_as_empty() -> None:
    columns = WORKER.measure(batch_of(["a b", None, "c"]), Scratch())  # type: ignore[list-item]  # null on purpose
    assert columns["words_count"].to_pylist() == [2, 0, 1]
