"""Each dialect of Gopher against a reading of its program in plain Python."""

import re
import statistics
import unicodedata
from collections import Counter
from string import punctuation
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from unicode_texts import BATCHES

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.kernels import characters as chars
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.gopher_dialects import GOPHER_DIALECTS
from corpusmill.stages.measure.segmenters import segment_by_script

CLASSES = chars.character_classes()
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
SIZES = range(2, 11)


def batch_of(texts: list[str]) -> pa.RecordBatch:
    langs = pa.array(["en"] * len(texts))
    return pa.record_batch({"text": pa.array(texts, pa.large_string()), "lang": langs})


def values_of(texts: list[str], dialect: Any) -> list[dict[str, float | None]]:
    """The value of each rule, None where it is not defined."""
    stage = Gopher(dialect=dialect)
    columns = stage.open().measure(batch_of(texts), Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    rows = []
    for row in range(len(texts)):
        values: dict[str, float | None] = {}
        for rule in stage.rules():
            number, *by = (columns[name][row].as_py() for name in rule.value)
            undefined = number is None or by == [0]
            values[rule.name.removeprefix("gopher.")] = None if undefined else number / by[0] if by else number
        rows.append(values)
    return rows


def share(number: float, total: float) -> float | None:
    return None if total == 0 else number / total


def copies(pieces: list[str]) -> tuple[int, int]:
    counts = Counter(pieces)
    again = [(piece, count) for piece, count in counts.items() if count > 1]
    return sum(count for _, count in again), sum(len(piece) * count for piece, count in again)


def ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[at:] for at in range(n)), strict=False))


def size(gram: tuple[str, ...]) -> int:
    return sum(map(len, gram))


def covered(words: list[str], n: int) -> int:
    counts = ngrams(words, n)
    marked = {
        at + inside for at in range(len(words) - n + 1) if counts[tuple(words[at : at + n])] > 1 for inside in range(n)
    }
    return sum(len(words[at]) for at in marked)


def dolma(text: str, lines: list[str]) -> dict[str, float | None]:
    words = text.split()
    total = sum(map(len, words))
    values: dict[str, float | None] = {
        "too_few_words": len(words),
        "too_many_words": len(words),
        "short_words": statistics.median([len(word) for word in words] or [0]),
        "too_many_symbols": share(sum("#" in word or "…" in word for word in words), len(words)),
        "too_few_words_with_letters": share(sum(any(c.isalpha() for c in word) for word in words), len(words)),
        "too_few_stop_words": sum(word in STOP_WORDS for word in words),
        "too_many_bullet_lines": share(sum(line.startswith(("*", "-")) for line in lines), len(lines)),
        "too_many_ellipsis_lines": share(sum(line.endswith("…") for line in lines), len(lines)),
        "repeated_lines": share(copies(lines)[0], len(lines)),
        "much_text_in_repeated_lines": share(copies(lines)[1], total),
    }
    values["long_words"] = values["short_words"]
    for n in SIZES:
        counts = ngrams(words, n)
        if n < 5:
            (gram, times), *_ = counts.most_common(1) or [((), 0)]
            values[f"dominant_{n}_gram"] = share(size(gram) * times, total)
        else:
            again = sum(size(gram) * times for gram, times in counts.items() if times > 1)
            values[f"repeated_{n}_grams"] = share(again, sum(size(gram) * times for gram, times in counts.items()))
    return values


def dclm(text: str, words: list[str]) -> dict[str, float | None]:
    spaced = text.split()
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [piece.strip() for piece in text.split("\n\n") if piece.strip()]
    alnum = [word for word in spaced if kind(word[0]) & (chars.WORD | chars.SINGLE) and word[0] != "_"]
    symbols = sum(text.count(symbol) for symbol in ("#", "...", ". . .", "…"))
    values: dict[str, float | None] = {
        "too_few_words": len(alnum),
        "too_many_words": len(alnum),
        "short_words": share(sum(map(len, spaced)), len(spaced)),
        "long_words": share(sum(map(len, spaced)), len(spaced)),
        "too_many_symbols": share(symbols, len(spaced)),
        "too_many_bullet_lines": share(sum(line.startswith(("●", "•", "*", "-")) for line in lines), len(lines)),
        "too_many_ellipsis_lines": share(sum(line.endswith(("...", ". . .", "…")) for line in lines), len(lines)),
        "too_few_words_with_letters": share(sum(any(c.isalpha() for c in word) for word in spaced), len(spaced)),
        "repeated_lines": share(copies(lines)[0], len(lines)),
        "much_text_in_repeated_lines": share(copies(lines)[1], sum(map(len, lines))),
        "repeated_paragraphs": share(copies(paragraphs)[0], len(paragraphs)),
        "much_text_in_repeated_paragraphs": share(copies(paragraphs)[1], sum(map(len, paragraphs))),
    }
    total = sum(map(len, words))
    for n in SIZES:
        counts = ngrams(words, n)
        most = max(counts.values(), default=0)
        longest = max((size(gram) for gram, times in counts.items() if times == most), default=0)
        if n < 5:
            values[f"dominant_{n}_gram"] = share(most * longest if most > 1 else 0, total)
        else:
            values[f"repeated_{n}_grams"] = share(covered(words, n), total)
    return values


