"""MosaicML streaming (MDS, version 2): a document is a sample, its id and its ids with the end id.

Shard: u32 N | u32 offsets[N + 1], absolute | settings as JSON | samples. Sample: u32 sizes of the variable columns,
then the columns by name. `tokens` is `ndarray:uint16` or `ndarray:uint32`: a byte (dimensions << 2 | code of the width
of the shape), the shape, the values. Offsets are 32 bits, so shards are cut at SHARD_BYTES. Source: mosaicml-streaming
0.13, base/format/mds.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_shards import TokenShard, read_manifest

SHARD_BYTES = 1 << 26


def export_mds(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """A folder `<source>/<bucket>` with `index.json` and its shards per source and bucket."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for shard in read_manifest(run).shards:
        folder = f"{shard.source}/{shard.bucket}"
        entries = folders.setdefault(folder, [])
        for samples in groups(shard):
            name, data = f"shard.{len(entries):05d}.mds", shard_bytes(samples, shard.dtype)
            out.put(f"{folder}/{name}", data)
            raw = {"basename": name, "bytes": len(data), "hashes": {}}
            entries.append(settings(shard.dtype) | {"raw_data": raw, "samples": len(samples), "zip_data": None})
            yield f"{folder}/{name}"
    for folder, entries in folders.items():
        out.put(f"{folder}/index.json", json.dumps({"shards": entries, "version": 2}, sort_keys=True).encode())
        yield f"{folder}/index.json"


def groups(shard: TokenShard) -> Iterator[list[bytes]]:
    """The samples of a token file, about SHARD_BYTES at a time."""
    waiting: list[bytes] = []
    size = 0
    for row in shard.documents(["id", "token_start", "num_tokens"]).to_pylist():
        waiting.append(sample(row["id"], shard.tokens(row["token_start"], row["token_start"] + row["num_tokens"])))
        size += len(waiting[-1])
        if size >= SHARD_BYTES:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def sample(name: str, ids: npt.NDArray[Any]) -> bytes:
    """One document: columns `id` (str) and `tokens`."""
    code = 1 if len(ids) < 1 << 8 else 2 if len(ids) < 1 << 16 else 3
    shape = np.array([len(ids)], dtype=("<u1", "<u2", "<u4")[code - 1]).tobytes()
    tokens = bytes([1 << 2 | code - 1]) + shape + ids.tobytes()
    text = name.encode()
    return struct.pack("<II", len(text), len(tokens)) + text + tokens


def shard_bytes(samples: list[bytes], dtype: "np.dtype[Any]") -> bytes:
    """A shard file."""
    head = json.dumps(settings(dtype), sort_keys=True).encode()
    start = 4 + 4 * (len(samples) + 1) + len(head)
    offsets = start + np.r_[0, np.cumsum([len(each) for each in samples])]
    return struct.pack("<I", len(samples)) + bytes(offsets.astype("<u4").tobytes()) + head + b"".join(samples)


def settings(dtype: "np.dtype[Any]") -> dict[str, Any]:
    """What a shard says of itself."""
    return {
        "column_encodings": ["str", f"ndarray:uint{8 * dtype.itemsize}"],
        "column_names": ["id", "tokens"],
        "column_sizes": [None, None],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": SHARD_BYTES,
        "version": 2,
    }
