"""Gopher: every threshold from both sides, and every measure against a reading of the rules in plain Python."""

import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from unicode_texts import BATCHES

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.kernels import characters as chars
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.gopher_dialects import DATATROVE, DUPLICATE_SIZES, TOP_SIZES
from corpusmill.stages.measure.segmenters import segment_by_script
from corpusmill.stages.measure.stop_words import STOP_WORDS

CLASSES = chars.character_classes()
GOPHER = Gopher()
WORKER = GOPHER.open()


def batch_of(texts: list[str], lang: str | None = None) -> pa.RecordBatch:
    return pa.record_batch(
        {"text": pa.array(texts, type=pa.large_string()), "lang": pa.array([lang] * len(texts), type=pa.string())}
    )


def measure(texts: list[str], lang: str | None = None) -> list[dict[str, int | None]]:
    """The columns of each text, without the prefix."""
    columns = WORKER.measure(batch_of(texts, lang), Scratch())
    assert {name: column.type for name, column in columns.items()} == GOPHER.adds()
    return [{name: columns[f"gopher_{name}"][row].as_py() for name in DATATROVE.columns} for row in range(len(texts))]


def fired(text: str, lang: str | None = "en") -> list[str]:
    """All rules that drop a text."""
    columns = WORKER.measure(batch_of([text], lang), Scratch())
    rules = GOPHER.rules()
    return [rule.name for rule in rules if evaluate([rule], pa.table(columns)).first[0] == 0]


def reference(text: str, words: list[str], lang: str) -> dict[str, int | None]:
    """Each measure in the words of its definition."""

    def is_(character: str, bits: int) -> bool:
        return bool(int(CLASSES[ord(character)]) & bits)

    def duplicates(pieces: list[str]) -> tuple[int, int, int]:
        copies = [piece for at, piece in enumerate(pieces) if piece in pieces[:at]]
        return len(pieces), len(copies), sum(map(len, copies))

    lines = text.splitlines()
    text_words = [word for word in words if any(not is_(c, chars.PUNCTUATION) for c in word)]
    single = sum(any(is_(c, chars.SINGLE) for c in word) for word in words)
    counted: dict[str, int | None] = {
        "chars": len(text),
        "words": len(words),
        "text_words": len(text_words),
        "text_word_chars": None if 2 * single >= max(len(text_words), 1) else sum(map(len, text_words)),
        "letter_words": sum(any(c.isalpha() for c in word) for word in words),
        "stop_words": len(set(STOP_WORDS[lang]) & set(words)),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "lines": len(lines),
        "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in lines),
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines),
    }
    counted |= zip(("pieces", "dup_lines", "dup_line_chars"), duplicates(re.split("\n+", text)), strict=True)
    names = ("paragraphs", "dup_paragraphs", "dup_paragraph_chars")
    counted |= zip(names, duplicates(re.split("\n{2,}", text.strip())), strict=True)
    scale, blank = 1, " "
    if counted["text_word_chars"] is None:
        alphabetic = sum(any(is_(c, chars.SINGLE) for c in word) and ord(word[0]) < 0x2E80 for word in words)
        scale, blank = 4 if 2 * alphabetic >= single else 2, ""
    for n in TOP_SIZES:
        size = n * scale
        grams = [blank.join(words[at : at + size]) for at in range(len(words) - size + 1)]
        (gram, times), *_ = Counter(grams).most_common(1) or [("", 0)]
        counted[f"top_{n}_gram_chars"] = times * len(gram)
    for n in DUPLICATE_SIZES:
        size = n * scale
        seen: set[str] = set()
        at = repeated = 0
        while at <= len(words) - size:
            gram_text = "".join(words[at : at + size])
            at, repeated = (at + size, repeated + len(gram_text)) if gram_text in seen else (at + 1, repeated)
            seen.add(gram_text)
        counted[f"dup_{n}_gram_chars"] = repeated
    return counted


@given(BATCHES)
def test_measures_equal_the_reference(texts: list[str]) -> None:
    layout = segment_by_script(batch_of(texts))
    expected = [reference(text, layout.words(row), "en") for row, text in enumerate(texts)]
    assert measure(texts, "en") == expected


@pytest.mark.parametrize(
    "text",
    [
        "one two three four five six. One two three four five six.\n\nthe the the the\n" * 30,
        "我们在北京大学学习中文和历史。他们在北京大学学习英文和历史。" * 5,
        "ภาษาไทยเป็นภาษาที่ดีและภาษาไทยเป็นภาษาที่สวยงาม" * 5,
    ],
)
def test_a_repetitive_text_equals_the_reference(text: str) -> None:
    words = segment_by_script(batch_of([text])).words(0)
    assert measure([text], "en") == [reference(text, words, "en")]


@given(BATCHES)
def test_splitting_a_batch_changes_nothing(texts: list[str]) -> None:
    assert measure(texts) == [columns for text in texts for columns in measure([text])]


WORDS = [a + b for a in "bcdfghklmnprst" for b in ("ade", "oken", "ilar", "umo", "eph")]  # 70 different words


def plain(num_words: int) -> str:
    """A text that no rule catches, given enough words: two stop words, then different words, ten to a line."""
    words = ["the", "and", *WORDS, *(word + "x" for word in WORDS)][:num_words]
    return "\n".join(" ".join(words[at : at + 10]) for at in range(0, len(words), 10))


def test_the_plain_text_is_kept() -> None:
    assert fired(plain(120)) == []


