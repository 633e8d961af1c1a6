"""Writes small token shards of the layout that `mixtures/sources.py` reads, for the tests of mixtures.

Every token says where it is: token i of a source is (offset + i) modulo the vocabulary, so a test knows what a row
must hold without reading the shard.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VOCAB_SIZE = 50_021


def write_shards(run: Path, sources: Mapping[str, Sequence[int]], document_tokens: int = 100) -> None:
    """`sources` maps `web` or `web/bucket` to the tokens of each of its files."""
    entries = []
    for number, (name, files) in enumerate(sources.items()):
        source, _, bucket = name.partition("/")
        bucket = bucket or "all"
        first = 0
        for index, num_tokens in enumerate(files):
            path = f"tokens/{source}/{bucket}/{index:05d}"
            tokens = expected_tokens(number, first, num_tokens)
            first += num_tokens
            target = run / f"{path}.bin"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(tokens.tobytes())
            starts = list(range(0, num_tokens, document_tokens))
            documents = {
                "id": [f"{name}/{index}#{start}" for start in starts],
                "source": [source] * len(starts),
                "url": pa.array([None] * len(starts), type=pa.string()),
                "token_start": starts,
                "num_tokens": [min(document_tokens, num_tokens - start) for start in starts],
            }
            pq.write_table(pa.table(documents), run / f"{path}.docs.parquet")
            entries.append(
                {
                    "source": source,
                    "bucket": bucket,
                    "split": "val" if bucket == "val" else "train",
                    "path": path,
                    "num_tokens": num_tokens,
                    "num_documents": len(starts),
                    "num_bytes": 4 * num_tokens,
                    "checksum": hashlib.blake2b(tokens.tobytes(), digest_size=16).hexdigest(),
                }
            )
    write_manifest(run, entries)


def write_manifest(run: Path, entries: Sequence[Mapping[str, object]], tokenizer_hash: str = "f00d") -> None:
    """The manifest alone: plans need nothing else."""
    tokenizer = {"hash": tokenizer_hash, "kind": "sentencepiece-bpe", "vocab_size": VOCAB_SIZE}
    tokenizer |= {"end_of_document": 0, "path": "tokenizer/model"}
    body = {"format": 1, "seed": 7, "dtype": "uint16", "tokenizer": tokenizer, "shards": list(entries)}
    (run / "tokens").mkdir(parents=True, exist_ok=True)
    (run / "tokens" / "manifest.json").write_text(json.dumps(body))


def expected_tokens(number: int, start: int, count: int) -> "np.ndarray[tuple[int], np.dtype[np.uint16]]":
    """Tokens [start, start + count) of source `number`."""
    return ((np.arange(start, start + count) * 7 + 1009 * number) % VOCAB_SIZE).astype(np.uint16)
