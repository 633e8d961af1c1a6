"""DCLM's line edits: each step from both sides, and the whole change against a plain reading of the steps."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from fasttext.FastText import tokenize
from hypothesis import example, given
from hypothesis import strategies as st
from unicode_texts import TEXTS

from corpusmill.pipeline.rules import evaluate
from corpusmill.stages.kernels.dclm_lines import ALNUM, ANY_DIGIT, line_classes
from corpusmill.stages.measure.dclm import MEASURES, Dclm


def batch_of(texts: list[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, type=pa.large_string())})


def changed(text: str, settings: Dclm | None = None) -> tuple[str, dict[str, int]]:
    stage = settings or Dclm()
    batch, columns = stage.open().change(batch_of([text]))
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    return batch.column("text")[0].as_py(), {name: columns[f"dclm_{name}"][0].as_py() for name in MEASURES}


def fired(text: str, settings: Dclm | None = None) -> list[str]:
    stage = settings or Dclm()
    _, columns = stage.open().change(batch_of([text]))
    return [rule.name for rule in stage.rules() if evaluate([rule], pa.table(columns)).first[0] == 0]


NOUNS = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
COUNTER = re.compile(rf"\W*\d[\d,.]*[kmb]?\s+({NOUNS})\W*")
PHRASES = [r"\s?items in cart", r"\s?read more...$", r"^sign-in\s?"]


def num_words(text: str) -> int:
    return sum(word[0].isalnum() for word in tokenize(text))


def reference(text: str) -> tuple[str, dict[str, int]]:
    """One step after the other, on lists of lines."""
    count: Counter[str] = Counter()
    short = re.sub(r"\n{3,}", "\n\n", text)
    count["line_feeds"] = len(text) - len(short)
    count["words"] = num_words(short)
    count["lines"] = len(short.split("\n"))

    def strip(lines: list[str]) -> list[str]:
        stripped = "\n".join(lines).strip()
        left = stripped.split("\n") if stripped else []
        count["blank_lines"] += len(lines) - len(left)
        return left

    def keep(lines: list[str], good: list[bool], measure: str) -> list[str]:
        left = [line for line, stays in zip(lines, good, strict=True) if stays or not line]
        count[measure] += len(lines) - len(left)
        return left

    lines = short.split("\n")
    good = [sum(map(str.isupper, line)) <= 0.5 * len(line) for line in lines]
    lines = strip(keep(lines, good, "uppercase_lines"))
    good = [not line.isdigit() for line in lines]
    lines = strip(keep(lines, good, "numeric_lines"))
    good = [COUNTER.fullmatch(line.lower()) is None for line in lines]
    lines = strip(keep(lines, good, "counter_lines"))
    lines = keep(lines, [len(line.split()) >= 2 for line in lines], "short_lines")
    for phrase in PHRASES:
        edited, good = [], []
        for line in lines:
            new, cuts = re.subn(phrase, "", line, flags=re.IGNORECASE) if len(line.split()) <= 10 else (line, 0)
            count["phrases"] += cuts
            good.append(not line or new.strip() != "")
            edited.append(new)
        kept = [line for line, stays in zip(edited, good, strict=True) if stays]
        count["phrase_lines"] += len(edited) - len(kept)
        lines = strip(kept)
    count["kept_lines"] = len(lines)
    count["removed_words"] = count["words"] - (num_words("\n".join(lines)) if lines else 0)
    return "\n".join(lines) if lines else text, {name: count[name] for name in MEASURES}


BREAKS = [" ", "\t", "\n", "\n", "\n\n", "\n\n\n\n", "\r\n", "\x1c", "\x85", "\u2028", "\u3000", "\x00"]
NUMBERS = ["3", "1,2.", "12K", "5M", "7\u212a", "٣", "²", "①", "_", "!", "(", "Ⅷ"]
SAID = [
    "likes",
    "Views",
    "li\u212aes",
    "l\u0130kes",
    "\u017fhares",
    "follower",
    "items in cart",
    "ITEM\u017f \u0131n Cart",
]
MORE = [
    "Read more...",
    "READ MORE »",
    "read more.",
    "Sign-in",
    "\u017f\u0130gn-in",
    "Sign-in ",
    "HOME",
    "a b",
    "É",
    "中文",
    "x",
]
COUNTERS = ["3 likes", "\n(1,2k\u3000Views)\n", "٣M \t shares.", "4 followers_"]
PARTS = st.sampled_from([*BREAKS, *NUMBERS, *SAID, *MORE, *COUNTERS])
PAGES = st.one_of(TEXTS, st.lists(PARTS, max_size=40).map("".join), st.lists(PARTS, max_size=40).map(" ".join))


@given(st.lists(PAGES, max_size=5))
@example(["MENU\n  123\nSome words", "menu\n Sign-in now here", "Some\n\n\n\nwords here\n \n3 likes"])
@example(["\u3000word one two", "a items in cart b items in cart", "b\n\n\n \n\n"])
def test_change_equals_the_reference(texts: list[str]) -> None:
    batch, columns = Dclm().open().change(batch_of([*texts]))
    expected = [reference(text) for text in texts]
    assert batch.column("text").to_pylist() == [text for text, _ in expected]
    counted = [{name: columns[f"dclm_{name}"][row].as_py() for name in MEASURES} for row in range(len(texts))]
    assert counted == [count for _, count in expected]
    batch.column("text").validate(full=True)
    for count in counted:
        gone = ("uppercase_lines", "numeric_lines", "counter_lines", "short_lines", "phrase_lines", "blank_lines")
        assert count["lines"] == count["kept_lines"] + sum(count[name] for name in gone)


@given(st.lists(PAGES, max_size=5))
def test_splitting_a_batch_changes_nothing(texts: list[str]) -> None:
    batch, columns = Dclm().open().change(batch_of([*texts]))
    together = [
        (batch.column("text")[row].as_py(), {name: columns[f"dclm_{name}"][row].as_py() for name in MEASURES})
        for row in range(len(texts))
    ]
    assert together == [changed(text) for text in texts]
    slices = [batch_of([*texts]).slice(row, 1) for row in range(len(texts))]
    assert [Dclm().open().change(one)[0].column("text")[0].as_py() for one in slices] == [text for text, _ in together]


def test_classes_are_those_of_str() -> None:
    table = line_classes()
    characters = [chr(code) for code in range(0x110000)]
    assert [c for c in characters if bool(table[ord(c)] & ALNUM) != c.isalnum()] == []
    assert [c for c in characters if bool(table[ord(c)] & ANY_DIGIT) != c.isdigit()] == []


PLAIN = "This line stays as it is."


@pytest.mark.parametrize(
    ("line", "measure"),
    [
        ("ABC ab", None),  # 3 of 6
        ("ABCD ab", "uppercase_lines"),  # 4 of 7
        ("123", "numeric_lines"),
        ("1²③", "numeric_lines"),
        ("12 34", None),  # the blank is no digit
        ("123.", "short_lines"),
        ("3 likes", "counter_lines"),
        ("~ 1,234.5k  Views!", "counter_lines"),
        ("٣ likes", "counter_lines"),
        ("3 likes it", None),
        ("about 3 likes", None),
        ("3 _likes", None),
        ("3K M views", None),
        ("3likes here", None),
        ("²3 likes", None),
        ("Menu", "short_lines"),
        ("Main menu", None),
        ("   ", "short_lines"),
        ("", None),
        ("Items in Cart", "phrase_lines"),
        ("READ more...", "phrase_lines"),
        ("READ MORE...", "uppercase_lines"),
    ],
)
def test_lines(line: str, measure: str | None) -> None:
    text, counts = changed(f"{PLAIN}\n{line}\n{PLAIN}")
    assert text == (f"{PLAIN}\n{line}\n{PLAIN}" if measure is None else f"{PLAIN}\n{PLAIN}")
    assert counts["lines"] == 3
    assert counts["kept_lines"] == (3 if measure is None else 2)
    if measure is not None:
        assert counts[measure] == 1


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("There are 2 items in cart now", "There are 2 now"),
        ("a b c d e f g items in cart", "a b c d e f g"),  # ten words
        ("a b c d e f g h items in cart", "a b c d e f g h items in cart"),  # eleven
        ("The news of today Read more...", "The news of today"),
        ("The news of today Read more >>", "The news of today"),  # three characters, whatever they are
        ("The news of today read more >", "The news of today read more >"),
        ("Read more... of today", "Read more... of today"),  # not at the end
        ("Sign-in for the news", "for the news"),
        ("Please Sign-in here", "Please Sign-in here"),  # not at the beginning
        ("Sign-in Sign-in here", "Sign-in here"),  # once
        ("read more items in cart...", None),  # the second phrase is there once the first is gone
    ],
)
def test_phrases(line: str, left: str | None) -> None:
    text, _ = changed(f"{PLAIN}\n{line}\n{PLAIN}")
    assert text == "\n".join([PLAIN, *([] if left is None else [left]), PLAIN])


def test_blanks_at_an_end_of_the_text_go_between_the_steps() -> None:
    assert changed(f"{PLAIN}\n 12\n{PLAIN}", Dclm(min_line_words=None))[0] == f"{PLAIN}\n 12\n{PLAIN}"
    text, counts = changed(f"MENU\n 12\n{PLAIN}", Dclm(min_line_words=None))
    assert (text, counts["uppercase_lines"], counts["numeric_lines"]) == (PLAIN, 1, 1)


def test_runs_of_line_feeds() -> None:
    text, counts = changed(f"{PLAIN}\n\n\n\n{PLAIN}\n\n{PLAIN}")
    assert (text, counts["line_feeds"], counts["lines"]) == (f"{PLAIN}\n\n{PLAIN}\n\n{PLAIN}", 2, 5)
    assert changed(f"{PLAIN}\n\n\n\n{PLAIN}", Dclm(line_feeds=False))[0] == f"{PLAIN}\n\n\n\n{PLAIN}"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("word " * 19 + "\nMenu", []),  # 1 of 20 words
        ("word " * 18 + "\nMenu", ["dclm.too_many_words_removed"]),  # 1 of 19
        ("word " * 38 + "\nAbout us Sign-in\nMenu\n3 likes", ["dclm.too_many_words_removed"]),
        ("! ? !", ["dclm.no_words"]),
        ("Menu", ["dclm.no_line_left", "dclm.too_many_words_removed"]),
        ("", ["dclm.no_line_left", "dclm.no_words"]),
    ],
)
def test_rules(text: str, rules: list[str]) -> None:
    assert fired(text) == rules
    if "too_many" in "".join(rules):
        assert "dclm.too_many_words_removed" not in fired(text, Dclm(max_removed_word_ratio=None))


def test_switches() -> None:
    text = "HOME\n12\n3 likes\nMenu\n2 items in cart\n \nSign-in"
    off = Dclm(max_uppercase_ratio=None, max_digit_ratio=None, counters=False, min_line_words=None, phrases=False)
    assert changed(text, off)[0] == text


def test_a_document_of_which_nothing_is_left_keeps_its_text() -> None:
    text, counts = changed("Menu\n\n\n\n 12\n")
    assert text == "Menu\n\n\n\n 12\n"
    assert (counts["kept_lines"], counts["words"], counts["removed_words"]) == (0, 2, 2)


@pytest.mark.parametrize("line", ["今天天气很好。", "今日は天気がいいです。", "วันนี้อากาศดีมาก"])
def test_scripts_without_blanks_need_the_word_limit_off(line: str) -> None:
    assert fired(f"{line}\n{line}") == ["dclm.no_line_left", "dclm.too_many_words_removed"]
    spared = Dclm(min_line_words=None)
    assert changed(f"{line}\n12\n{line}", spared)[0] == f"{line}\n{line}"
    assert fired(f"{line}\n{line}", spared) == []


def test_nulls_stay_null() -> None:
    batch, columns = Dclm().open().change(batch_of([PLAIN, None, ""]))
    assert batch.column("text").to_pylist() == [PLAIN, None, ""]
    assert columns["dclm_kept_lines"].to_pylist() == [1, 0, 0]


OFF = Dclm(
    line_feeds=False, max_uppercase_ratio=None, max_digit_ratio=None, counters=False, min_line_words=None, phrases=False
)
LONG = "One may add as many more as one likes to this line of many words, items in cart"
END = f"{LONG} Read more..."
CAPITALS = "OVER THAMES\n\nover thames\nOver, Thames\n\nOver, thames"
DIGITS = "7x\n\n7xy\n\n7yz\nwxyz"


@pytest.mark.parametrize(
    ("step", "text", "left"),
    [
        ({"max_uppercase_ratio": 2 / 12}, "Over, Thames", "Over, Thames"),
        ({"max_uppercase_ratio": 2 / 12 - 1e-6}, "Over, Thames", None),
        ({"max_uppercase_ratio": 1.0}, CAPITALS, CAPITALS),
        ({"max_uppercase_ratio": 2 / 12}, CAPITALS, "over thames\nOver, Thames\n\nOver, thames"),
        ({"max_uppercase_ratio": 1 / 12}, CAPITALS, "over thames\n\nOver, thames"),
        ({"max_uppercase_ratio": 0.0}, CAPITALS, "over thames"),
        ({"max_digit_ratio": 1.0}, "12345", "12345"),
        ({"max_digit_ratio": 1 - 1e-6}, "12345", None),
        ({"max_digit_ratio": 0.5}, DIGITS, DIGITS),
        ({"max_digit_ratio": 1 / 3}, DIGITS, "7xy\n\n7yz\nwxyz"),
        ({"max_digit_ratio": 0.0}, DIGITS, "wxyz"),
        ({"counters": True}, "99K quotes\n\nGood day.\n\nAll 4 views.\n4 views", "Good day.\n\nAll 4 views."),
        ({"counters": True}, "12345" * 10 + "\n" + "12345" * 10 + " likes", "12345" * 10),
        ({"min_line_words": 2}, "Two words\n\na b c d e f\n  and more\nOne", "Two words\n\na b c d e f\n  and more"),
        ({"phrases": True}, f"We see 3 items in cart so far\n  items in cart  \n{LONG}", f"We see 3 so far\n{LONG}"),
        ({"phrases": True}, f"sign-in now\nsign-in  \nI sign-in.\nsign-in {LONG}", f"now\nI sign-in.\nsign-in {LONG}"),
        ({"phrases": True}, f"Do read more...\n read more...\nRead more...on!\n{END}", f"Do\nRead more...on!\n{END}"),
        ({"line_feeds": True}, "Over\n\n\n\n\nThames", "Over\n\nThames"),
        ({"line_feeds": True}, "a\n\n\nb\n\n\nc\nd\n\ne", "a\n\nb\n\nc\nd\n\ne"),
    ],
)  # fmt: skip
def test_each_step_alone_does_what_dclms_own_tests_ask_of_it(step: dict[str, Any], text: str, left: str | None) -> None:
    """The cases of DCLM's test_modifiers.py in other words; None: no line is left."""
    edited, counts = changed(text, replace(OFF, **step))
    assert (edited, counts["kept_lines"]) == ((text, 0) if left is None else (left, left.count("\n") + 1))


@pytest.mark.parametrize("noun", NOUNS.split("|"))
def test_every_noun_of_a_counter(noun: str) -> None:
    text = f"3 {noun}\n3,000 {noun}\n123K {noun}!\n 5.1M   {noun}  \nNo counter is here."
    assert changed(text, replace(OFF, counters=True))[0] == "No counter is here."
