"""LitData for its TokensLoader: each of our files is one chunk with one item, its ids.

Chunk: u32 items | u32 offsets[items + 1], absolute | ids. `index.json` names the chunks and the type of ids
(`no_header_numpy:5` is uint16, `:6` uint32). Offsets are 32 bits; our files stay far below. Source: litdata 0.2.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

from corpusmill.pipeline.run_folder import READ_BYTES, RunFolder
from corpusmill.stages.tokens.token_shards import read_manifest

CODES = {2: 5, 4: 6}
ITEM_SPEC = '[1, {"type": null, "context": null, "children_spec": []}]'


def export_litdata(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """A folder `<source>/<bucket>` with `index.json` and its chunks per source and bucket."""
    manifest = read_manifest(run)
    folders: dict[str, list[dict[str, Any]]] = {}
    for shard in manifest.shards:
        folder = f"{shard.source}/{shard.bucket}"
        chunks = folders.setdefault(folder, [])
        name = f"chunk-0-{len(chunks)}.bin"
        num_bytes = shard.num_tokens * shard.dtype.itemsize
        out.remove(f"{folder}/{name}")
        with run.open(f"{shard.path}.bin") as body, out.create(f"{folder}/{name}") as file:
            file.write(struct.pack("<III", 1, 12, 12 + num_bytes))
            while block := body.read(READ_BYTES):
                file.write(block)
        chunks.append({"chunk_bytes": 12 + num_bytes, "chunk_size": 1, "dim": shard.num_tokens, "filename": name})
        yield f"{folder}/{name}"
    for folder, chunks in folders.items():
        config = {
            "chunk_bytes": None,
            "chunk_size": None,
            "compression": None,
            "data_format": [f"no_header_numpy:{CODES[manifest.card.dtype.itemsize]}"],
            "data_spec": ITEM_SPEC,
            "encryption": None,
            "item_loader": "TokensLoader",
        }
        body_json = {"chunks": chunks, "config": config, "updated_at": "0"}
        out.put(f"{folder}/index.json", json.dumps(body_json, sort_keys=True).encode())
        yield f"{folder}/index.json"