def redpajama(text: str) -> dict[str, float | None]:
    table = str.maketrans("", "", punctuation)
    words = unicodedata.normalize("NFD", text.translate(table).lower()).split()
    runs = re.findall(r"\w+|[^\w\s]+", text)
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text)
    total = sum(map(len, words))
    bullets = tuple("•‣▶◀◦■□▪▫–")
    values: dict[str, float | None] = {
        "too_few_words": len(words),
        "too_many_words": len(words),
        "short_words": share(total, len(words)),
        "long_words": share(total, len(words)),
        "too_many_symbols": share(sum(text.count(symbol) for symbol in ("#", "...", "…")), len(runs)),
        "too_many_bullet_lines": share(sum(line.lstrip().startswith(bullets) for line in lines), len(lines)),
        "too_many_ellipsis_lines": share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "too_few_words_with_letters": share(sum(bool(re.search("[a-zA-Z]", run)) for run in runs), len(runs)),
    }
    for n in SIZES:
        if n < 5:
            (gram, times), *_ = ngrams(words, n).most_common(1) or [((), 0)]
            values[f"dominant_{n}_gram"] = share(size(gram) * times if times > 1 else 0, total)
        else:
            values[f"repeated_{n}_grams"] = share(covered(words, n), total)
    return values


def kind(character: str) -> int:
    return int(CLASSES[ord(character)])


def text_words(text: str) -> list[str]:
    words = segment_by_script(batch_of([text])).words(0)
    return [word for word in words if kind(word[0]) & (chars.WORD | chars.SINGLE) and word[0] != "_"]


REPEATED = [
    "one two three four five six. One two three four five six.\n\n- the the the\n" * 4,
    "Hello world. . .\n\nHello world…\n * a b\n\n* a b...\n\n\n* a b\n \n",
    "a b\n\na b\n\n\n\na b\n\n # # The OF\n",
]


@pytest.mark.parametrize("text", REPEATED)
def test_repetitive_texts(text: str) -> None:
    assert values_of([text], "dolma") == [dolma(text, re.split("\n+", text))]
    assert values_of([text], "dolma-v1") == [dolma(text, text.split("\n"))]
    expected = dclm(text, text_words(text))
    expected["too_few_stop_words"] = sum(word.lower() in STOP_WORDS for word in text_words(text))
    assert values_of([text], "dclm") == [expected]
    assert values_of([text], "redpajama") == [redpajama(text)]


@given(BATCHES)
def test_dolma_equals_the_reference(texts: list[str]) -> None:
    assert values_of(texts, "dolma") == [dolma(text, re.split("\n+", text)) for text in texts]
    assert values_of(texts, "dolma-v1") == [dolma(text, text.split("\n")) for text in texts]


@given(BATCHES)
def test_dclm_equals_the_reference(texts: list[str]) -> None:
    found = values_of(texts, "dclm")
    for values in found:
        values.pop("too_few_stop_words")
    assert found == [dclm(text, text_words(text)) for text in texts]


@given(BATCHES)
def test_redpajama_equals_the_reference(texts: list[str]) -> None:
    texts = [re.sub(r"[\u203f\u2040\u2054\ufe33\ufe34\ufe4d-\ufe4f\uff3f]", "", text) for text in texts]
    assert values_of(texts, "redpajama") == [redpajama(text) for text in texts]


@pytest.mark.parametrize("dialect", sorted(GOPHER_DIALECTS))
def test_splitting_a_batch_changes_nothing(dialect: Any) -> None:
    texts = [*REPEATED, "", "中文和English。", "the end"]
    assert values_of(texts, dialect) == [values for text in texts for values in values_of([text], dialect)]


@pytest.mark.parametrize("dialect", sorted(GOPHER_DIALECTS))
def test_plain_text_is_kept_and_noise_is_dropped(dialect: Any) -> None:
    names = [f"{a}{b}{c}" for a in "bcdfglmn" for b in ("ade", "oken", "ilar") for c in "xyz"]
    plain = "The story of it and that. " + " ".join(names) + "."
    for text, kept in ((plain, True), ("buy now! " * 80, False), ("#### " * 60, False), ("short", False)):
        stage = Gopher(dialect=dialect)
        columns = stage.open().measure(batch_of([text]), Scratch())
        assert bool(evaluate(stage.rules(), pa.table(columns)).first[0] < 0) is kept, text[:20]


def test_one_document_in_all_dialects() -> None:
    """What reference comparisons of the programs found: the same text, other shares."""
    text = "\n".join(["Home", "A first line of text.", "Home", "A second line of text.", "Home", "The end of it."])
    found = {dialect: values_of([text], dialect)[0]["repeated_lines"] for dialect in ("datatrove", "dolma", "dclm")}
    assert found == {"datatrove": 2 / 6, "dolma": 3 / 6, "dclm": 3 / 6}


def test_thresholds_of_other_dialects_are_refused() -> None:
    with pytest.raises(ValueError, match="the dialect dolma has no rule with the threshold max_hash_ratio"):
        Gopher(dialect="dolma", max_hash_ratio=0.05)
    limits = {rule.name: rule.limit for rule in Gopher(dialect="dolma").rules()}
    assert limits["gopher.much_text_in_repeated_lines"] == 0.3
    assert {rule.name: rule.limit for rule in Gopher().rules()}["gopher.much_text_in_repeated_lines"] == 0.2
