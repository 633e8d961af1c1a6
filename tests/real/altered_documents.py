"""Real documents altered until they stand on each side of a rule's threshold, judged by datatrove's filter and by ours.

For every rule a document that the filter keeps is altered step by step (one more repeated line, one word less) to the
first step at which the filter drops it; it must drop it and keep the step before, and our rule must do the same, at the
rule's own threshold. For C4's rules a line or a phrase is altered to each side, and text, counts and decision compared.
`python altered_documents.py DATA_FOLDER NUM_DOCUMENTS` prints one JSON object.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from datatrove.utils.text import split_into_sentences, split_into_words
from datatrove_filters import (  # type: ignore[import-not-found]  # beside this file
    PROBES,
    batch_of,
    compare_c4,
    documents,
    drops,
)

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Rule, Scratch
from corpusmill.stages.measure.fineweb import Fineweb
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.layout import layout_of_words

Alteration = Callable[[str, int], str]
STAGES: dict[str, Gopher | Fineweb] = {"gopher": Gopher(), "fineweb": Fineweb()}
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
MAX_STEPS = 1 << 18


def head(text: str, n: int) -> str:
    """The first n words between blanks."""
    return " ".join(text.split()[:n])


def repeated_gram(n: int) -> Alteration:
    return lambda text, k: text + f" ; {head(text, n)}" * k


def repeated_part(separator: str) -> Alteration:
    return lambda text, k: text + (separator + text.strip("\n").split(separator)[0]) * k


def appended(piece: str) -> Alteration:
    return lambda text, k: text + piece * k


def fewer_stop_words(text: str, k: int) -> str:
    return " ".join(["Rhubarb" if w.lower() in STOP_WORDS else w for w in text.split()] + list(STOP_WORDS[k:]))


ALTERATIONS: dict[str, Alteration] = {
    "gopher.repeated_paragraphs": repeated_part("\n\n"),
    "gopher.much_text_in_repeated_paragraphs": repeated_part("\n\n"),
    "gopher.repeated_lines": repeated_part("\n"),
    "gopher.much_text_in_repeated_lines": repeated_part("\n"),
    **{f"gopher.dominant_{n}_gram": repeated_gram(n) for n in (2, 3, 4)},
    **{f"gopher.repeated_{n}_grams": repeated_gram(n) for n in range(5, 11)},
    "gopher.too_few_words": lambda text, k: " ".join(text.split()[: len(text.split()) - k]),
    "gopher.too_many_words": appended(" word"),
    "gopher.short_words": appended(" a"),
    "gopher.long_words": appended(" incomprehensibilities"),
    "gopher.too_many_hashes": appended(" #"),
    "gopher.too_many_ellipses": appended(" …"),
    "gopher.too_many_bullet_lines": appended("\n- an item"),
    "gopher.too_many_ellipsis_lines": appended("\nto be continued..."),
    "gopher.too_few_words_with_letters": appended(" 12"),
    "gopher.too_few_stop_words": fewer_stop_words,
    "fineweb.few_lines_end_a_sentence": appended("\nno end of a sentence is here"),
    "fineweb.mostly_short_lines": appended("\nA short line."),
    "fineweb.repeated_lines": repeated_part("\n"),
    "fineweb.too_many_line_breaks": appended("\n"),
}
"""Rule → the document after k steps towards what the rule catches."""


def our_decisions(rule: Rule, texts: list[str], language: str) -> list[bool]:
    """Whether our rule drops each text, given the filter's words."""
    given = Scratch()
    words = [split_into_words(text, language) for text in texts]
    given.once(("layout", "auto"), partial(layout_of_words, words))
    columns = STAGES[rule.name.partition(".")[0]].open().measure(batch_of(texts), given)
    return [bool(first == 0) for first in evaluate([rule], pa.table(columns)).first]


def first_dropped(theirs: Callable[[int], bool], most: int) -> int | None:
    """A step at which the filter drops the text and before which it keeps it; None where there is none."""
    if theirs(0):
        return None
    low, high = 0, 1
    while not theirs(high):
        low, high = high, high * 2
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if theirs(middle) else (middle, high)
    return high


