"""How well a tokenizer fits a run: bytes per token by source and language, and pieces that are never used.

Counted from the token files and their document rows, so nothing is encoded again. For Chinese, Japanese and Thai read
bytes per token with about three bytes a character. Cost: one pass over the token files, 4 bytes a piece of memory.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_shards import TokenShard, read_manifest

CHUNK_TOKENS = 1 << 22


def fertility(run: RunFolder) -> dict[str, Any]:
    """{sources, languages: {name: {documents, bytes, tokens, bytes_per_token, not_lossless}}, pieces: {…}}."""
    manifest = read_manifest(run)
    uses = np.zeros(manifest.card.vocab_size, dtype=np.int64)
    totals: dict[str, dict[str, list[int]]] = {"sources": {}, "languages": {}}
    for shard in manifest.shards:
        count_uses(shard, uses)
        for row, found in rows_by_language(shard).items():
            for kind, name in (("sources", shard.source), ("languages", row)):
                known = totals[kind].setdefault(name, [0, 0, 0, 0])
                totals[kind][name] = [a + b for a, b in zip(known, found, strict=True)]
    return {
        "format": 1,
        **{
            kind: {name: described(*counts) for name, counts in sorted(found.items())} for kind, found in totals.items()
        },
        "pieces": {"vocabulary": len(uses), "unused": int((uses == 0).sum()), "used_once": int((uses == 1).sum())},
    }


def count_uses(shard: TokenShard, uses: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
    """Add how often each id [vocab_size] stands in a file."""
    for start in range(0, shard.num_tokens, CHUNK_TOKENS):
        ids = shard.tokens(start, min(start + CHUNK_TOKENS, shard.num_tokens))
        uses += np.bincount(ids, minlength=len(uses))


def rows_by_language(shard: TokenShard) -> dict[str, list[int]]:
    """Documents, bytes, tokens without end ids, and documents that do not decode to themselves, per language."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in shard.documents(["lang", "num_bytes", "num_tokens", "lossless"]).to_pylist():
        counts = found[row["lang"] or "unknown"]
        counts[0] += 1
        counts[1] += row["num_bytes"]
        counts[2] += row["num_tokens"] - 1
        counts[3] += not row["lossless"]
    return dict(found)


def described(documents: int, num_bytes: int, tokens: int, not_lossless: int) -> dict[str, Any]:
    ratio = round(num_bytes / tokens, 4) if tokens else None
    counts = {"documents": documents, "bytes": num_bytes, "tokens": tokens}
    return counts | {"bytes_per_token": ratio, "not_lossless": not_lossless}
