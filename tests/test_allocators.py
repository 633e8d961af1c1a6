"""Processes that do units give memory back: each case in a process of its own."""

import subprocess
import sys

import pytest

ANONYMOUS = """
import re
from pathlib import Path
from corpusmill.pipeline.allocators import give_back, keep_little

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", ANONYMOUS + code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_arrow_allocates_through_the_c_library() -> None:
    assert run("import pyarrow as pa; print(pa.default_memory_pool().backend_name)") == ["system"]


def test_small_blocks_among_others_go_back() -> None:
    code = """
blocks = [bytearray(b"x" * 60_000) for _ in range(4000)]
full = anonymous()
kept = blocks[::50]
del blocks
before = anonymous()
give_back(50 << 20)
print(full, before, anonymous())
"""
    full, before, after = map(int, run(code))
    assert full > 220
    assert before > 150  # freed, and not given back
    assert after < full - 150


def test_large_blocks_go_back_at_once() -> None:
    """Without the setting glibc raises its threshold with every mapped block that is freed, to 32 MiB."""
    code = """
keep_little()
for _ in range(3):
    block, last = bytearray(12 << 20), bytearray(12 << 20)
    del block
    print(anonymous())
"""
    assert max(map(int, run(code))) < min(map(int, run(code))) + 6
