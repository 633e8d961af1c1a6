"""Token shards seen as sources: each is its files laid end to end, one long sequence of token ids.

Row j of a source is tokens [j T, j T + T], both ends included: T inputs, and T targets one token later, across files;
row j + 1 starts with the last token of row j. The last incomplete row is counted and not drawn. Files are memory-mapped
at first use, read-only, without a copy; on an object store they are read through a local cache (`block_cache.py`).
Nothing is read at start but the manifest.

The manifest and the files beside each shard are written by `stages/tokens`.
"""

import hashlib
import json
import mmap
import re
import resource
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures import read_ahead
from corpusmill.mixtures.block_cache import BlockCache, CacheSettings, FileRange, StoredTokens
from corpusmill.mixtures.checked_tokens import CheckedTokens
from corpusmill.pipeline.errors import CorpusmillError, DamagedFileError, RequestError
from corpusmill.pipeline.run_folder import RunFolder

Place: TypeAlias = Path | str | RunFolder
"""A run folder: a path, a URL such as s3://bucket/run, or the folder itself."""

MANIFEST = "tokens/manifest.json"
HELD_OUT = "val"
REPEATED = re.compile(r"repeat-(\d+)(?:_(\d+))?")
"""Buckets of documents that stand for several: `minhash` with `weights`, and `tokens: {bucket_by: minhash_repeat}`."""


class Shard(NamedTuple):
    """One file of tokens. `path` is relative to the run folder, without an ending."""

    path: str
    num_tokens: int
    num_documents: int
    num_bytes: int  # UTF-8 bytes of the normalised text
    checksum: str  # of the .bin


@dataclass(frozen=True)
class Source:
    """The files of one source, or of one bucket of it, laid end to end."""

    source: str
    bucket: str  # "all" where the source has no buckets
    shards: tuple[Shard, ...]
    part: int = 0  # files that came when a plan was under way are a source of their own: part 1, 2, …

    @property
    def name(self) -> str:
        """What mixtures call it: `web`, `web/q3` for a bucket, `web+1` for the files that came later."""
        name = self.source if self.bucket == "all" else f"{self.source}/{self.bucket}"
        return f"{name}+{self.part}" if self.part else name

    @cached_property
    def num_tokens(self) -> int:
        return sum(shard.num_tokens for shard in self.shards)

    @cached_property
    def weighted_tokens(self) -> int:
        """Its tokens as often as its bucket asks for: a bucket `repeat-1_5` counts one and a half times."""
        found = REPEATED.fullmatch(self.bucket)
        whole, decimals = (str(found[1]), str(found[2] or "")) if found else ("1", "")
        return self.num_tokens * int(whole + decimals) // int(f"1{'0' * len(decimals)}")

    @cached_property
    def num_documents(self) -> int:
        return sum(shard.num_documents for shard in self.shards)

    @cached_property
    def num_bytes(self) -> int:
        return sum(shard.num_bytes for shard in self.shards)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each file starts in the source, in tokens; one more number for the end."""
        return (0, *accumulate(shard.num_tokens for shard in self.shards))

    def num_rows(self, sequence_length: int) -> int:
        """Complete rows: the last token of one is the first of the next, so n rows hold n T + 1 tokens."""
        return max(0, self.num_tokens - 1) // sequence_length

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the files' names, lengths and checksums, in order."""
        facts = [[shard.path, shard.num_tokens, shard.checksum] for shard in self.shards]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Tokenizer:
    """The tokenizer that made the shards, named by its content."""

    hash: str
    kind: str
    vocab_size: int
    end_of_document: int
    path: str


