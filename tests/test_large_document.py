"""A document of 16 MiB, the largest that is read, stays within the memory bound of the measures.

A word takes 21 bytes and a line 41 while a batch is measured, so what a byte of text takes depends on how long they
are: English prose 32 at most, Chinese, where a letter is a word, 64, lines of one letter 80 (1.25 GiB in all).
"""

import subprocess
import sys

import pytest

from corpusmill.stages.measure.reference_texts import MAX_DOCUMENT_BYTES

SCRIPT = """
import sys

import pyarrow as pa

from corpusmill.pipeline.peak_memory import peak_memory
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.c4 import C4
from corpusmill.stages.measure.composition import Composition
from corpusmill.stages.measure.dclm import Dclm
from corpusmill.stages.measure.fineweb import Fineweb
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.reference_texts import MAX_DOCUMENT_BYTES
from corpusmill.stages.measure.words import Words

workers = [stage().open() for stage in (Words, Gopher, Fineweb, Composition)]
editors = [stage().open() for stage in (C4, Dclm)]


def measure(text):
    batch, scratch = pa.record_batch({"text": pa.array([text], pa.large_string())}), Scratch()
    for worker in workers:
        worker.measure(batch, scratch)
    for editor in editors:
        editor.change(batch)


measure("Compiled and loaded before. " * 100)
before = peak_memory()
piece = sys.argv[1]
text = (piece * (MAX_DOCUMENT_BYTES // len(piece.encode()) + 1)).encode()[:MAX_DOCUMENT_BYTES].decode(errors="ignore")
measure(text)
print(peak_memory() - before)
"""

PIECES = {  # of what the document is made → bytes a byte of it
    "The mill stands by the river, and {} its wheel turns when the water is high. Nobody asks why.\n": 32,
    "磨坊在河边，水高的时候轮子就转。": 64,
    "x": 32,
    "a b c d e f g h i j k l m n o p ": 64,
    "a\nb\nc\n": 80,
}


@pytest.mark.parametrize(("piece", "most"), PIECES.items())
def test_the_largest_document_stays_within_the_bound(piece: str, most: int) -> None:
    """In a process of its own, all measures sharing what they find, as in a recipe."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, piece], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    used = int(done.stdout) / MAX_DOCUMENT_BYTES
    print(f"{used:.0f} bytes a byte")
    assert 1 < used < most
