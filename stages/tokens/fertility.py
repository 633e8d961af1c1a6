"""How well a tokenizer fits: bytes, characters and words per token by source, language and bucket, and idle pieces.

Of a run it is counted from the token files and their document rows, so nothing is encoded again; of texts at hand
from their ids. Read characters per token where a language has no spaces, tokens per word where it has: a document
without words by text_lengths.py counts for neither words nor their tokens. Cost: one pass over the ids.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import text_buffers
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.token_shards import TokenShard, read_manifest

CHUNK_TOKENS = 1 << 22
SHOWN_PIECES = 20
ROW = ["lang", "num_bytes", "num_tokens", "num_characters", "num_words", "lossless"]


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
        """Count a document: a row with the columns ROW."""
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
    for shard in manifest.shards:
        count_uses(shard, found.uses)
        bucket = f"{shard.source}/{shard.bucket}"
        for row in shard.documents(ROW).to_pylist():
            language = row["lang"] or "unknown"
            found.add(row, sources=shard.source, languages=language, buckets=bucket, files=f"{shard.path}.bin")
    return found.as_json(encoder)


def fertility_of_texts(encoder: Encoder, texts: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """Of texts, (source, language, text) each: by sources and languages."""
    from corpusmill.stages.kernels.text_lengths import text_lengths

    found = Fertility(np.zeros(encoder.card.vocab_size, dtype=np.int64))
    for source, language, text in texts:
        column = pa.array([text], pa.large_string())
        ids, offsets = encoder.encode(column)
        found.uses += np.bincount(ids, minlength=len(found.uses))
        characters, words = np.zeros(1, np.int64), np.zeros(1, np.int64)
        text_lengths(*text_buffers(column), characters, words)
        row = {
            "num_bytes": len(text.encode()),
            "num_tokens": len(ids) + 1,
            "num_characters": int(characters[0]),
            "num_words": int(words[0]),
            "lossless": bool(encoder.lossless(column, ids, offsets)[0]),
        }
        found.add(row, sources=source, languages=language)
    return found.as_json(encoder)


def count_uses(shard: TokenShard, uses: npt.NDArray[np.int64]) -> None:
    """Add how often each id [vocab_size] stands in a file."""
    for start in range(0, shard.num_tokens, CHUNK_TOKENS):
        ids = shard.tokens(start, min(start + CHUNK_TOKENS, shard.num_tokens))
        uses += np.bincount(ids, minlength=len(uses))


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
