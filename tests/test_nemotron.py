"""Nemotron's heuristics against NeMo Curator's rules read in plain Python."""

import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from unicode_texts import BATCHES

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.kernels.makeup import POLICY_PHRASES
from corpusmill.stages.measure.nemotron import BULLETS, COLUMNS, Nemotron

URL = re.compile(r"https?://(?:[A-Za-z0-9$\-_@.&+/:=?#~]|[!*\(\),]|(?:%[0-9A-Fa-f]{2}))+")
MARKS = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
POLICY = bytes(POLICY_PHRASES).decode().split("\0")[:-1]
COMMON = {"the", "be", "to", "of", "and", "that", "have", "with"}
STAGE = Nemotron()
WORKER = STAGE.open()


def batch_of(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


def measure(texts: list[str]) -> list[dict[str, int]]:
    columns = WORKER.measure(batch_of(texts), Scratch())
    assert {name: column.type for name, column in columns.items()} == STAGE.adds()
    return [{name: columns[f"nemotron_{name}"][row].as_py() for name in COLUMNS} for row in range(len(texts))]


def reference(text: str) -> dict[str, int]:
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    paragraphs = text.split("\n\n")
    says = [any(phrase in paragraph.lower() for phrase in POLICY) for paragraph in paragraphs]
    values = {
        "chars": len(text),
        "plain_chars": len(re.findall(r"[a-zA-Z0-9\n?!,.]", text)),
        "digits": sum(c.isdecimal() for c in text),
        "url_chars": sum(map(len, URL.findall(text))),
        "white_chars": sum(c in "\t\n\r\b " for c in text),
        "brackets": len(re.findall(r"{|}|⟨|⟩|\[|\]|\(|\)", text)),
        "policy_paragraphs": sum(says),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
        "ended_lines": sum(line.strip().endswith((".", "?", "!", '"', "'")) for line in lines),
        "ellipsis_lines": sum(line.strip().lower().endswith(MARKS) for line in lines),
        "bullet_lines": sum(line.strip().startswith(tuple(BULLETS)) for line in lines),
        "words": len(words),
        "word_chars": sum(map(len, words)),
        "letter_words": sum(any(c.isalpha() for c in word) for word in words),
        "symbol_words": sum(word in MARKS or len(re.findall("#+", word)) / len(word) > 0.5 for word in words),
        "common_words": sum(word in COMMON for word in words),
        "longest_word": max(map(len, words), default=0),
    }
    for name, pieces in (("line", lines), ("paragraph", paragraphs)):
        values |= {f"{name}s": len(pieces), f"unique_{name}s": len(set(pieces))}
        values |= {f"{name}_chars": len("".join(pieces)), f"unique_{name}_chars": len("".join(set(pieces)))}
    for n in range(2, 5):
        grams = list(zip(*(words[at:] for at in range(n)), strict=False))
        top = " ".join(Counter(grams).most_common(1)[0][0]) if grams else ""
        values[f"top_{n}_gram_chars"] = len(text) - len(text.replace(top, "")) if grams else len(text)
    for n in range(5, 11):
        values[f"dup_{n}_gram_chars"] = later_chars(words, n) if len(words) >= n else len(text)
    return values


def later_chars(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    counted = overlap = 0
    for gram in zip(*(words[at:] for at in range(n)), strict=False):
        if gram in seen:
            counted += sum(map(len, gram[overlap:])) + min(n - overlap, n - 1)
            overlap = n
        seen.add(gram)
        overlap = max(overlap - 1, 0)
    return counted


TEXTS = [
    "",
    "a b a b a b a b\n a b\n\n\n\na b\n\n a b",
    "Visit https://example.com/a%20b%zz?q=1, or http:// and (https://x.y)! httpshttp://a",
    "We use cookies. Terms of Use\n\nOur PRIVACY policy\n\n\nlorem ipsum Lorem Ipsum",
    "# ## #a# ... [...] (...) … […] (…) -» ### #### a#",
    "• one\n ◦ two...\nRead More\nread more..\nread more...\n(…)\n[…]\n[...]\n(...) -»\nend'",
    "one two three four five six seven eight nine ten eleven " * 5,
    "the  the the\tthe\nthe the of of of" * 3,
]


@pytest.mark.parametrize("text", TEXTS)
def test_chosen_texts(text: str) -> None:
    assert measure([text]) == [reference(text)]


@given(BATCHES)
def test_measures_equal_the_reference(texts: list[str]) -> None:
    assert measure(texts) == [reference(text) for text in texts]


def test_splitting_a_batch_changes_nothing() -> None:
    assert measure(TEXTS) == [measure([text])[0] for text in TEXTS]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1234567890 " * 60, "nemotron.too_many_digits"),
        ("https://example.com/abcdefghij\n" * 60, "nemotron.mostly_addresses"),
        ("(a) [b] {c} " * 40, "nemotron.too_many_brackets"),
        ("the end of the day, " * 30, "nemotron.repeated_5_grams"),
        ("", "nemotron.too_few_words"),
        ("lorem ipsum", "nemotron.lorem_ipsum"),
    ],
)
def test_rules(text: str, rule: str) -> None:
    columns = WORKER.measure(batch_of([text]), Scratch())
    assert rule in [each.name for each in STAGE.rules() if evaluate([each], pa.table(columns)).first[0] == 0]
