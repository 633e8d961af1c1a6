"""Our measures against datatrove's own filters, value by value; runs where datatrove's tokenizers are installed.

A filter does not tell its values, so each is found out: with every other rule off and the threshold at our value the
filter must keep the document, one step beyond it must drop it. Both sides are given the filter's own words and
sentences. `python datatrove_filters.py DATA_FOLDER` prints one JSON object.
"""

import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_sentences, split_into_words

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Rule, Scratch
from corpusmill.stages.measure.c4 import C4, C4Worker
from corpusmill.stages.measure.fineweb import Fineweb
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.layout import layout_of_words

LANGUAGES = {
    "en": "eng", "zh": "cmn", "ja": "jpn", "ko": "kor", "th": "tha", "hi": "hin_Deva", "ar": "arb_Arab", "ru": "rus",
    "de": "deu", "es": "spa", "fr": "fra", "pt": "por", "vi": "vie",
}  # fmt: skip
"""Language of the data -> datatrove's name of it."""

OFF: dict[type, dict[str, Any]] = {
    GopherQualityFilter: dict.fromkeys(
        ("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio",
         "max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words")
    ),
    GopherRepetitionFilter: dict.fromkeys(
        ("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")
    ) | {"top_n_grams": (), "dup_n_grams": ()},
    FineWebQualityFilter: {
        "line_punct_thr": -1.0, "short_line_thr": 2.0, "char_duplicates_ratio": 2.0, "new_line_ratio": math.inf
    },
}  # fmt: skip
"""Settings under which a filter keeps everything."""

Probe = tuple[type, Callable[[float], dict[str, Any]]]


def of_size(name: str, n: int) -> Callable[[float], dict[str, Any]]:
    """The setting that limits n-grams of one size."""
    return lambda limit: {name: ((n, limit),)}


PROBES: dict[str, Probe] = {
    "gopher.repeated_paragraphs": (GopherRepetitionFilter, lambda x: {"dup_para_frac": x}),
    "gopher.much_text_in_repeated_paragraphs": (GopherRepetitionFilter, lambda x: {"dup_para_char_frac": x}),
    "gopher.repeated_lines": (GopherRepetitionFilter, lambda x: {"dup_line_frac": x}),
    "gopher.much_text_in_repeated_lines": (GopherRepetitionFilter, lambda x: {"dup_line_char_frac": x}),
    **{f"gopher.dominant_{n}_gram": (GopherRepetitionFilter, of_size("top_n_grams", n)) for n in (2, 3, 4)},
    **{f"gopher.repeated_{n}_grams": (GopherRepetitionFilter, of_size("dup_n_grams", n)) for n in range(5, 11)},
    "gopher.too_few_words": (GopherQualityFilter, lambda x: {"min_doc_words": x}),
    "gopher.too_many_words": (GopherQualityFilter, lambda x: {"max_doc_words": x}),
    "gopher.short_words": (GopherQualityFilter, lambda x: {"min_avg_word_length": x}),
    "gopher.long_words": (GopherQualityFilter, lambda x: {"max_avg_word_length": x}),
    "gopher.too_many_hashes": (GopherQualityFilter, lambda x: {"max_symbol_word_ratio": x}),
    "gopher.too_many_ellipses": (GopherQualityFilter, lambda x: {"max_symbol_word_ratio": x}),
    "gopher.too_many_bullet_lines": (GopherQualityFilter, lambda x: {"max_bullet_lines_ratio": x}),
    "gopher.too_many_ellipsis_lines": (GopherQualityFilter, lambda x: {"max_ellipsis_lines_ratio": x}),
    "gopher.too_few_words_with_letters": (GopherQualityFilter, lambda x: {"max_non_alpha_words_ratio": x}),
    "gopher.too_few_stop_words": (GopherQualityFilter, lambda x: {"min_stop_words": x}),
    "fineweb.few_lines_end_a_sentence": (FineWebQualityFilter, lambda x: {"line_punct_thr": x}),
    "fineweb.mostly_short_lines": (FineWebQualityFilter, lambda x: {"short_line_thr": x}),
    "fineweb.repeated_lines": (FineWebQualityFilter, lambda x: {"char_duplicates_ratio": x}),
    "fineweb.too_many_line_breaks": (FineWebQualityFilter, lambda x: {"new_line_ratio": x}),
}
SHARED = ("max_symbol_word_ratio",)
"""Hashes and ellipses share a threshold: the higher of the two values is found out, and that the other is not above."""


