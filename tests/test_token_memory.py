"""Tokenizing much text in bounded memory: 1 % here in a process whose addresses are limited, the rest in `make scale`.

`CORPUSMILL_SCALE_GB` sets how much text the large run has (20); it needs about 1.3 times that of disk.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard
from small_corpus import document, run_recipe

from corpusmill.pipeline.build import all_receipts
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status
from corpusmill.stages.tokens.verify_tokens import token_problems

LIMIT_BYTES = 6 << 30
"""Of addresses (RLIMIT_AS): libraries reserve about 3 GiB of them before the first document."""

BUILD = """
import json, sys
from small_corpus import run_recipe
from corpusmill.pipeline.peak_memory import peak_memory
run_recipe(json.loads(sys.argv[1]), sys.argv[2])
print(peak_memory() >> 20)
"""


def texts(num_bytes: int) -> Iterator[str]:
    """Documents of 1 to 60 paragraphs, no two alike, `num_bytes` of UTF-8 in all."""
    paragraphs = [document(number) for number in range(5000)]
    draw = Random(5)
    number = 0
    while num_bytes > 0:
        text = f"Document {number}.\n" + "".join(draw.choices(paragraphs, k=draw.randint(1, 60)))
        yield text
        num_bytes -= len(text.encode())
        number += 1


def write(folder: Path, num_bytes: int, file_bytes: int = 256 << 20) -> dict[str, Any]:
    """JSON lines, compressed; gives the recipe."""
    folder.mkdir()
    made = texts(num_bytes)
    number = 0
    while True:
        left = file_bytes
        with zstandard.open(folder / f"part-{number:04d}.jsonl.zst", "wb") as file:
            for text in made:
                file.write(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")
                left -= len(text.encode())
                if left <= 0:
                    break
        if left > 0:
            break
        number += 1
    return {
        "format": 1,
        "name": "much",
        "seed": 3,
        "max_document_bytes": "1MiB",
        "sources": {"much": {"read": "jsonl", "paths": [str(folder)]}},
        "tokenizer": {"vocab_size": 3000, "sample_bytes": "8MB"},
        "tokens": {},
    }


def test_two_hundred_megabytes_of_text_under_a_limit(tmp_path: Path) -> None:
    tree = write(tmp_path / "in", 200_000_000)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, json.dumps(tree), str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES)),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) < 1024
    books = read_status(RunFolder(str(tmp_path / "run")))["sources"]["much"]
    assert books["bytes"]["kept"] >= 200_000_000
    assert sum(books["tokens"].values()) > 20_000_000


@pytest.mark.scale
def test_twenty_gigabytes_of_text(tmp_path: Path) -> None:
    gigabytes = float(os.environ.get("CORPUSMILL_SCALE_GB", "20"))
    tree = write(tmp_path / "in", int(gigabytes * 1e9))
    workers = len(os.sched_getaffinity(0))
    started = time.monotonic()
    run_recipe(tree, tmp_path / "run", workers)
    seconds = time.monotonic() - started
    run = RunFolder(str(tmp_path / "run"))
    peaks: dict[str, int] = {}
    for receipt in all_receipts(run):
        peaks[receipt.phase] = max(peaks.get(receipt.phase, 0), receipt.run["peak_mib"])
    books = read_status(run)["sources"]["much"]
    tokens = sum(books["tokens"].values())
    print(
        f"\n{datetime.now(UTC):%F}: {books['bytes']['kept'] / 1e9:.2f} GB of text, {books['documents']['kept']:,} "
        f"documents, {tokens:,} tokens, {workers} workers, {seconds:.0f} s from compressed JSON lines to token files"
    )
    print("peak of a worker, MiB:", json.dumps(peaks))
    assert max(peaks.values()) < 1024
    assert list(token_problems(run)) == []
