"""From a token of a source back to its document, and from a document to its tokens."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_shards import TokenShard, read_manifest


@dataclass(frozen=True)
class Located:
    """A document in its token file."""

    id: str
    file: str  # the .bin
    token_start: int  # of the document, from the file's start
    num_tokens: int
    offset: int  # of the token asked for, from the document's start
    row: dict[str, Any]  # its line of docs.parquet

    def as_json(self) -> dict[str, Any]:
        names = ("id", "file", "token_start", "num_tokens", "offset")
        return {"format": 1, **{name: getattr(self, name) for name in names}, "document": self.row}


def locate(run: RunFolder, source: str, token: int, split: str = "train", bucket: str | None = None) -> Located:
    """The document that holds token number `token` of the source's files laid end to end, as plans count them."""
    shards = [s for s in read_manifest(run).of_source(source, split) if bucket in (None, s.bucket)]
    if not shards:
        known = sorted({shard.source for shard in read_manifest(run).shards})
        raise RequestError(f"source {source!r}: no {split} tokens in {run.url}. There is: {', '.join(known)}.")
    total = sum(shard.num_tokens for shard in shards)
    if not 0 <= token < total:
        raise RequestError(f"token {token}: {source} has {total} {split} tokens, numbered from 0.")
    at = token
    for shard in shards:
        if at < shard.num_tokens:
            return _in_shard(shard, at)
        at -= shard.num_tokens
    raise AssertionError("unreachable: token < total")


def _in_shard(shard: TokenShard, token: int) -> Located:
    documents = shard.documents()
    starts = integers(one_chunk(documents, "token_start"))
    index = int(np.searchsorted(starts, token, side="right")) - 1
    row = documents.slice(index, 1).to_pylist()[0]
    return Located(
        row["id"], f"{shard.path}.bin", row["token_start"], row["num_tokens"], token - row["token_start"], row
    )


def tokens_of(run: RunFolder, document: str) -> list[tuple[int, str]]:
    """A document's ids, the end id last, each with the text that it alone decodes to."""
    from corpusmill.stages.tokens.vocabulary import open_tokenizer

    for shard in read_manifest(run).shards:
        table = shard.documents(["id", "token_start", "num_tokens"])
        lines = table.filter(pc.equal(table.column("id"), pa.scalar(document))).to_pylist()
        if lines:
            start = lines[0]["token_start"]
            encoder = open_tokenizer(run)
            return [(int(i), encoder.piece(int(i))) for i in shard.tokens(start, start + lines[0]["num_tokens"])]
    raise RequestError(f"document {document!r}: it has no tokens in {run.url}. See: corpusmill explain.")