def documents(data: Path) -> dict[str, list[str]]:
    """Texts by language: English documents cut to 1,200 characters, pieces of 1,000 characters in the others."""
    texts: dict[str, list[str]] = defaultdict(list)
    for name, most in (("law-en", 1400), ("dialogue-en", 1500), ("web-en", 676), ("techdocs-en", 960),
                       ("source-code", 500), ("wiki-en", 179), ("math-latex", 300)):  # fmt: skip
        texts["en"] += [text[:1200] for text, _ in records(data / f"domains/{name}.train.jsonl.zst")][:most]
    joined: dict[str, list[str]] = defaultdict(list)
    for path in (*sorted((data / "multilingual").glob("*.zst")), data / "lid/ntrex-sentences-train.jsonl.zst"):
        for text, lang in records(path):
            code = {"arb": "ar", "tha": "th", "hin": "hi"}.get(lang, lang.split("-")[0])
            if code in LANGUAGES and code != "en":
                joined[code].append(text)
    for code, parts in joined.items():
        whole = "\n".join(parts)
        starts = [*range(0, len(whole) - 1000, 1000), *range(500, len(whole) - 1000, 1000)]  # Thai needs both
        texts[code] = [whole[at : at + 1000] for at in starts[:220]]
    return dict(texts)


def records(path: Path) -> Iterator[tuple[str, str]]:
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        for line in lines.read().split("\n"):
            if line:
                record = json.loads(line)
                yield record["text"], str(record.get("lang"))


def batch_of(texts: list[str]) -> pa.RecordBatch:
    langs = pa.array(["en"] * len(texts))  # the filter's stop words are English
    return pa.record_batch({"text": pa.array(texts, pa.large_string()), "lang": langs})


def values_of(rules: tuple[Rule, ...], columns: dict[str, Any]) -> dict[str, list[float]]:
    """Each rule's value per document: a count, or a quotient in float64."""
    values = {}
    for rule in rules:
        parts = [np.asarray(columns[name].to_pylist(), dtype=np.float64) for name in rule.value]
        values[rule.name] = list(parts[0] / parts[1] if len(parts) == 2 else parts[0])
    return values


def drops(kind: type, settings: dict[str, Any], text: str, language: str) -> str:
    """The reason for which a filter drops a text, '' where it keeps it."""
    verdict = kind(**(OFF[kind] | settings), language=language).filter(Document(text=text, id="0"))
    return "" if verdict is True else verdict[1]


def unequal_rules(rules: tuple[Rule, ...], values: dict[str, float], text: str, language: str) -> list[str]:
    """Rules whose value is not the filter's: with all thresholds at our values the filter must keep the text; with one
    of them one step beyond our value, and the others off, it must drop it."""
    at_values: dict[type, dict[str, Any]] = defaultdict(dict)
    wrong = []
    for rule in rules:
        value = values[rule.name]
        if math.isnan(value):
            continue
        kind, settings = PROBES[rule.name]
        for name, limit in settings(value if value or rule.op == "<" else 5e-324).items():
            known = at_values[kind].get(name)
            at_values[kind][name] = limit if known is None else max(known, limit) if name in SHARED else known + limit
        beyond = drops(kind, settings(math.nextafter(value, math.inf if rule.op == "<" else -math.inf)), text, language)
        if not beyond:
            wrong.append(rule.name)
    for kind, settings_at in at_values.items():
        reason = drops(kind, settings_at, text, language)
        if reason:
            wrong.append(f"{kind.__name__}.{reason}")
    return wrong


class GivenSentences(C4Worker):
    """C4 with the filter's sentences."""

    language = "eng"

    def sentences(self, batch: pa.RecordBatch, kept_lines: Any) -> Any:
        return np.array([self._count(text or "") for text in batch.column("text").to_pylist()])

    def _count(self, text: str) -> int:
        try:
            return sum([len(split_into_sentences(line, self.language)) for line in text.split("\n") if line])
        except ValueError:  # a document that a rule ended, whose lines the filter did not read
            return 0


