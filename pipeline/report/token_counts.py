"""Tokens by source and bucket, from the manifest of the token shards: training text and what is held out."""

from typing import Any

from corpusmill.pipeline.run_folder import RunFolder


def token_counts(run: RunFolder) -> dict[str, Any] | None:
    """{tokenizer, dtype, rows: [{source, bucket, split, documents, bytes, tokens, files}]}; None without shards."""
    manifest = run.read_json("tokens/manifest.json")
    if manifest is None:
        return None
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for shard in manifest["shards"]:
        row = rows.setdefault(
            (shard["source"], shard["bucket"]),
            {"source": shard["source"], "bucket": shard["bucket"], "split": shard["split"]}
            | dict.fromkeys(("documents", "bytes", "tokens", "files"), 0),
        )
        row["documents"] += shard["num_documents"]
        row["bytes"] += shard["num_bytes"]
        row["tokens"] += shard["num_tokens"]
        row["files"] += 1
    return {
        "tokenizer": manifest["tokenizer"],
        "dtype": manifest["dtype"],
        "rows": [rows[key] for key in sorted(rows)],
    }
