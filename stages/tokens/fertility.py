"""How well a tokenizer fits: bytes, characters and words per token by source, language and bucket, and idle pieces.

Of a run it is counted from the token files and their document rows, so nothing is encoded again; of texts at hand
from their ids. Characters and words are those of the text that the ids give back, with a space that the tokenizer
adds. Read characters per token where a language has no spaces, tokens per word where it has: a document without words
by text_lengths.py counts for neither words nor their tokens. Cost: one pass over the ids and their text.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.token_shards import read_manifest

CHUNK_TOKENS = 1 << 22
SHOWN_PIECES = 20
ROW = ["lang", "num_bytes", "num_tokens", "lossless"]


@dataclass
class Tally:
    """Counts of one group of documents; tokens without end ids."""

    documents: int = 0
    num_bytes: int = 0
    characters: int = 0
    tokens: int = 0
    words: int = 0
    tokens_in_words: int = 0
    not_lossless: int = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count a document: a row with the columns ROW and what `Spelling.lengths` counted."""
        tokens = row["num_tokens"] - 1
        self.documents += 1
        self.num_bytes += row["num_bytes"]
        self.characters += row["num_characters"]
        self.tokens += tokens
        self.words += row["num_words"]
        self.tokens_in_words += tokens if row["num_words"] else 0
        self.not_lossless += not row["lossless"]

    def as_json(self) -> dict[str, Any]:
        def ratio(upper: int, lower: int) -> float | None:
            return round(upper / lower, 4) if lower else None

        return {
            "documents": self.documents,
            "bytes": self.num_bytes,
            "characters": self.characters,
            "tokens": self.tokens,
            "bytes_per_token": ratio(self.num_bytes, self.tokens),
            "characters_per_token": ratio(self.characters, self.tokens),
            "tokens_per_word": ratio(self.tokens_in_words, self.words),
            "not_lossless": self.not_lossless,
        }


@dataclass
class Fertility:
    """Tallies by group, and how often each id stands in the documents."""

    uses: npt.NDArray[np.int64]  # [vocabulary]
    groups: dict[str, dict[str, Tally]] = field(default_factory=dict)

    def add(self, row: dict[str, Any], **groups: str) -> None:
        """Count a document in these groups: `sources="web"`."""
        for kind, name in groups.items():
            self.groups.setdefault(kind, {}).setdefault(name, Tally()).add(row)

    def as_json(self, encoder: Encoder) -> dict[str, Any]:
        """{format, sources: {name: …}, languages: …, …, pieces: {…}}."""
        kinds = {
            kind: {name: tally.as_json() for name, tally in sorted(found.items())}
            for kind, found in self.groups.items()
        }
        return {"format": 1, **kinds, "pieces": piece_report(encoder, self.uses)}


def fertility(run: RunFolder, encoder: Encoder) -> dict[str, Any]:
    """Of a finished run: by sources, languages, buckets (`<source>/<bucket>`) and files; `val` is a bucket."""
    manifest = read_manifest(run)
    found = Fertility(np.zeros(manifest.card.vocab_size, dtype=np.int64))
    spelling = Spelling(encoder)
    for shard in manifest.shards:
        bucket = f"{shard.source}/{shard.bucket}"
        documents = shard.documents(ROW)
        ends = np.cumsum(integers(one_chunk(documents, "num_tokens")))
        first = start = 0
        while first < len(ends):
            last = max(first + 1, int(np.searchsorted(ends, start + CHUNK_TOKENS, side="right")))
            ids = shard.tokens(start, int(ends[last - 1]))
            found.uses += np.bincount(ids, minlength=len(found.uses))
            characters, words = spelling.lengths(ids, np.r_[start, ends[first:last]] - start)
            rows = documents.slice(first, last - first).to_pylist()
            for row, num_characters, num_words in zip(rows, characters.tolist(), words.tolist(), strict=True):
                row |= {"num_characters": num_characters, "num_words": num_words}
                language = row["lang"] or "unknown"
                found.add(row, sources=shard.source, languages=language, buckets=bucket, files=f"{shard.path}.bin")
            first, start = last, int(ends[last - 1])
    return found.as_json(encoder)


def fertility_of_texts(encoder: Encoder, texts: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """Of texts, (source, language, text) each: by sources and languages."""
    found = Fertility(np.zeros(encoder.card.vocab_size, dtype=np.int64))
    spelling = Spelling(encoder)
    for source, language, text in texts:
        column = pa.array([text], pa.large_string())
        ids, offsets = encoder.encode(column)
        found.uses += np.bincount(ids, minlength=len(found.uses))
        characters, words = spelling.lengths(ids, offsets)
        row = {
            "num_bytes": len(text.encode()),
            "num_tokens": len(ids) + 1,
            "num_characters": int(characters[0]),
            "num_words": int(words[0]),
            "lossless": bool(encoder.lossless(column, ids, offsets)[0]),
        }
        found.add(row, sources=source, languages=language)
    return found.as_json(encoder)


class Spelling:
    """Characters and words of documents, from their ids."""

    def __init__(self, encoder: Encoder) -> None:
        pieces = encoder.spelled()
        self.ends = np.r_[0, np.cumsum([len(piece) for piece in pieces])].astype(np.int64)
        self.pieces = np.frombuffer(b"".join(pieces), dtype=np.uint8)

    def lengths(
        self, ids: npt.NDArray[Any], offsets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(characters, words), both [documents], of ids[offsets[i] : offsets[i + 1]]."""
        from corpusmill.stages.kernels.spelled_ids import spell
        from corpusmill.stages.kernels.text_lengths import text_lengths

        ids = ids.astype(np.int64)
        data = np.empty(int((self.ends[ids + 1] - self.ends[ids]).sum()), dtype=np.uint8)
        ends = np.zeros(len(offsets), dtype=np.int64)
        spell(ids, offsets, self.ends, self.pieces, data, ends[1:])
        characters, words = np.zeros(len(ends) - 1, np.int64), np.zeros(len(ends) - 1, np.int64)
        for array in (data, ends):
            array.setflags(write=False)  # as `text_buffers` gives them
        text_lengths(data, ends, characters, words)
        return characters, words


def piece_report(encoder: Encoder, uses: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Pieces never used, used once, written like another one, and like another but for case and spaces around."""
    pieces = [encoder.piece(token) for token in range(len(uses))]
    texts = [surface(piece) for piece in pieces]
    duplicates, variants = later_ones(texts), later_ones([text.strip().casefold() for text in texts])
    unused = np.flatnonzero(uses == 0)
    return {
        "vocabulary": len(uses),
        "unused": len(unused),
        "used_once": int((uses == 1).sum()),
        "duplicates": len(duplicates),
        "variants": len(variants - duplicates),
        "examples": {
            "unused": [pieces[token] for token in unused[:SHOWN_PIECES]],
            "duplicates": [pieces[token] for token in sorted(duplicates)[:SHOWN_PIECES]],
            "variants": [pieces[token] for token in sorted(variants - duplicates)[:SHOWN_PIECES]],
        },
    }


def surface(piece: str) -> str:
    """What a piece is in text: spaces for U+2581, and the character of an ASCII byte piece such as `<0x41>`."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">") and int(piece[3:5], 16) < 128:
        return chr(int(piece[3:5], 16))
    return piece.replace("\u2581", " ")


def later_ones(texts: list[str]) -> set[int]:
    """Indices of texts, none of them empty, that an earlier one equals."""
    seen: set[str] = set()
    found: set[int] = set()
    for index, text in enumerate(texts):
        if text and text in seen:
            found.add(index)
        seen.add(text)
    return found