C4_LABELS = {
    "line-total": "lines", "line-filter-too_long_word": "long_word_lines", "line-kept": "kept_lines",
    "line-filter-no_terminal_punc": "non_terminal_lines", "line-filter-too_few_words": "short_lines",
    "line-filter-javascript": "javascript_lines", "line-filter-policy": "policy_lines",
}  # fmt: skip


def original_works(text: str, language: str, terminal: bool) -> bool:
    """Whether datatrove's filter ends; its Hindi tokenizer changes some texts and then raises."""
    try:
        C4QualityFilter(filter_no_terminal_punct=terminal, language=language).filter(Document(text=text, id="0"))
    except ValueError:
        return False
    return True


def compare_c4(texts: list[str], language: str, terminal: bool, table: dict[str, Counter[str]]) -> None:
    """Text, decision and reason, and the number of lines that each rule removed."""
    num_texts = len(texts)
    texts = [text for text in texts if original_works(text, language, terminal)]
    table["c4 datatrove raises"]["documents"] += num_texts
    table["c4 datatrove raises"]["caught"] += num_texts - len(texts)
    stage = C4(terminal_punctuation=terminal)
    worker = GivenSentences(stage)
    worker.language = language
    changed, columns = worker.change(batch_of(texts))
    verdicts = evaluate(stage.rules(), pa.table(columns))
    reasons = {-1: "", 0: "lorem_ipsum", 1: "curly_bracket", 2: "too_few_sentences"}
    for row, text in enumerate(texts):
        seen: Counter[str] = Counter()
        original = C4QualityFilter(filter_no_terminal_punct=terminal, language=language)
        original.stat_update = lambda *labels, seen=seen, **_: seen.update(labels)
        document = Document(text=text, id="0")
        verdict = original.filter(document)
        reason = "" if verdict is True else verdict[1]
        ours = reasons[int(verdicts.first[row])]
        name = f"c4.{reason or 'kept'}"
        table[name]["caught"] += 1
        table[name]["unequal"] += ours != reason
        if not reason:
            table["c4 text"]["documents"] += 1
            table["c4 text"]["caught"] += document.text != text
            table["c4 text"]["unequal"] += changed.column("text")[row].as_py() != document.text
        for label, measure in C4_LABELS.items():
            table[f"c4 {measure}"]["documents"] += 1
            table[f"c4 {measure}"]["caught"] += seen[label] > 0
            table[f"c4 {measure}"]["unequal"] += columns[f"c4_{measure}"][row].as_py() != seen[label]


def main(data: Path, most: int) -> None:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    agreement: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    sizes: dict[str, int] = {}
    for lang, all_texts in documents(data).items():
        language, texts = LANGUAGES[lang], [text for text in all_texts if text.strip()][:most]
        sizes[lang] = len(texts)
        batch, given = batch_of(texts), Scratch()
        words = [split_into_words(text, language) for text in texts]
        given.once(("layout", "auto"), partial(layout_of_words, words))
        for stage in (Gopher(), Fineweb()):
            worker = stage.open()
            columns = worker.measure(batch, given)
            own_columns = worker.measure(batch, Scratch())
            rules = tuple(rule for rule in stage.rules() if rule.name != "fineweb.blank")
            values = values_of(rules, columns)
            for row, text in enumerate(texts):
                mine = {rule.name: values[rule.name][row] for rule in rules}
                for name in unequal_rules(rules, mine, text, language):
                    table[name]["unequal"] += 1
                for rule in rules:
                    table[rule.name]["documents"] += not math.isnan(mine[rule.name])
            for rule in rules:
                original = evaluate([rule], pa.table(columns)).first == 0
                own = evaluate([rule], pa.table(own_columns)).first == 0
                table[rule.name]["caught"] += int(original.sum())
                for both in zip(original.tolist(), own.tolist(), strict=True):
                    agreement[lang][rule.name][str(both)] += 1
        compare_c4(texts, language, lang == "en", table)
        unequal = {rule: counts["unequal"] for rule, counts in table.items() if counts["unequal"]}
        print(f"{lang}: {len(texts)} documents; unequal so far: {unequal}", file=sys.stderr, flush=True)
    print(json.dumps({"sizes": sizes, "rules": table, "default_segmenter": agreement}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize)
