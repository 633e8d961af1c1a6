"""Training tokenizers alone, on files or on a run's kept documents, with a report of how they fit: `train-tokenizer`.

The sample is chosen by hash, so it is the same whatever the order of the files; with weights it is shared by them among
sources (a run's sources, or the names of files) and languages (`lang`). A twentieth of the texts by another hash is not
learned from and measures fertility. Memory: the sample, twice, for every group that has a weight.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, cast

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.fertility import fertility_of_texts
from corpusmill.stages.tokens.token_order import hash_texts
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.tokenizer_file import card_of, open_encoder
from corpusmill.stages.tokens.tokenizer_sample import UNKNOWN_LANGUAGE, groups_of, sample_quotas
from corpusmill.stages.tokens.vocabulary import train

MAX_TEXT = 1 << 20
"""Characters of a plain text file that count as one document to choose."""
MEASURED_SHARE, MEASURED_BYTES = 20, 4 << 20
"""One text in 20 is kept for measuring, at most 4 MiB of them."""

Text = tuple[str, str, str]
"""(source, language, text)."""


def train_tokenizer_on(
    paths: Sequence[str], out: Path, *, vocab_sizes: Sequence[int], kind: str, **settings: Any
) -> list[dict[str, Any]]:
    """Train on run folders, JSON lines (fields `text`, `lang`) and plain text, once per vocabulary size.

    Writes each tokenizer with its card and `fertility.json` into `out`, or into `out/<size>` where there are several.
    Gives {path, card, fertility} of each.
    """
    chosen = TokenizerSettings(train=kind, vocab_size=vocab_sizes[0], **settings)
    sizes = [replace(chosen, vocab_size=size) for size in vocab_sizes]
    learned, measured = split_texts(paths, chosen)
    found = []
    for each in sizes:
        folder = out if len(sizes) == 1 else out / str(each.vocab_size)
        found.append(train_one(learned, measured, each, folder))
    return found


def split_texts(paths: Sequence[str], settings: TokenizerSettings) -> tuple[list[str], list[Text]]:
    """What is learned from, and what measures."""
    groups: dict[str, SmallestByHash] = {}
    measured = SmallestByHash(MEASURED_BYTES)
    totals: dict[str, int] = {}
    for path in paths:
        for text in texts_of(path):
            if not text[2]:
                continue
            (held,) = hash_texts([text[2]], 1, "train-tokenizer")
            if held % MEASURED_SHARE == 0:
                measured.add(text)
                continue
            (group,) = groups_of(text[0], [text[1]], settings)
            groups.setdefault(group, SmallestByHash(settings.sample_bytes)).add(text)
            totals[group] = totals.get(group, 0) + len(text[2].encode())
    if not totals:
        raise RequestError(
            f"{', '.join(paths)}: no text. Give run folders, JSON lines with a field `text`, or text files."
        )
    quotas = sample_quotas(totals, settings)
    learned = [text for group, quota in sorted(quotas.items()) if quota for text in groups[group].take(quota)]
    return [text for _, _, text in learned], measured.take(MEASURED_BYTES) or learned


def train_one(learned: list[str], measured: list[Text], settings: TokenizerSettings, out: Path) -> dict[str, Any]:
    """Train, write, measure."""
    data = train(pa.array(learned, pa.large_string()), settings)
    card = card_of(data, settings.train or "", settings.end_of_document)
    report = fertility_of_texts(open_encoder(data, card), measured)
    out.mkdir(parents=True, exist_ok=True)
    (out / PurePath(card.path).name).write_bytes(data)
    for name, body in (("card.json", card.as_json()), ("fertility.json", report)):
        (out / name).write_text(json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    return {"path": str(out / PurePath(card.path).name), "card": card.as_json(), "fertility": report}


class SmallestByHash:
    """The texts with the smallest hashes, about `max_bytes` of them; the same whatever the order of adding."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.num_bytes = max_bytes, 0
        self._bound = 1 << 64
        self._kept: list[tuple[int, Text]] = []

    def add(self, text: Text) -> None:
        (found,) = hash_texts([text[2]], 0, "train-tokenizer")
        if found < self._bound:
            self._kept.append((int(found), text))
            self.num_bytes += len(text[2].encode())
            if self.num_bytes > 2 * self.max_bytes:
                self._trim(self.max_bytes)

    def _trim(self, max_bytes: int) -> None:
        self._kept.sort()
        ends = np.cumsum([len(text.encode()) for _, (_, _, text) in self._kept])
        stop = int(np.searchsorted(ends, max_bytes)) + 1
        if stop < len(self._kept):
            self._bound = self._kept[stop][0]
            del self._kept[stop:]
            self.num_bytes = int(ends[stop - 1])

    def take(self, max_bytes: int) -> list[Text]:
        """The chosen texts in hash order, `max_bytes` of them and what the last one has beyond."""
        self._trim(max_bytes)
        return [text for _, text in sorted(self._kept)]


def texts_of(path: str) -> Iterator[Text]:
    """The documents of a run folder, a JSON lines file or a text file."""
    place = Path(path)
    if (place / "phases.json").exists():
        run = RunFolder(path)
        for part in final_parts(run):
            for batch in read_part(run, part, text=True):
                columns = (cast("list[Any]", batch.column(name).to_pylist()) for name in ("lang", "text"))
                yield from ((part.source, lang or UNKNOWN_LANGUAGE, text) for lang, text in zip(*columns, strict=True))
    elif place.is_dir():
        for file in sorted(found for found in place.rglob("*") if found.is_file()):
            yield from texts_of(str(file))
    elif not place.exists():
        raise RequestError(f"{path}: no such file or folder.")
    else:
        import fsspec

        source = place.name.split(".")[0]
        compression = {".gz": "gzip", ".zst": "zstd"}.get(place.suffix)
        with fsspec.open(path, "rt", encoding="utf-8", errors="replace", newline="\n", compression=compression) as file:
            if ".jsonl" in place.suffixes:
                yield from json_texts(path, source, file)
            else:
                while text := file.read(MAX_TEXT):
                    yield source, UNKNOWN_LANGUAGE, text


def json_texts(path: str, source: str, lines: Iterable[str]) -> Iterator[Text]:
    """The texts of JSON lines."""
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            text, language = record.get("text"), record.get("lang")
        except (ValueError, AttributeError) as error:
            raise RequestError(
                f"{path}, line {number}: no JSON object ({error}). Mend or leave out the file."
            ) from error
        yield source, str(language or UNKNOWN_LANGUAGE), str(text or "")
