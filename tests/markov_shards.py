"""Writes a token run whose sources are Markov chains: a model that learns anything beats the unigram entropy.

Each source has its own chain over the same vocabulary: from a token, one of four next tokens. So context is worth
more than half of the bits, sources differ, and training on one does not serve another.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VOCAB_SIZE = 64
END = 0
BYTES_PER_TOKEN = 3


def write_markov_run(run: Path, num_documents: Mapping[str, int], num_held_out: int = 30) -> None:
    """`num_documents` to train on by source; each also gets `num_held_out` documents of 20-79 tokens."""
    entries = []
    for number, (source, count) in enumerate(num_documents.items()):
        generator = np.random.default_rng(number)
        chain = generator.integers(1, VOCAB_SIZE, (VOCAB_SIZE, 4))
        for bucket, documents in (("all", count), ("val", num_held_out)):
            path = f"tokens/{source}/{bucket}/00000"
            texts = [_document(chain, generator) for _ in range(documents)]
            lengths = [len(text) for text in texts]
            tokens = np.concatenate(texts).astype(np.uint16)
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            (run / f"{path}.bin").write_bytes(tokens.tobytes())
            columns = {
                "id": [f"{source}/{bucket}#{index}" for index in range(documents)],
                "token_start": np.cumsum([0, *lengths[:-1]]).tolist(),
                "num_tokens": lengths,
                "num_bytes": [BYTES_PER_TOKEN * (length - 1) for length in lengths],
            }
            pq.write_table(pa.table(columns), run / f"{path}.docs.parquet")
            entries.append(
                {
                    "source": source,
                    "bucket": bucket,
                    "split": "val" if bucket == "val" else "train",
                    "path": path,
                    "num_tokens": len(tokens),
                    "num_documents": documents,
                    "num_bytes": sum(columns["num_bytes"]),
                    "checksum": hashlib.blake2b(tokens.tobytes(), digest_size=16).hexdigest(),
                }
            )
    tokenizer = {"hash": "f00d", "kind": "sentencepiece-bpe", "vocab_size": VOCAB_SIZE, "end_of_document": END}
    body = {"format": 1, "dtype": "uint16", "tokenizer": tokenizer | {"path": "tokenizer/model"}, "shards": entries}
    (run / "tokens" / "manifest.json").write_text(json.dumps(body))


def _document(chain: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", generator: np.random.Generator) -> list[int]:
    tokens = [int(generator.integers(1, VOCAB_SIZE))]
    for branch in generator.integers(0, 4, int(generator.integers(18, 78))).tolist():
        tokens.append(int(chain[tokens[-1], branch]))
    return [*tokens, END]
