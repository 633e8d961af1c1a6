"""Our measures and decisions against other programs', on the same documents: run where they are installed.

End to end in English, datatrove's four filters with spaCy against our stages with `segmenter: spacy-en`; Dolma's tagger
and NeMo Curator's heuristics, value by value; golden files of data-prep-kit. `python originals.py DATA_FOLDER` prints
one JSON object. Dolma and NeMo Curator are read from their wheels without what else they need: only the functions that
compute the values are loaded.
"""

import importlib.util
import json
import math
import sys
import types
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove_filters import batch_of, documents  # type: ignore[import-not-found]  # beside this file

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.c4 import C4
from corpusmill.stages.measure.fineweb import Fineweb
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.nemotron import Nemotron

REPETITION = ("repeated_", "much_text_in_", "dominant_")


def decisions_of(stage: Any, texts: list[str], names: tuple[str, ...] = ("",)) -> list[bool]:
    """Whether a stage's rules whose names begin so keep each text."""
    columns = stage.open().measure(batch_of(texts), Scratch())
    rules = [rule for rule in stage.rules() if rule.name.split(".")[1].startswith(names)]
    return [bool(first < 0) for first in evaluate(rules, pa.table(columns)).first]


def end_to_end(texts: list[str]) -> dict[str, Any]:
    """Decisions of each filter against ours, and of all four together."""
    gopher = Gopher(segmenter="spacy-en")
    quality = tuple(
        rule.name.split(".")[1] for rule in gopher.rules() if not rule.name.split(".")[1].startswith(REPETITION)
    )
    c4 = C4(segmenter="spacy-en")
    _, columns = c4.open().change(batch_of(texts))
    ours = {
        "gopher repetition": decisions_of(gopher, texts, REPETITION),
        "gopher quality": decisions_of(gopher, texts, quality),
        "fineweb": decisions_of(Fineweb(segmenter="spacy-en"), texts),
        "c4": [bool(first < 0) for first in evaluate(c4.rules(), pa.table(columns)).first],
    }
    filters = {
        "gopher repetition": GopherRepetitionFilter(),
        "gopher quality": GopherQualityFilter(),
        "fineweb": FineWebQualityFilter(),
        "c4": C4QualityFilter(),
    }
    theirs = {
        name: [each.filter(Document(text=text, id="0")) is True for text in texts] for name, each in filters.items()
    }
    ours["all"], theirs["all"] = ([all(row) for row in zip(*side.values(), strict=True)] for side in (ours, theirs))
    return {
        name: {
            "documents": len(texts),
            "dropped": len(texts) - sum(theirs[name]),
            "agree": sum(a == b for a, b in zip(ours[name], theirs[name], strict=True)),
        }
        for name in ours
    }


def load(name: str, path: Path, stubs: dict[str, dict[str, Any]]) -> Any:
    """A module of a package alone, with stubs for what it imports beside."""
    for stub, content in stubs.items():
        sys.modules[stub] = types.ModuleType(stub)
        vars(sys.modules[stub]).update(content)
        sys.modules[stub].__path__ = []  # a package, as far as imports care
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def compared(table: dict[str, Counter[str]], name: str, ours: float | None, theirs: float) -> None:
    """Count an equal or unequal value; one of ours that is not defined is passed over."""
    if ours is None:
        return
    table[name]["documents"] += 1
    table[name]["unequal"] += not math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


def values_of(stage: Any, texts: list[str]) -> list[dict[str, float | None]]:
    columns = stage.open().measure(batch_of(texts), Scratch())
    rows = []
    for row in range(len(texts)):
        values: dict[str, float | None] = {}
        for rule in stage.rules():
            number, *by = (columns[name][row].as_py() for name in rule.value)
            values[rule.name.split(".")[1]] = None if number is None or by == [0] else number / by[0] if by else number
        rows.append(values)
    return rows


