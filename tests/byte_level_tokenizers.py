"""Byte-level tokenizers for tests: published ones, and small ones trained here."""

import gzip
import json
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard

from corpusmill.stages.tokens.byte_level import ByteLevelLibrary
from corpusmill.stages.tokens.tiktoken_file import PATTERNS, open_tiktoken, tiktoken_card
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.tokenizer_json import json_card, open_tokenizer_json
from corpusmill.stages.tokens.train_byte_level import train_byte_level

TRAINING = [
    "the cat sat on the mat, then the other cat sat there too. " * 20,
    "人民法院应当依照法律规定独立行使审判权，不受行政机关的干涉。" * 20,
    "def f(x):\n    return x + 1\n\n\n        # comment 12345\n" * 10,
    "Ça déjà vu, naïve café; привет мир; مرحبا بالعالم; नमस्ते दुनिया; สวัสดีชาวโลก " * 10,
]


def ranks(name: str) -> bytes:
    """A published tiktoken file: cl100k or o200k."""
    spec = find_spec("bpe_openai")  # importing it warns
    assert spec is not None
    assert spec.origin is not None
    return gzip.decompress((Path(spec.origin).parent / "data" / f"{name}_base.tiktoken.gz").read_bytes())


def neox() -> bytes:
    """The published tokenizer of gpt-neox-20b."""
    path = Path(os.environ["CORPUSMILL_DATA"]) / "conformance/tokenizers/gpt-neox-20b.tokenizer.json.zst"
    return zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())


@cache
def trained(**settings: Any) -> bytes:
    """A small tokenizer.json."""
    texts = pa.array(TRAINING, pa.large_string())
    return train_byte_level(texts, TokenizerSettings(train="byte-level-bpe", vocab_size=600, **settings))


def changed(data: bytes, **parts: Any) -> bytes:
    """A tokenizer.json with some parts replaced."""
    return json.dumps(json.loads(data) | parts).encode()


@cache
def library(name: str) -> ByteLevelLibrary:
    """cl100k, o200k, neox, or trained: the tokenizer with its own library."""
    if name in PATTERNS:
        return open_tiktoken(ranks(name), tiktoken_card(ranks(name), PATTERNS[name], None, name))
    data = neox() if name == "neox" else trained()
    return open_tokenizer_json(data, json_card(data, None))