@pytest.mark.parametrize(
    ("text", "rule", "falls"),
    [
        (plain(49), "gopher.too_few_words", True),
        (plain(50), "gopher.too_few_words", False),
        (plain(49) + " #!", "gopher.too_few_words", True),  # a word of symbols does not count
        ("", "gopher.too_few_words", True),
        ("the and " + "ab " * 100_000, "gopher.too_many_words", True),
        ("the and " + "ab " * 99_998, "gopher.too_many_words", False),
        (" ".join(["abc"] * 59 + ["ab"]), "gopher.short_words", True),
        (" ".join(["abc"] * 60), "gopher.short_words", False),
        (" ".join(["abcdefghij"] * 59 + ["abcdefghijk"]), "gopher.long_words", True),
        (" ".join(["abcdefghij"] * 60), "gopher.long_words", False),
        (plain(90) + " #" * 11, "gopher.too_many_hashes", True),  # 11 of 101
        (plain(90) + " #" * 10, "gopher.too_many_hashes", False),  # 10 of 100
        (plain(90) + " ..." * 6 + " …" * 5, "gopher.too_many_ellipses", True),
        (plain(90) + " ..." * 5 + " …" * 5, "gopher.too_many_ellipses", False),
        ("\n".join(f"  - {word} is" for word in WORDS[:20]), "gopher.too_many_bullet_lines", True),
        ("\n".join([f"• {word} is" for word in WORDS[:18]] + WORDS[18:20]), "gopher.too_many_bullet_lines", False),
        ("\n".join([f"{word}... " for word in WORDS[:7]] + WORDS[7:20]), "gopher.too_many_ellipsis_lines", True),
        ("\n".join([f"{word}…" for word in WORDS[:6]] + WORDS[6:20]), "gopher.too_many_ellipsis_lines", False),
        (" ".join(WORDS[:39] + ["1"] * 10), "gopher.too_few_words_with_letters", True),
        (" ".join(WORDS[:40] + ["1"] * 10), "gopher.too_few_words_with_letters", False),
        ("the " + " ".join(WORDS), "gopher.too_few_stop_words", True),
        ("the The " + " ".join(WORDS), "gopher.too_few_stop_words", True),  # as datatrove: case counts
        ("the and " + " ".join(WORDS), "gopher.too_few_stop_words", False),
        ("\n".join([*WORDS[:6], *["same"] * 5]), "gopher.repeated_lines", True),  # 4 of 11
        ("\n".join([*WORDS[:6], *["same"] * 4]), "gopher.repeated_lines", False),  # 3 of 10
        ("\n\n".join([*WORDS[:6], *["same"] * 5]), "gopher.repeated_paragraphs", True),
        ("\n\n".join([*WORDS[:6], *["same"] * 4]), "gopher.repeated_paragraphs", False),
        ("x" * 7 + "\naa\naa", "gopher.much_text_in_repeated_lines", False),  # 2 of 13
        ("x" * 5 + "\nabc\nabc", "gopher.much_text_in_repeated_lines", True),  # 3 of 13
        ("x" * 5 + "\n\nab\n\nab", "gopher.much_text_in_repeated_paragraphs", False),  # 2 of 13
        ("x" * 4 + "\n\nabc\n\nabc", "gopher.much_text_in_repeated_paragraphs", True),  # 3 of 14
        ("a b a b " + "x" * 22, "gopher.dominant_2_gram", False),  # 6 of 30 is not more than 0.2
        ("a b a b " + "x" * 21, "gopher.dominant_2_gram", True),
    ],
)
def test_each_threshold_from_both_sides(text: str, rule: str, falls: bool) -> None:
    assert (rule in fired(text)) is falls


@pytest.mark.parametrize(("n", "limit"), [(5, 15), (6, 14), (7, 13), (8, 12), (9, 11), (10, 10)])
def test_repeated_ngrams_from_both_sides(n: int, limit: int) -> None:
    """n words of `limit` characters together, twice, in a text of 100 characters: exactly at the limit."""
    words = [chr(ord("a") + at) for at in range(n)]
    words[0] += "z" * (limit - n)
    twice = " ".join(words) + " . " + " ".join(words)
    at_limit = twice + " " + "y" * (100 - len(twice) - 1)
    assert measure([at_limit])[0][f"dup_{n}_gram_chars"] == limit
    assert f"gopher.repeated_{n}_grams" not in fired(at_limit)
    assert f"gopher.repeated_{n}_grams" in fired(at_limit[:-1])


def test_thresholds_can_be_set_and_switched_off() -> None:
    off = Gopher(min_words=None, max_top_ngram_ratios=(), max_dup_ngram_ratios=(0.5,))
    names = {rule.name: rule.limit for rule in off.rules()}
    assert "gopher.too_few_words" not in names
    assert "gopher.dominant_2_gram" not in names
    assert names["gopher.repeated_5_grams"] == 0.5
    assert "gopher.repeated_6_grams" not in names


def test_chinese_has_no_word_length_and_its_own_stop_words() -> None:
    text = "我们在北京的大学里学习,这是很好的。" * 2
    [stated], [unstated] = measure([text], "zh-CN"), measure([text])
    assert stated["text_word_chars"] is None
    assert stated["stop_words"] == 3  # 在 的 是
    assert unstated["stop_words"] is None
    assert not {"gopher.short_words", "gopher.too_few_stop_words"} & set(fired(text, None))


@pytest.mark.parametrize(("lang", "expected"), [(None, 2), ("en", 2), ("eng", 2), ("de", 0), ("xx", None)])
def test_the_list_is_that_of_the_documents_language(lang: str | None, expected: int | None) -> None:
    assert measure(["the cat and dog"], lang)[0]["stop_words"] == expected
