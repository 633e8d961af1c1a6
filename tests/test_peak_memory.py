"""The peak is this program's own, not what it got from the one that started it."""

import subprocess
import sys

import numpy as np

from corpusmill.pipeline.peak_memory import peak_memory

MUCH = 300 << 20


def test_what_was_freed_counts_and_what_a_parent_held_does_not() -> None:
    held = np.ones(MUCH, dtype=np.uint8)
    assert held.sum() == MUCH
    del held
    assert peak_memory() > MUCH
    code = "from corpusmill.pipeline.peak_memory import peak_memory; print(peak_memory())"
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 1 << 20 < child < MUCH
