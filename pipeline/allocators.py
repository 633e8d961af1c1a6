"""What the processes that do units ask of their memory allocator: to give back what is no longer in use.

Arrow allocates through the C library (`pipeline/__init__.py` says so before pyarrow is imported): its own allocator
(mimalloc) kept two to three times what was in use while a range of rows was read. glibc learns from blocks that were
freed to keep ever larger ones, 50 MB of them in a gather over 200 MB of text, unless it is told from which size on not
to; and it keeps small ones until it is asked.
"""

import ctypes
import sys
from functools import cache

M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BYTES = 8 << 20
"""Blocks of this size go back when they are freed. From 1 MiB on it is 8 MB less and 15 % more CPU time."""


WORTH_BYTES = 1 << 20


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library where it is glibc and can be asked."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


@cache
def keep_little() -> None:
    """For the whole process, once: large blocks go back to the system when they are freed."""
    library = _glibc()
    if library is not None:
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back(used: int) -> None:
    """Hand all freed memory to the system after work on `used` bytes; milliseconds, which few bytes are not worth."""
    library = _glibc()
    if library is not None and used >= WORTH_BYTES:
        library.malloc_trim(0)
