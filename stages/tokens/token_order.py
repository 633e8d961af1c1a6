"""The order of documents in token shards: by a keyed hash of their ids.

A hash order is a shuffle that needs no state: any worker finds a document's place from its id and the seed alone, and
a document that is added moves no other one. BLAKE2b from the standard library: under 1 us a document.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HASH_BITS = 64


def hash_texts(texts: Iterable[str], seed: int, purpose: str) -> npt.NDArray[np.uint64]:
    """Uniform uint64 hashes, one per text; different for every seed and purpose."""
    keyed = blake2b(digest_size=8, key=f"{purpose}:{seed}".encode()[:64])
    digests = []
    for text in texts:
        digest = keyed.copy()  # the key is hashed once
        digest.update(text.encode())
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def document_hashes(batch: pa.RecordBatch, seed: int, purpose: str) -> npt.NDArray[np.uint64]:
    """Hashes of a batch's `id`s."""
    return hash_texts(cast("list[str]", batch.column("id").to_pylist()), seed, purpose)


def group_hashes(batch: pa.RecordBatch, seed: int, split_by: str | None) -> npt.NDArray[np.uint64]:
    """Hashes of what must not be divided: the column `split_by`, else the near-duplicate `group`, else the `id`."""
    groups = batch.column(split_by or "group").to_pylist()
    ids = cast("list[str]", batch.column("id").to_pylist())
    names = [f"id\0{name}" if group is None else f"group\0{group}" for group, name in zip(groups, ids, strict=True)]
    return hash_texts(names, seed, "split")