def alter(rule: Rule, texts: list[str], wanted: int, language: str = "eng") -> Counter[str]:
    """How many documents were altered to both sides, and on how many of these we decide otherwise on a side."""
    kind, settings = PROBES[rule.name]
    change = ALTERATIONS[rule.name]
    assert isinstance(rule.limit, float)
    at_limit = settings(rule.limit)
    counts: Counter[str] = Counter()
    for text in texts:
        if counts["documents"] == wanted:
            break

        def theirs(step: int, text: str = text) -> bool:
            return bool(drops(kind, at_limit, change(text, step), language))

        most = min(MAX_STEPS, len(text.split())) if rule.name == "gopher.too_few_words" else MAX_STEPS
        step = first_dropped(theirs, most)
        if step is not None:
            counts["documents"] += 1
            sides = [change(text, step - 1), change(text, step)]
            counts["unequal"] += our_decisions(rule, sides, language) != [False, True]
    return counts


def c4_sides(text: str) -> dict[str, list[str]]:
    """Rule → the text on each side of it."""
    lines = [line for line in text.split("\n") if line.endswith(".")][:3] or ["One line that ends."]
    ended = "\n".join(lines + [f"This is sentence number {number} of them." for number in range(5)])
    sentences = [s.strip() for line in lines for s in split_into_sentences(line, "eng")]
    padded = [*sentences, *[f"Here stands sentence {number}." for number in range(5)]]
    return {
        "few sentences": ["\n".join(padded[:4]), "\n".join(padded[:5])],
        "lorem ipsum": [f"{ended} lorem ipsum.", f"{ended} lorem ipsu.", f"{ended} Lorem Ipsum."],
        "curly bracket": [f"{ended} {{.", f"{ended} }}.", f"{ended} (."],
        "javascript": [f"{ended}\nTurn on Javascript now.", f"{ended}\nTurn on Javascrip now."],
        "long word": [f"{ended}\nIt is {'x' * (size - 1)}." for size in (999, 1000, 1001)],
        "few words": [f"{ended}\n{words}." for words in ("One two", "One two three", "One")],
        "no terminal mark": [f"{ended}\nAn end{mark}" for mark in ("", ".", "...", "?", "!", '"', "'", "…")],
        "policy": [
            f"{ended}\nHere the {phrase}."
            for phrase in ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
                           "use cookies", "terms of us", "privacy polic", "cookies used")
        ],
        "citation": [f"{ended}\nIt is so{mark}." for mark in ("[1]", "[]", "[edit]", "[citation needed]", "[a]", "[1")],
    }  # fmt: skip


def alter_c4(texts: list[str], wanted: int) -> dict[str, Counter[str]]:
    sides: dict[str, list[str]] = defaultdict(list)
    for text in texts[:wanted]:
        for name, altered in c4_sides(text).items():
            sides[name] += altered
    made: dict[str, Counter[str]] = {}
    for name, altered in sides.items():
        table: dict[str, Counter[str]] = defaultdict(Counter)
        compare_c4(altered, "eng", True, table)
        unequal = sum(counts["unequal"] for counts in table.values())
        made[f"c4 {name}"] = Counter({"documents": len(altered), "unequal": unequal})
    return made


def main(data: Path, wanted: int) -> None:
    texts = [text for text in documents(data)["en"] if len(text.split()) > 60][:: max(1, 300 // wanted)]
    table: dict[str, Any] = {}
    for stage in STAGES.values():
        for rule in stage.rules():
            if rule.name in ALTERATIONS:
                few = max(1, wanted // 3) if rule.name == "gopher.too_many_words" else wanted  # 100,000 words each
                table[rule.name] = alter(rule, texts, few)
                print(rule.name, dict(table[rule.name]), file=sys.stderr, flush=True)
    table |= alter_c4(texts, wanted)
    print(json.dumps(table))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
