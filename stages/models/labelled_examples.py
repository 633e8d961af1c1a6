"""Labelled texts to train a classifier with: where they come from, and which are held out.

Held out is decided by hash of the group (a template family, a site), or of the text where there is none, so equal texts
and whole families lie on one side, whatever the order of the files.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.collect.compressed import DamagedInputError, decompressed


@dataclass(frozen=True)
class Example:
    """One labelled text. `group` keeps together what must not be split; empty is the text itself. `times` is how
    often an epoch sees it, or what it weighs; only the logistic trainer takes fractions."""

    text: str
    positive: bool
    source: str
    license: str
    lang: str = ""
    group: str = ""
    times: float = 1

    def held_out(self, one_in: int) -> bool:
        return hash_text(self.group or self.text) % one_in == 0


def hash_text(text: str) -> int:
    """64 bits of the text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def read_examples(paths: Iterable[Path], *, positive: bool) -> Iterator[Example]:
    """Rows of JSON lines (plain, .gz or .zst) and kept documents of run folders.

    A row has `text`, and where it has them `source` (else the file's name), `license`, `lang` and `group`; of a run's
    documents these are columns, the group is the host of the URL. RequestError names file and line of a row
    without text.
    """
    for path in paths:
        if not path.exists():
            raise RequestError(f"{path}: no such file or folder. Give JSON lines with a field `text`, or run folders.")
        yield from _of_run(path, positive) if path.is_dir() else _of_file(path, positive)


def _of_file(path: Path, positive: bool) -> Iterator[Example]:
    for number, row in enumerate(read_rows(path), start=1):
        if not isinstance(row.get("text"), str):
            raise RequestError(f"{path}:{number}: field 'text' is no string. Give rows with a text each.")
        license_, lang, group = (str(row.get(name) or "") for name in ("license", "lang", "group"))
        yield Example(row["text"], positive, str(row.get("source") or path.name), license_, lang, group)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file, one after the other; RequestError names the line of what is none."""
    with path.open("rb") as raw:
        rest = b""
        number = 0
        try:
            for chunk in itertools.chain(decompressed(raw), (b"\n",)):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        number += 1
                        yield _row(path, number, line)
        except DamagedInputError as error:
            raise RequestError(f"{path}: damaged behind row {number}: {error}. Restore the file.") from error


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RequestError(f"{path}:{number}: no JSON: {error}. Give one object a line.") from error
    if not isinstance(row, dict):
        raise RequestError(f"{path}:{number}: no JSON object. Give one object a line, with a field `text`.")
    return row


def _of_run(path: Path, positive: bool) -> Iterator[Example]:
    from urllib.parse import urlsplit

    run = RunFolder(str(path))
    parts = final_parts(run) if (path / "phases.json").exists() else []
    if not parts:
        raise RequestError(f"{path}: no run folder with documents is here. Build one, or give JSON lines.")
    for part in parts:
        for batch in read_part(run, part, text=True):
            columns = {name: batch.column(name).to_pylist() for name in ("text", "source", "lang", "url")}
            for text, source, lang, url in zip(*columns.values(), strict=True):
                host = urlsplit(str(url or "")).hostname or ""
                yield Example(str(text or ""), positive, str(source), "", str(lang or ""), host)


def count_sources(examples: Iterable[Example]) -> list[dict[str, Any]]:
    """How many examples each source gave, by language, licence and label."""
    counted = Counter((e.source, e.lang, e.license, e.positive) for e in examples)
    return [
        {"source": source, "lang": lang, "license": license_, "positive": positive, "num_examples": number}
        for (source, lang, license_, positive), number in sorted(counted.items())
    ]
