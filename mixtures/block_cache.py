"""Token files on an object store, read by row through a bounded cache on the local disk.

A row is a few kilobytes anywhere in a corpus, so files come in blocks of 64 KiB, all blocks that a batch needs in one
round of concurrent requests, and stay in one local file of at most `max_bytes`, the least recently read leaving first.
The cache file has no name, so nothing is left behind however the process ends. Where the disk holds the whole corpus,
copying the run folder is faster: rows come in an order without locality.
"""

import mmap
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.errors import CorpusmillError, DamagedFileError
from corpusmill.pipeline.run_folder import RunFolder

NUM_TRIES = 4
FIRST_WAIT_S = 0.5
Block = tuple[str, int]
"""(file, number of the block in it)."""


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """How much of a remote corpus is kept on the local disk."""

    max_bytes: int = 8 << 30
    block_bytes: int = 64 << 10
    folder: Path | None = None  # where the cache file lies; None: the system's folder for temporary files

    def __post_init__(self) -> None:
        if not 0 < self.block_bytes <= self.max_bytes:
            raise ValueError(f"block_bytes {self.block_bytes} must be above 0 and at most max_bytes {self.max_bytes}")


@dataclass(frozen=True)
class FileRange:
    """Bytes [start, stop) of a file of `size` bytes."""

    name: str
    size: int
    start: int
    stop: int


class BlockCache:
    """Blocks of the files of one run folder. Safe to share by threads; a forked process begins its own."""

    def __init__(self, run: RunFolder, settings: CacheSettings) -> None:
        self.run = run
        self.settings = settings
        self.num_fetched = 0  # blocks that came over the network
        self._pid = 0
        self._lock = threading.Lock()

    def read(self, wanted: FileRange) -> npt.NDArray[np.uint8]:
        """The bytes of a range. Raises DamagedFileError for a missing or short file, CorpusmillError where the store
        does not answer."""
        blocks = self.fetch([wanted])
        first = wanted.start // self.settings.block_bytes
        last = max(first, (wanted.stop - 1) // self.settings.block_bytes)
        joined = np.concatenate([blocks[wanted.name, number] for number in range(first, last + 1)])
        begin = wanted.start - first * self.settings.block_bytes
        return joined[begin : begin + wanted.stop - wanted.start]

    def fetch(self, wanted: Iterable[FileRange], *, keep: bool = True) -> dict[Block, npt.NDArray[np.uint8]]:
        """The blocks under some ranges; those that are not here come in one round of requests. With `keep` False they
        are put into the cache and not given back."""
        size = self.settings.block_bytes
        sizes = {
            (each.name, number): each.size
            for each in wanted
            for number in range(each.start // size, -(-max(each.stop, each.start + 1) // size))
        }
        found: dict[Block, npt.NDArray[np.uint8]] = {}
        missing: list[Block] = []
        with self._lock:
            self._begin()
            for block, file_size in sizes.items():
                slot = self._slots.get(block)
                if slot is None:
                    missing.append(block)
                    continue
                self._slots.move_to_end(block)
                if keep:
                    length = min(size, file_size - block[1] * size)
                    found[block] = self._slab[slot * size : slot * size + length].copy()
        for block, data in zip(missing, self._download(missing, sizes), strict=True):
            found[block] = np.frombuffer(data, dtype=np.uint8)
        with self._lock:
            for block in missing:
                self._put(block, found[block])
        return found if keep else {}

    def _begin(self) -> None:
        """An empty cache in this process."""
        if self._pid == os.getpid():
            return
        num_slots = self.settings.max_bytes // self.settings.block_bytes
        with tempfile.TemporaryFile(dir=self.settings.folder) as file:
            file.truncate(num_slots * self.settings.block_bytes)
            self._slab = np.frombuffer(mmap.mmap(file.fileno(), 0), dtype=np.uint8)
        self._slots: OrderedDict[Block, int] = OrderedDict()
        self._num_slots = num_slots
        self._store = RunFolder(self.run.url)  # connections do not survive a fork
        self._pid = os.getpid()

    def _put(self, block: Block, data: npt.NDArray[np.uint8]) -> None:
        if block in self._slots:  # another thread was faster
            return
        slot = len(self._slots) if len(self._slots) < self._num_slots else self._slots.popitem(last=False)[1]
        self._slab[slot * self.settings.block_bytes :][: len(data)] = data
        self._slots[block] = slot

    def _download(self, blocks: list[Block], sizes: dict[Block, int]) -> list[bytes]:
        """The bytes of blocks, asked for again where the store fails for a moment."""
        found: dict[Block, Any] = {}
        for attempt in range(NUM_TRIES):
            left = [block for block in blocks if not isinstance(found.get(block), bytes)]
            if left:
                time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1) if attempt else 0)
                found |= self._ask(left, sizes)
        for (name, number), answer in found.items():
            if not isinstance(answer, bytes):
                raise CorpusmillError(
                    f"{self.run.url}/{name}: block {number} cannot be read after {NUM_TRIES} tries: {answer!r}"
                ) from answer
        self.num_fetched += len(blocks)
        return [found[block] for block in blocks]

    def _ask(self, blocks: list[Block], sizes: dict[Block, int]) -> dict[Block, Any]:
        filesystem, _ = self._store._located
        size = self.settings.block_bytes
        starts = [number * size for _, number in blocks]
        ends = [min((number + 1) * size, sizes[name, number]) for name, number in blocks]
        paths = [self._store.path(name) for name, _ in blocks]
        answers = filesystem.cat_ranges(paths, starts, ends, on_error="return")
        for (name, number), start, end, answer in zip(blocks, starts, ends, answers, strict=True):
            if isinstance(answer, FileNotFoundError):
                raise DamagedFileError(f"{self.run.url}/{name} is missing, and the manifest names it: build again.")
            if isinstance(answer, bytes) and len(answer) != end - start:
                raise DamagedFileError(
                    f"{self.run.url}/{name}: block {number} has {len(answer)} bytes, the manifest says "
                    f"{end - start}: build again."
                )
        return dict(zip(blocks, answers, strict=True))


class StoredTokens:
    """The tokens of one remote file: slices are fetched through the cache."""

    def __init__(self, cache: BlockCache, name: str, num_tokens: int, dtype: np.dtype[Any]) -> None:
        self.cache = cache
        self.name = name
        self.num_tokens = num_tokens
        self.dtype = dtype

    def __len__(self) -> int:
        return self.num_tokens

    def __getitem__(self, tokens: slice) -> npt.NDArray[Any]:
        start, stop, _ = tokens.indices(self.num_tokens)
        if start >= stop:
            return np.zeros(0, dtype=self.dtype)
        return self.cache.read(self.range(start, stop)).view(self.dtype)

    def range(self, start: int, stop: int) -> FileRange:
        """Where tokens [start, stop) lie."""
        width = self.dtype.itemsize
        return FileRange(self.name, self.num_tokens * width, start * width, stop * width)