def dolma(texts: list[str]) -> dict[str, Counter[str]]:
    """Dolma 1.2.1's get_attributes against gopher@dolma and gopher@dolma-v1."""
    path = Path(str(distribution("dolma").locate_file("dolma/taggers/gopher.py")))
    registry = types.SimpleNamespace(add=lambda name: lambda kind: kind)
    stubs: dict[str, dict[str, Any]] = {name: {} for name in ("dolma", "dolma.core", "dolma.taggers")}
    stubs["dolma.core.data_types"] = dict.fromkeys(("DocResult", "Document", "Span"), object)
    stubs["dolma.core.registry"] = {"TaggerRegistry": registry}
    stubs["dolma.core.taggers"] = {"BaseTagger": object}
    module = load("dolma.taggers.gopher", path, stubs)
    table: dict[str, Counter[str]] = {}
    for dialect in ("dolma", "dolma-v1"):
        for text, ours in zip(texts, values_of(Gopher(dialect=dialect), texts), strict=True):
            theirs = module.get_attributes(text, ignore_empty_lines=dialect == "dolma")
            pairs = {
                "too_few_words": theirs.word_count,
                "short_words": theirs.median_word_length,
                "too_many_symbols": theirs.symbol_to_word_ratio,
                "too_few_words_with_letters": theirs.fraction_of_words_with_alpha_character,
                "too_few_stop_words": theirs.required_word_count,
                "too_many_bullet_lines": theirs.fraction_of_lines_starting_with_bullet_point,
                "too_many_ellipsis_lines": theirs.fraction_of_lines_ending_with_ellipsis,
                "repeated_lines": theirs.fraction_of_duplicate_lines,
                "much_text_in_repeated_lines": theirs.fraction_of_characters_in_duplicate_lines,
            }
            pairs |= {f"dominant_{n}_gram": value for n, value in theirs.fraction_of_characters_in_most_common_ngram}
            pairs |= {f"repeated_{n}_grams": value for n, value in theirs.fraction_of_characters_in_duplicate_ngrams}
            for name, value in pairs.items():
                entry = table.setdefault(f"{dialect} {name}", Counter())
                compared({"": entry}, "", ours[name], value)
    return table


def nemo(texts: list[str]) -> dict[str, Counter[str]]:
    """NeMo Curator 1.4's filters against the stage nemotron."""
    root = Path(str(distribution("nemo-curator").locate_file("nemo_curator/stages/text")))
    base = type(
        "DocumentFilter", (), {"_sentences": None, "_paragraphs": None, "_ngrams": None, "__init__": lambda s: None}
    )
    packages = ("nemo_curator", "nemo_curator.stages", "nemo_curator.stages.text", "nemo_curator.stages.text.filters")
    stubs: dict[str, dict[str, Any]] = {name: {} for name in (*packages, "nemo_curator.stages.text.utils")}
    stubs["nemo_curator.stages.text.filters.doc_filter"] = {"DocumentFilter": base}
    load("nemo_curator.stages.text.utils.constants", root / "utils/constants.py", stubs)
    load("nemo_curator.stages.text.utils.text_utils", root / "utils/text_utils.py", {})
    text_filters = load("nemo_string", root / "filters/heuristic/string.py", {})
    repetition = load("nemo_repetition", root / "filters/heuristic/repetition/repetition.py", {})
    punctuation = text_filters.PunctuationFilter()
    scores: dict[str, Any] = {
        "few_plain_characters": lambda t: 1 - text_filters.NonAlphaNumericFilter().score_document(t),
        "too_many_symbols": text_filters.SymbolsToWordsFilter().score_document,
        "too_many_digits": text_filters.NumbersFilter().score_document,
        "mostly_addresses": text_filters.UrlsFilter().score_document,
        "too_much_white_space": text_filters.WhiteSpaceFilter().score_document,
        "too_many_brackets": text_filters.ParenthesesFilter().score_document,
        "mostly_policy": text_filters.BoilerPlateStringFilter().score_document,
        "repeated_lines": repetition.RepeatedLinesFilter().score_document,
        "repeated_paragraphs": repetition.RepeatedParagraphsFilter().score_document,
        "much_text_in_repeated_lines": repetition.RepeatedLinesByCharFilter().score_document,
        "much_text_in_repeated_paragraphs": repetition.RepeatedParagraphsByCharFilter().score_document,
        "too_few_words": text_filters.WordCountFilter().score_document,
        "few_lines_end_a_sentence": lambda t: 1 - punctuation.score_document(t),
        "too_few_words_with_letters": text_filters.WordsWithoutAlphabetsFilter().score_document,
        "too_few_common_words": text_filters.CommonEnglishWordsFilter(stop_at_false=False).score_document,
        "short_words": text_filters.MeanWordLengthFilter().score_document,
        "a_very_long_word": text_filters.LongWordFilter().score_document,
        "too_many_ellipsis_lines": text_filters.EllipsisFilter().score_document,
        "too_many_bullet_lines": text_filters.BulletsFilter().score_document,
    }
    for n in range(5, 11):
        scores[f"repeated_{n}_grams"] = repetition.RepeatingDuplicateNGramsFilter(n=n).score_document
    table: dict[str, Counter[str]] = {}
    texts = [text for text in texts if "lorem ipsum" not in text.lower()]
    for text, ours in zip(texts, values_of(Nemotron(), texts), strict=True):
        for name, score in scores.items():
            compared({"": table.setdefault(f"nemotron {name}", Counter())}, "", ours[name], score(text))
    return table


