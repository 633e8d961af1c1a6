"""Reads evaluation suites: local JSONL files (.jsonl, .gz, .zst), one item a line, with a mapping of their fields."""

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusmill.pipeline.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The names that a suite's lines use. A name that no line has is no mistake, but `question` is required."""

    suite: str = "benchmark"  # absent: the file's name
    subset: str = "subset"
    item: str = "id"  # absent: the line's number from 0
    question: str = "question"
    choices: str = "choices"  # a list of texts
    answer: str = "answer"  # a text, or the number or letter of a choice


@dataclass(frozen=True)
class Item:
    """One question of a suite."""

    name: str  # suite/subset/id, what people see
    question: str
    answer: str  # its text; '' where there is none
    choices: tuple[str, ...]


def read_suites(paths: Sequence[Path], fields: Fields) -> list[Item]:
    """The items of all files in order; raises RequestError at the first line that is no item."""
    return [item for path in paths for item in _read_file(path, fields)]


def _read_file(path: Path, fields: Fields) -> Iterator[Item]:
    stem = path.name.split(".")[0]
    for number, line in enumerate(_lines(path)):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RequestError(f"{path}, line {number + 1}: no JSON ({error}). Mend the suite.") from error
        question = record.get(fields.question) if isinstance(record, dict) else None
        if not isinstance(question, str):
            raise RequestError(
                f"{path}, line {number + 1}: field '{fields.question}' is {type(question).__name__}, not a string. "
                "Name the question's field in the settings of decontaminate."
            )
        choices = tuple(str(choice) for choice in record.get(fields.choices) or ())
        parts = (record.get(fields.suite, stem), record.get(fields.subset), record.get(fields.item, number))
        name = "/".join(str(part) for part in parts if part not in (None, ""))
        yield Item(name, question, answer_text(record.get(fields.answer), choices), choices)


def answer_text(answer: Any, choices: Sequence[str]) -> str:
    """The answer's text: that of the choice which it numbers (from 0) or letters (from A), or the answer itself."""
    if answer is None:
        return ""
    written = str(answer).strip()
    if choices and written.isascii() and written.isdigit() and int(written) < len(choices):
        return choices[int(written)]
    if choices and len(written) == 1 and 0 <= ord(written.upper()) - ord("A") < len(choices):
        return choices[ord(written.upper()) - ord("A")]
    return written


def _lines(path: Path) -> Iterator[str]:
    """Lines of a file, split at line feeds alone."""
    if not path.exists():
        raise RequestError(f"{path}: no such file. Correct `suites`.")
    if path.suffix == ".zst":
        import zstandard

        with zstandard.open(path, "rb") as raw:
            yield from io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
    elif path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as text:
            yield from text
    else:
        with path.open(encoding="utf-8", newline="\n") as text:
            yield from text
