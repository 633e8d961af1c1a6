"""Token files: one `.bin` of ids with three files beside it.

    00000.bin            raw little-endian ids, 2 or 4 bytes, each document followed by its end id
    00000.idx            Megatron's index
    00000.docs.parquet   a row per document, in order: id, source, url, row, token_start, num_tokens, num_bytes, …
    00000.sums           16 bytes per MiB of the .bin, the last block shorter: BLAKE3, 128 bits

`ShardWriter` writes them; `TokenShard` opens one of a finished run through the manifest.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.phases import Desk, TableOutput
from corpusmill.pipeline.run_folder import Checksum, Output, RunFolder
from corpusmill.stages.kernels.ordered_documents import put_documents
from corpusmill.stages.tokens.encoder import TokenizerCard
from corpusmill.stages.tokens.megatron_index import index_bytes

BLOCK_BYTES = 1 << 20
CHUNK_TOKENS = 1 << 18
"""Documents are put in order so many tokens at a time: the copy is checksummed and written while it is in the cache."""
MANIFEST = "tokens/manifest.json"


@dataclass
class BlockSums:
    """Checksums of consecutive blocks of BLOCK_BYTES."""

    sums: list[bytes] = field(default_factory=list)
    _digest: Checksum = field(default_factory=Checksum)
    _filled: int = 0

    def update(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while len(view):
            taken = view[: BLOCK_BYTES - self._filled]
            self._digest.update(taken)
            self._filled += len(taken)
            view = view[len(taken) :]
            if self._filled == BLOCK_BYTES:
                self._close_block()

    def _close_block(self) -> None:
        self.sums.append(self._digest.digest())
        self._digest, self._filled = Checksum(), 0

    def finish(self) -> bytes:
        """The sums of all blocks, joined."""
        if self._filled:
            self._close_block()
        return b"".join(self.sums)


def in_order(
    ids: npt.NDArray[Any], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], dtype: "np.dtype[Any]"
) -> Iterator[npt.NDArray[Any]]:
    """The documents ids[starts[i] : starts[i] + lengths[i]] end to end, about CHUNK_TOKENS at a time.

    Each array is written over by the next one.
    """
    ends = np.cumsum(lengths)
    if ids.dtype == dtype and len(ends) and np.array_equal(starts[1:], (starts + lengths)[:-1]):  # as they lie
        for start in range(0, int(ends[-1]), CHUNK_TOKENS):
            yield ids[starts[0] :][start : min(start + CHUNK_TOKENS, int(ends[-1]))]
        return
    chunk = np.empty(0, dtype)
    first = 0
    while first < len(ends):
        base = ends[first] - lengths[first]
        last = max(first + 1, int(np.searchsorted(ends, base + CHUNK_TOKENS, side="right")))
        count = int(ends[last - 1] - base)
        if count > len(chunk):
            chunk = np.empty(max(count, CHUNK_TOKENS), dtype)
        put_documents(ids, starts[first:last], lengths[first:last], chunk)
        yield chunk[:count]
        first = last


class ShardWriter:
    """Writes one token file with its sidecars under `path` (without suffix), as a unit's outputs with fixed names."""

    def __init__(self, desk: Desk, path: str, schema: pa.Schema, dtype: "np.dtype[Any]") -> None:
        self.desk, self.path, self.dtype = desk, path, dtype
        self._stack = ExitStack()
        self._body: Output = self._stack.enter_context(desk.create("bin", f"{path}.bin", fixed=True))
        self._documents: TableOutput = self._stack.enter_context(
            desk.parquet("docs", f"{path}.docs.parquet", schema, fixed=True)
        )
        self._sums = BlockSums()
        self._lengths: list[npt.NDArray[np.int64]] = []
        self.num_tokens = 0

    def __enter__(self) -> "ShardWriter":
        return self

    def add(self, chunks: Iterable[npt.NDArray[Any]], documents: pa.Table) -> None:
        """Append documents: their ids, end ids included, cut anywhere, and their rows with `num_tokens`."""
        for ids in chunks:
            if ids.dtype != self.dtype:
                raise TypeError(f"{self.path}: ids of {ids.dtype} in a file of {self.dtype}")
            self._body.write(ids)
            self._sums.update(ids)
            self.num_tokens += len(ids)
        self._documents.write(documents)
        self._lengths.append(integers(one_chunk(documents, "num_tokens")))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            lengths = np.concatenate([np.zeros(0, np.int64), *self._lengths])
            for name, data in (("sums", self._sums.finish()), ("idx", index_bytes(lengths, self.dtype.itemsize))):
                with self.desk.create(name, f"{self.path}.{name}", fixed=True) as file:
                    file.write(data)


@dataclass(frozen=True)
class TokenShard:
    """One entry of the manifest, with ways to read it."""

    run: RunFolder
    source: str
    bucket: str
    split: str  # train or val
    path: str  # without suffix
    num_tokens: int
    num_documents: int
    num_bytes: int  # UTF-8 bytes of its documents' text
    checksum: str
    dtype: "np.dtype[Any]"

    def tokens(self, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Ids [stop - start] of the file."""
        stop = self.num_tokens if stop is None else stop
        size = self.dtype.itemsize
        with self.run.open(f"{self.path}.bin") as file:
            file.seek(start * size)
            data = file.read((stop - start) * size)
        if len(data) != (stop - start) * size:
            raise DamagedFileError(f"{self.run.url}/{self.path}.bin: ends before token {stop}. Build again.")
        return np.frombuffer(data, self.dtype)

    def documents(self, columns: list[str] | None = None) -> pa.Table:
        """The rows of docs.parquet."""
        return self.run.read_table(f"{self.path}.docs.parquet", columns)


@dataclass(frozen=True)
class TokenManifest:
    """`tokens/manifest.json`: the tokenizer and every token file, sorted by (source, bucket, path)."""

    run: RunFolder
    seed: int
    card: TokenizerCard
    shards: tuple[TokenShard, ...]

    def of_source(self, source: str, split: str = "train") -> Iterator[TokenShard]:
        """The files of one source and split, in order."""
        return (shard for shard in self.shards if shard.source == source and shard.split == split)


def read_manifest(run: RunFolder) -> TokenManifest:
    """The manifest of a run; raises RequestError where there is none yet."""
    body = run.read_json(MANIFEST)
    if body is None:
        raise RequestError(f"{run.url}/{MANIFEST}: missing. Build the run first.")
    dtype = np.dtype(body["dtype"]).newbyteorder("<")
    shards = tuple(TokenShard(run=run, dtype=dtype, **entry) for entry in body["shards"])
    return TokenManifest(run, body["seed"], TokenizerCard.from_json(body["tokenizer"]), shards)