def golden(data: Path) -> dict[str, Counter[str]]:
    """data-prep-kit's expected values: those that do not depend on words, and C4's text and reasons."""
    table: dict[str, Counter[str]] = {}
    folder = data / "conformance/data-prep-kit"
    expected = pq.read_table(folder / "gopher_repetition_annotator/test-data/expected/test1.parquet").to_pylist()
    names = {
        "dup_line_frac": "repeated_lines", "dup_para_frac": "repeated_paragraphs",
        "dup_line_char_frac": "much_text_in_repeated_lines", "dup_para_char_frac": "much_text_in_repeated_paragraphs",
    }  # fmt: skip
    ours = values_of(Gopher(), [row["text"] for row in expected])
    for row, values in zip(expected, ours, strict=True):
        for theirs, name in names.items():
            compared({"": table.setdefault(f"golden gopher {name}", Counter())}, "", values[name], row[theirs])
    expected = pq.read_table(folder / "fineweb_quality_annotator/test-data/expected/test1.parquet").to_pylist()
    names = {
        "frac_line_punct": "few_lines_end_a_sentence", "dup_line_char_frac": "repeated_lines",
        "short_line_frac": "mostly_short_lines",
    }  # fmt: skip
    stage = Fineweb(min_terminal_line_ratio=0.12)
    columns = stage.open().measure(batch_of([row["text"] for row in expected]), Scratch())
    for index, row in enumerate(expected):
        for rule in stage.rules():
            for theirs, name in names.items():
                if rule.name == f"fineweb.{name}":
                    number, by = (columns[column][index].as_py() for column in rule.value)
                    entry = table.setdefault(f"golden fineweb {name}", Counter())
                    compared({"": entry}, "", number / by if by else None, row[theirs])
    expected = pq.read_table(folder / "c4_annotator/test-data/expected/test1.parquet").to_pylist()
    c4 = C4()
    changed, columns = c4.open().change(batch_of([row["text"] for row in expected]))
    labels = {
        "line-total": "lines", "line-filter-no_terminal_punc": "non_terminal_lines", "line-kept": "kept_lines",
        "line-filter-too_few_words": "short_lines",
    }  # fmt: skip
    for index, row in enumerate(expected):
        counts = json.loads(row["doc_stats"])
        for theirs, name in labels.items():
            entry = table.setdefault(f"golden c4 {name}", Counter())
            compared({"": entry}, "", columns[f"c4_{name}"][index].as_py(), counts.get(theirs, 0))
        if row["clean_contents"]:
            entry = table.setdefault("golden c4 text", Counter())
            entry["documents"] += 1
            entry["unequal"] += changed.column("text")[index].as_py() != row["clean_contents"]
    return table


def main(data: Path, most: int) -> None:
    texts = [text for text in documents(data)["en"] if text.strip()]
    step = max(1, len(texts) // most)
    some = texts[::step]
    result = {
        "end_to_end": end_to_end(some),
        "values": dolma(some[::3]) | nemo(some[::3]) | golden(data),
        "documents": len(some),
    }
    print(json.dumps(result, default=lambda value: value.item() if isinstance(value, np.generic) else str(value)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
