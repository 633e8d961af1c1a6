"""Training a tokenizer alone, on files or on a run's kept documents: `corpusmill train-tokenizer`.

The sample is a fixed share of stretches chosen by hash, so it is the same whatever the order of the files.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_order import hash_texts
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.tokenizer_file import card_of
from corpusmill.stages.tokens.vocabulary import train

MAX_TEXT = 1 << 20
"""Characters of a plain text file that count as one document to choose."""


def train_tokenizer_on(
    paths: Iterable[str], out: Path, *, vocab_size: int, kind: str, **settings: Any
) -> dict[str, Any]:
    """Train on run folders, JSON lines (field `text`) and plain text; write model and card, and give the card."""
    chosen = TokenizerSettings(train=kind, vocab_size=vocab_size, **settings)
    texts = SmallestByHash(chosen.sample_bytes)
    for path in paths:
        for text in texts_of(path):
            texts.add(text)
    if not texts.num_bytes:
        raise RequestError(
            f"{', '.join(paths)}: no text. Give run folders, JSON lines with a field `text`, or text files."
        )
    data = train(pa.array(texts.take(), pa.large_string()), chosen)
    card = card_of(data, kind, chosen.end_of_document)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.model").write_bytes(data)
    (out / "tokenizer.json").write_text(json.dumps(card.as_json(), indent=1, sort_keys=True) + "\n")
    return card.as_json()


class SmallestByHash:
    """The texts with the smallest hashes, about `max_bytes` of them; the same whatever the order of adding."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.num_bytes = max_bytes, 0
        self._bound = 1 << 64
        self._kept: list[tuple[int, str]] = []

    def add(self, text: str) -> None:
        (found,) = hash_texts([text], 0, "train-tokenizer")
        if found < self._bound:
            self._kept.append((int(found), text))
            self.num_bytes += len(text.encode())
            if self.num_bytes > 2 * self.max_bytes:
                self._trim()

    def _trim(self) -> None:
        self._kept.sort()
        ends = np.cumsum([len(text.encode()) for _, text in self._kept])
        stop = int(np.searchsorted(ends, self.max_bytes)) + 1
        if stop < len(self._kept):
            self._bound = self._kept[stop][0]
            del self._kept[stop:]
            self.num_bytes = int(ends[stop - 1])

    def take(self) -> list[str]:
        """The chosen texts in hash order."""
        self._trim()
        return [text for _, text in sorted(self._kept)]


def texts_of(path: str) -> Iterator[str]:
    """The documents of a run folder, a JSON lines file or a text file."""
    place = Path(path)
    if (place / "phases.json").exists():
        run = RunFolder(path)
        for part in final_parts(run):
            for batch in read_part(run, part, text=True):
                yield from cast("list[str]", batch.column("text").to_pylist())
    elif place.is_dir():
        for file in sorted(found for found in place.rglob("*") if found.is_file()):
            yield from texts_of(str(file))
    elif not place.exists():
        raise RequestError(f"{path}: no such file or folder.")
    else:
        import fsspec

        compression = {".gz": "gzip", ".zst": "zstd"}.get(place.suffix)
        with fsspec.open(path, "rt", encoding="utf-8", errors="replace", newline="\n", compression=compression) as file:
            if ".jsonl" in place.suffixes:
                yield from (str(json.loads(line).get("text") or "") for line in file)
            else:
                while text := file.read(MAX_TEXT):
                    yield text