@dataclass(frozen=True)
class TokenManifest:
    """What `tokens/manifest.json` says: sources to train on and the held-out part of each, by name."""

    run: RunFolder
    dtype: np.dtype[Any]
    tokenizer: Tokenizer
    sources: dict[str, Source]
    held_out: dict[str, Source]

    def open(self, names: Iterable[str] | None = None, cache: BlockCache | None = None) -> dict[str, "TokenReader"]:
        """Readers of the named sources, of all by default. Held-out parts are opened with `open_held_out`."""
        chosen = self.sources if names is None else names
        return {name: TokenReader(self.sources[name], self.run, self.dtype, cache) for name in chosen}

    def open_held_out(self) -> dict[str, "TokenReader"]:
        """Readers of the held-out part of each source, keyed by the source's name."""
        return {name: TokenReader(source, self.run, self.dtype) for name, source in self.held_out.items()}


def run_folder(place: Place) -> RunFolder:
    """The run folder at a place."""
    return place if isinstance(place, RunFolder) else RunFolder(str(place))


def read_manifest(place: Place) -> TokenManifest:
    """Reads the manifest of a run folder. Raises RequestError where the run has no token shards."""
    run = run_folder(place)
    path = f"{run.url}/{MANIFEST}"
    if run.size(MANIFEST) is None:
        raise RequestError(f"{path} is missing: build the run to the end first (corpusmill build).")
    try:
        facts = json.loads(run.read_bytes(MANIFEST))
    except ValueError as error:
        raise DamagedFileError(f"{path} is no JSON ({error}): build again, finished units are kept.") from error
    if facts.get("format") != 1:
        raise RequestError(f"{path} has format {facts.get('format')!r}, this version reads 1: install a newer one.")
    place_of, facts_of = itemgetter("split", "source", "bucket"), itemgetter(*Shard._fields)
    grouped: dict[tuple[str, str, str], list[Shard]] = {}
    for entry in sorted(facts["shards"], key=itemgetter("source", "bucket", "path")):
        grouped.setdefault(place_of(entry), []).append(Shard(*facts_of(entry)))
    sources, held_out = {}, {}
    for (split, name, bucket), shards in grouped.items():
        source = Source(name, bucket, tuple(shards))
        if split == HELD_OUT:
            held_out[name] = source
        else:
            sources[source.name] = source
    tokenizer = Tokenizer(**{name: facts["tokenizer"][name] for name in Tokenizer.__dataclass_fields__})
    return TokenManifest(run, np.dtype(facts["dtype"]).newbyteorder("<"), tokenizer, sources, held_out)


