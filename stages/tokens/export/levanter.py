"""Levanter and Marin: a cache of two Zarr arrays, `input_ids/data` and `input_ids/offsets`, and a ledger.

Each array is Zarr version 3 of shape [2**54] in files of 2**27 elements, cut into chunks of 2**18: little-endian, Blosc
(LZ4, level 5, shuffled). A file ends with a table of its chunks (offset and size, 2**64 - 1 twice for one that was not
written) and the CRC-32C of the table. `offsets` [0] is the number of rows, [i] the end of row i. Memory: one chunk.
Needs `numcodecs`: pip install 'corpusmill[levanter]'. Source: levanter store/jagged_array.py, Zarr specification 3.0.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_shards import TokenShard, read_manifest

SHAPE, FILE_ITEMS, CHUNK_ITEMS = 1 << 54, 1 << 27, 1 << 18
CHUNKS = FILE_ITEMS // CHUNK_ITEMS
NOT_WRITTEN = (1 << 64) - 1
FIELD = "input_ids"


def export_levanter(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """A cache `<source>/<bucket>` per source and bucket; a row is a document with its end id."""
    manifest = read_manifest(run)
    folders: dict[str, list[TokenShard]] = {}
    for shard in manifest.shards:
        folders.setdefault(f"{shard.source}/{shard.bucket}", []).append(shard)
    for folder, shards in folders.items():
        counts = [integers(one_chunk(shard.documents(["num_tokens"]), "num_tokens")) for shard in shards]
        ends = np.cumsum(np.concatenate(counts))
        yield from write_array(out, f"{folder}/{FIELD}/offsets", "int64", iter([np.r_[len(ends), ends].astype("<i8")]))
        yield from write_array(out, f"{folder}/{FIELD}/data", "int32", token_chunks(shards))
        ledger = {
            "total_num_rows": len(ends),
            "shard_rows": {shard.path: shard.num_documents for shard in shards},
            "is_finished": True,
            "finished_shards": [shard.path for shard in shards],
            "field_counts": {FIELD: int(ends[-1])},
            "metadata": {"preprocessor_metadata": {"tokenizer": manifest.card.hash}},
        }
        out.put(f"{folder}/shard_ledger.json", json.dumps(ledger, indent=1).encode())
        yield f"{folder}/shard_ledger.json"


def token_chunks(shards: list[TokenShard]) -> Iterator[npt.NDArray[Any]]:
    """The ids of all files end to end, as int32, some at a time."""
    for shard in shards:
        for start in range(0, shard.num_tokens, CHUNK_ITEMS):
            yield shard.tokens(start, min(start + CHUNK_ITEMS, shard.num_tokens)).astype("<i4")


def write_array(out: RunFolder, path: str, kind: str, parts: Iterator[npt.NDArray[Any]]) -> Iterator[str]:
    """Write one array; gives the names of its files."""
    try:
        from numcodecs import blosc
    except ImportError as error:
        raise RequestError("--to levanter needs numcodecs: pip install 'corpusmill[levanter]'.") from error
    blosc.use_threads = False
    out.put(f"{path}/zarr.json", json.dumps(array_metadata(kind), indent=1).encode())
    yield f"{path}/zarr.json"
    number = 0
    chunks = filled_chunks(parts, np.dtype(kind).newbyteorder("<"))
    while (chunk := next(chunks, None)) is not None:
        name = f"{path}/c/{number}"
        out.remove(name)
        with cast("BinaryIO", out.create(name)) as file:
            table: list[tuple[int, int]] = []
            at = 0
            while chunk is not None:
                packed = blosc.compress(chunk.tobytes(), b"lz4", 5, blosc.SHUFFLE, chunk.itemsize)
                file.write(packed)
                table.append((at, len(packed)))
                at += len(packed)
                chunk = next(chunks, None) if len(table) < CHUNKS else None
            table += [(NOT_WRITTEN, NOT_WRITTEN)] * (CHUNKS - len(table))
            content = b"".join(struct.pack("<QQ", *entry) for entry in table)
            file.write(content + struct.pack("<I", crc32c(content)))
        yield name
        number += 1


def filled_chunks(parts: Iterator[npt.NDArray[Any]], dtype: "np.dtype[Any]") -> Iterator[npt.NDArray[Any]]:
    """The same values in arrays of CHUNK_ITEMS, the last one filled up with zeros."""
    waiting: list[npt.NDArray[Any]] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        while size >= CHUNK_ITEMS:
            joined = np.concatenate(waiting)
            yield joined[:CHUNK_ITEMS]
            waiting, size = [joined[CHUNK_ITEMS:]], size - CHUNK_ITEMS
    if size:
        filled = np.zeros(CHUNK_ITEMS, dtype=dtype)
        filled[:size] = np.concatenate(waiting)
        yield filled


def array_metadata(kind: str) -> dict[str, Any]:
    """`zarr.json` of an array."""
    size = np.dtype(kind).itemsize
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    packed = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": size, "blocksize": 0}
    sharding = {
        "chunk_shape": [CHUNK_ITEMS],
        "codecs": [little, {"name": "blosc", "configuration": packed}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [SHAPE],
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [FILE_ITEMS]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, reflected 0x82F63B78), bit by bit: a file's table is 8 kB."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
