"""C4: each line rule from both sides, and the whole change against a plain reading of the rules."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unicode_texts import TEXTS

from corpusmill.pipeline.rules import evaluate
from corpusmill.stages.measure.c4 import C4, MEASURES


def batch_of(texts: list[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, type=pa.large_string())})


def changed(text: str, settings: C4 | None = None) -> tuple[str, dict[str, int | None]]:
    stage = settings or C4()
    batch, columns = stage.open().change(batch_of([text]))
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    return batch.column("text")[0].as_py(), {name: columns[f"c4_{name}"][0].as_py() for name in MEASURES}


def fired(text: str) -> list[str]:
    _, columns = C4().open().change(batch_of([text]))
    return [rule.name for rule in C4().rules() if evaluate([rule], pa.table(columns)).first[0] == 0]


POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def reference(text: str, terminal: bool) -> tuple[str, dict[str, int]]:
    """The rules in their order, line by line."""
    count = dict.fromkeys(MEASURES, 0)
    del count["sentences"]
    kept: list[str] = []
    for raw in text.splitlines():
        line, words = raw.strip(), raw.split()
        count["lines"] += 1
        if any(len(word) > 20 for word in words):
            count["long_word_lines"] += 1
            continue
        line, citations = re.subn(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line)
        lower = line.lower()
        if terminal and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            count["non_terminal_lines"] += 1
        elif len(words) < 3:
            count["short_lines"] += 1
        elif "lorem ipsum" in lower:
            count["lorem_ipsum"] = 1
            return text, count
        elif "javascript" in lower:
            count["javascript_lines"] += 1
        elif "{" in line:
            count["curly_brackets"] = 1
            return text, count
        elif any(phrase in lower for phrase in POLICY):
            count["policy_lines"] += 1
        else:
            count["kept_lines"] += 1
            count["citations"] += citations
            kept.append(line)
    return "\n".join(kept).strip() if kept else text, count


BREAKS = [" ", "\t", "\n", "\r\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", "\u3000"]
MARKS = [".", "...", '"', "!", "é.", "[1]", "[]", "[٣]", "[edit]", "[citation needed]", "[", "]", "[12", "{"]
PHRASES = ["JavaScript", "Lorem IPSUM", "lorem ipsu", "terms of use", "Use coo\u212aies", "use  cookies", "uses cookie"]
LINE_PARTS = st.sampled_from([*BREAKS, *MARKS, *PHRASES, "one two three", "a b", "x" * 21, "x" * 20, "中文" * 6, "İ"])
PAGES = st.one_of(
    TEXTS, st.lists(LINE_PARTS, max_size=40).map("".join), st.lists(LINE_PARTS, max_size=40).map(" ".join)
)


@given(st.lists(PAGES, max_size=5), st.booleans())
def test_change_equals_the_reference(texts: list[str], terminal: bool) -> None:
    stage = C4(max_word_chars=20, terminal_punctuation=terminal)
    batch, columns = stage.open().change(batch_of([*texts]))
    expected = [reference(text, terminal) for text in texts]
    assert batch.column("text").to_pylist() == [text for text, _ in expected]
    counted = [{name: columns[f"c4_{name}"][row].as_py() for name in expected[0][1]} for row in range(len(texts))]
    assert counted == [count for _, count in expected]
    batch.column("text").validate(full=True)


@given(st.lists(PAGES, max_size=5))
def test_splitting_a_batch_changes_nothing(texts: list[str]) -> None:
    batch, columns = C4().open().change(batch_of([*texts]))
    together = [
        (batch.column("text")[row].as_py(), {name: columns[f"c4_{name}"][row].as_py() for name in MEASURES})
        for row in range(len(texts))
    ]
    assert together == [changed(text) for text in texts]
    slices = [batch_of([*texts]).slice(row, 1) for row in range(len(texts))]
    assert [C4().open().change(one)[0].column("text")[0].as_py() for one in slices] == [text for text, _ in together]


LONG = "This line has five words."


@pytest.mark.parametrize(
    ("line", "measure"),
    [
        ("Only a comma at the end,", "non_terminal_lines"),
        ("An ellipsis at the end...", "non_terminal_lines"),
        ("Two words.", "short_lines"),
        ("We need JAVAscript for this page.", "javascript_lines"),
        ("Please read our Privacy Policy first.", "policy_lines"),
        ("a b " + "x" * 1001 + ".", "long_word_lines"),
    ],
)
def test_a_cut_line(line: str, measure: str) -> None:
    text, counts = changed(f"{LONG}\n{line}\n{LONG}")
    assert text == f"{LONG}\n{LONG}"
    assert counts[measure] == 1
    assert counts["lines"] == 3
    assert counts["kept_lines"] == 2


@pytest.mark.parametrize(
    "line",
    ["Three words here.", "Is it so?", 'He said "yes"', "a b " + "x" * 999 + ".", "Java scripts are no scripts."],
)
def test_a_kept_line(line: str) -> None:
    assert changed(f"{LONG}\n{line}") == (f"{LONG}\n{line}", changed(f"{LONG}\n{line}")[1])
    assert changed(f"{LONG}\n{line}")[1]["kept_lines"] == 2


def test_citations_go() -> None:
    text, counts = changed("As shown[1][23] before[citation needed], it is[edit] so.\nThe set [a] stays [here].")
    assert text == "As shown before, it is so.\nThe set [a] stays [here]."
    assert counts["citations"] == 4
    assert changed("As shown[1] before it is so.", C4(citations=False))[0] == "As shown[1] before it is so."


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (" ".join([LONG] * 4), ["c4.too_few_sentences"]),
        (" ".join([LONG] * 5), []),
        ("\n".join([LONG] * 4), ["c4.too_few_sentences"]),
        ("\n".join([LONG] * 5), []),
        ("\n".join([LONG] * 5 + ["int main() { return it; }."]), ["c4.curly_bracket"]),
        ("\n".join([LONG] * 5 + ["int main() { return it; }"]), []),  # the line is cut before
        ("\n".join([LONG] * 5 + ["Lorem ipsum dolor sit amet."]), ["c4.lorem_ipsum"]),
        ("", ["c4.too_few_sentences"]),
        ("no line stays", ["c4.too_few_sentences"]),
    ],
)
def test_rules(text: str, rules: list[str]) -> None:
    assert fired(text) == rules


def test_a_document_of_which_nothing_is_left_keeps_its_text() -> None:
    text, counts = changed("Menu\nHome | About\n")
    assert text == "Menu\nHome | About\n"
    assert counts["sentences"] == counts["kept_lines"] == 0


def test_nulls_stay_null() -> None:
    batch, columns = C4().open().change(batch_of([LONG, None, ""]))
    assert batch.column("text").to_pylist() == [LONG, None, ""]
    assert columns["c4_kept_lines"].to_pylist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("One here. Two there! Three? Yes.", 4),
        ("Mr J. Smith came. He left.", 2),
        ("It costs 3.50 in all. and so on", 1),
        ("Wait... What is this?", 1),
        ('He said "Go." Then he went.', 2),
        ("什么?好的。再见!走了。", 4),
        ("यह है। वह था।", 2),
    ],
)
def test_sentences(line: str, sentences: int) -> None:
    settings = C4(terminal_punctuation=False, min_line_words=None)
    assert changed(line, settings)[1]["sentences"] == sentences