class TokenReader:
    """Token ranges of one source, across its files. Files are mapped when first touched; safe to share by threads.

    On an object store they are read through `cache`, by default one of the reader's own.
    """

    def __init__(
        self,
        source: Source,
        place: Place,
        dtype: np.dtype[Any],
        cache: BlockCache | None = None,
        verify: bool = False,
    ) -> None:
        """With `verify` blocks are compared with their checksums when they are first read."""
        self.source = source
        self.verify = verify
        self.run = run_folder(place)
        self.dtype = dtype
        self.num_tokens = source.num_tokens
        self._cache = cache or (BlockCache(self.run, CacheSettings()) if self.run.local is None else None)
        self._starts = source.starts
        self._files: list[npt.NDArray[Any] | StoredTokens | CheckedTokens | None] = [None] * len(source.shards)

    def file(self, index: int) -> npt.NDArray[Any] | StoredTokens | CheckedTokens:
        """All tokens of one file, [num_tokens]: an array, zero-copy, or on an object store what gives slices of it."""
        tokens = self._files[index]
        if tokens is None:
            shard = self.source.shards[index]
            if self._cache is not None:
                tokens = StoredTokens(self._cache, f"{shard.path}.bin", shard.num_tokens, self.dtype)
            else:
                tokens = map_tokens(self.run, shard, self.dtype)
            if self.verify:
                tokens = CheckedTokens(tokens, self.run, shard.path)
            self._files[index] = tokens
        return tokens

    def places(self, start: int, stop: int) -> list[FileRange]:
        """Where tokens [start, stop) lie on an object store; empty on a local disk."""
        found = []
        index = bisect_right(self._starts, start) - 1
        while self._cache is not None and start < min(stop, self.num_tokens):
            tokens, first = self.file(index), self._starts[index]
            end = min(stop, self._starts[index + 1])
            tokens = tokens.tokens if isinstance(tokens, CheckedTokens) else tokens
            assert isinstance(tokens, StoredTokens)
            if start < end:
                found.append(tokens.range(start - first, end - first))
            start, index = end, index + 1
        return found

    def will_need(self, start: int, stop: int) -> None:
        """Asks the system to read tokens [start, stop) from the disk ahead of time."""
        index = bisect_right(self._starts, start) - 1
        while start < min(stop, self.num_tokens):
            tokens, first = self.file(index), self._starts[index]
            tokens = tokens.tokens if isinstance(tokens, CheckedTokens) else tokens
            end = min(stop, self._starts[index + 1])
            if not isinstance(tokens, StoredTokens):
                read_ahead.will_need(tokens, start - first, end - first)
            start, index = end, index + 1

    def read_all(self) -> npt.NDArray[Any]:
        """Every token of the source, [num_tokens], as a copy read from front to back: for sources that fit memory."""
        if self.verify:
            return np.array(self.read(0, self.num_tokens))
        out: npt.NDArray[Any] = np.empty(self.num_tokens, dtype=self.dtype)
        for shard, start in zip(self.source.shards, self._starts, strict=False):
            name = f"{shard.path}.bin"
            if self.run.local is None:
                part = np.frombuffer(self.run.read_bytes(name), dtype=self.dtype)
            else:
                part = np.fromfile(self.run.path(name), dtype=self.dtype)
            if len(part) != shard.num_tokens:
                raise DamagedFileError(
                    f"{self.run.url}/{name} has {len(part)} tokens, the manifest says {shard.num_tokens}."
                )
            out[start : start + len(part)] = part
        return out

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Tokens [start, stop) of the source: a view where they lie in one file, else a copy."""
        index = bisect_right(self._starts, start) - 1
        if 0 <= index < len(self._files) and start <= stop <= self._starts[index + 1]:
            tokens = self._files[index]
            if tokens is None:
                tokens = self.file(index)
            first = self._starts[index]
            return tokens[start - first : stop - first]
        out: npt.NDArray[Any] = np.empty(max(stop - start, 0), dtype=self.dtype)
        self.read_into(out, start)
        return out

    def read_into(self, out: npt.NDArray[Any], start: int) -> None:
        """Fills `out` [n] of any integer type with tokens [start, start + n)."""
        starts = self._starts
        stop = start + len(out)
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"{self.source.name}: tokens [{start}, {stop}) of {self.num_tokens}")
        index = bisect_right(starts, start) - 1
        filled = 0
        while filled < len(out):
            tokens = self._files[index]
            if tokens is None:
                tokens = self.file(index)
            first = start + filled - starts[index]
            part = tokens[first : first + len(out) - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            index += 1


def map_tokens(run: RunFolder, shard: Shard, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The tokens of one .bin file as a read-only array on a memory map. Raises DamagedFileError at a wrong length.

    Advised for random access: with the system's read-ahead a row from a file that is not in the page cache took 10 to
    20 ms on a cloud disk, without it 0.04 ms. `read_ahead.py` asks for the rows that will be read.
    """
    if shard.num_tokens == 0:
        return np.zeros(0, dtype=dtype)
    path = Path(run.path(f"{shard.path}.bin"))
    wanted = shard.num_tokens * dtype.itemsize
    try:
        num_bytes = path.stat().st_size
        if num_bytes != wanted:
            raise DamagedFileError(f"{path} has {num_bytes} bytes, the manifest says {wanted}: build again.")
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            mapped.madvise(mmap.MADV_RANDOM)
    except FileNotFoundError:
        raise DamagedFileError(f"{path} is missing, and the manifest names it: build again.") from None
    except OSError as error:
        if not _raise_file_limit():
            raise CorpusmillError(f"{path}: {error}. Allow more open files: ulimit -n 65536.") from error
        return map_tokens(run, shard, dtype)
    return np.frombuffer(mapped, dtype=dtype)


def _raise_file_limit() -> bool:
    """A map keeps a file open: lifts this process's own limit to what the system allows. False where it is there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return True
