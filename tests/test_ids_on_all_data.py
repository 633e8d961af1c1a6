"""Ids on every string of the shared data, once each, against the library's own. Marked `scale`: 10 to 20 minutes."""

import gzip
import io
import json
import os
import time
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from byte_level_tokenizers import library

from corpusmill.pipeline.document import Column
from corpusmill.stages.tokens.byte_level_encoder import ByteLevelEncoder, checked_encoder
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.model_proto import SentencePieceModel
from corpusmill.stages.tokens.segment_encoder import SegmentEncoder, open_sentencepiece
from corpusmill.stages.tokens.sentencepiece_library import SentencePieceLibrary, sentencepiece_card
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.tokenizer_json import json_card, open_tokenizer_json
from corpusmill.stages.tokens.train_byte_level import train_byte_level
from corpusmill.stages.tokens.train_sentencepiece import train_sentencepiece

pytestmark = [
    pytest.mark.scale,
    pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="needs the shared data"),
]
BATCH_BYTES = 8 << 20
SENTENCEPIECE: dict[str, dict[str, Any]] = {
    "sentencepiece": {},
    "sentencepiece without byte fallback": {"byte_fallback": False},
    "sentencepiece NFKC": {"normalizer": "nmt_nfkc"},
    "sentencepiece NFKC without byte fallback": {"normalizer": "nmt_nfkc", "byte_fallback": False},
    "sentencepiece user-defined": {"user_defined": ("<sep>", "½", "th", "法律")},
}


@pytest.mark.parametrize("name", ["cl100k", "o200k", "neox", "byte-level", "byte-level NFKC", *SENTENCEPIECE])
def test_ids_are_the_librarys(name: str) -> None:
    ours, theirs = both(name)
    started = time.monotonic()
    num_texts = num_bytes = num_tokens = 0
    for texts in batches():
        ids, offsets = ours.encode(texts)
        expected, ends = theirs.encode(texts)
        for row in np.flatnonzero(np.diff(offsets) != np.diff(ends)).tolist()[:1]:
            raise AssertionError(f"{name}: {str(texts[row])[:200]!r}")
        assert np.array_equal(ids, expected)
        num_texts += len(texts)
        num_bytes += texts.nbytes
        num_tokens += len(ids)
    print(f"\n{name}: {num_texts:,} texts, {num_bytes / 1e6:.1f} MB, {num_tokens:,} ids equal", end="")
    print(f", {time.monotonic() - started:.0f} s")
    assert num_bytes > 50e6


def both(name: str) -> tuple[Encoder, Encoder]:
    """The fast encoder and the library; what is trained has 16,000 pieces and learns from every 40th text."""
    if name in SENTENCEPIECE:
        settings = TokenizerSettings(vocab_size=16_000, **SENTENCEPIECE[name])
        data = train_sentencepiece(sample(), settings)
        model = SentencePieceModel(data)
        card = sentencepiece_card(model)
        ours = open_sentencepiece(model, card)
        assert isinstance(ours, SegmentEncoder)
        return ours, SentencePieceLibrary(model, card)
    if name.startswith("byte-level"):
        normalizer = "nfkc" if "NFKC" in name else "identity"
        settings = TokenizerSettings(train="byte-level-bpe", vocab_size=16_000, normalizer=normalizer)
        data = train_byte_level(sample(), settings)
        opened = open_tokenizer_json(data, json_card(data, None))
    else:
        opened = library(name)
    found = checked_encoder(opened)
    assert isinstance(found, ByteLevelEncoder), found
    return found, opened


@cache
def sample() -> Column:
    return pa.array([str(text) for batch in batches() for text in batch[::40]], pa.large_string())


def batches() -> Iterator[Column]:
    """Every text once, about BATCH_BYTES at a time."""
    waiting: list[str] = []
    num_bytes = 0
    seen: set[bytes] = set()
    for text in all_texts():
        data = text.encode("utf-8", errors="ignore")
        key = blake2b(data, digest_size=12).digest()
        if key in seen:
            continue
        seen.add(key)
        waiting.append(data.decode())
        num_bytes += len(data)
        if num_bytes >= BATCH_BYTES:
            yield pa.array(waiting, pa.large_string())
            waiting, num_bytes = [], 0
    if waiting:
        yield pa.array(waiting, pa.large_string())


def all_texts() -> Iterator[str]:
    """Every string in every JSON lines file, and every other file that is text, whole."""
    for path in sorted(Path(os.environ["CORPUSMILL_DATA"]).rglob("*")):
        if not path.is_file():
            continue
        name = path.name.removesuffix(".zst").removesuffix(".gz")
        data = content(path)
        if name.endswith(".jsonl"):
            for line in io.BytesIO(data):
                yield from strings(json.loads(line))
        elif b"\0" not in data[:4096]:
            try:
                yield data.decode()
            except UnicodeDecodeError:
                continue


def content(path: Path) -> bytes:
    raw = path.read_bytes()
    try:
        if path.suffix == ".zst":
            return zstandard.ZstdDecompressor().decompressobj().decompress(raw)
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zstandard.ZstdError):
        return b"\0"  # a file that is damaged on purpose


def strings(value: Any) -> Iterator[str]:
    """The strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)
