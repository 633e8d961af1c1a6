"""Rows asked from the disk before they are read, while reading goes to the disk at all.

A row that is not in the page cache costs two page faults, one after the other. Asked for beforehand (MADV_WILLNEED),
the disk reads many rows at once, several times as many tokens a second (benchmarks/results). Where the
files are in memory the question alone would cost a third of a row's copy, so it is asked only if the last batch made
the disk read, which the system counts for each thread.
"""

import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

_WHO = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class DiskWatch:
    """Whether the last batch made the disk read; shared by threads, each counts its own reads."""

    def __init__(self) -> None:
        self.reads_disk = False

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Around the reading of one batch."""
        before = resource.getrusage(_WHO).ru_inblock
        yield
        self.reads_disk = resource.getrusage(_WHO).ru_inblock > before


def will_need(tokens: npt.NDArray[Any], start: int, stop: int) -> None:
    """Asks the system for tokens [start, stop) of a mapped file; nothing for an array in memory."""
    mapped = getattr(tokens.base, "obj", None)
    if isinstance(mapped, mmap.mmap) and start < stop:
        width = tokens.dtype.itemsize
        begin = start * width // mmap.PAGESIZE * mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, begin, stop * width - begin)
