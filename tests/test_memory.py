"""Memory stays bounded: large input and a 200 MB line, in a process of its own under a limit on its addresses."""

import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from small_corpus import WORDS, ZH, document

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status

LIMIT_BYTES = 6 << 30
"""Of addresses (RLIMIT_AS). Arrow, Numba and the libraries reserve about 3 GiB of them before the first document."""

BUILD = """
import json, sys
from small_corpus import run_recipe
from corpusmill.pipeline.peak_memory import peak_memory
tree = json.loads(sys.argv[1])
run_recipe(tree, sys.argv[2])
print(peak_memory() >> 20)
"""


def peak_mib(tree: dict[str, object], run: Path) -> int:
    """Peak memory of a build in one process."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, json.dumps(tree), str(run)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=6000,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES)),
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def write_much(folder: Path, num_bytes: int, num_files: int) -> None:
    """Files of JSON lines of about `num_bytes` in all: texts that differ, and after every fourth a near-copy of it."""
    folder.mkdir()
    pairs = [f"{first}{second}" for first in WORDS for second in WORDS]
    number, text = 0, ""
    for index in range(num_files):
        left = num_bytes // num_files
        with (folder / f"part-{index:02d}.jsonl").open("w", encoding="utf-8") as file:
            while left > 0:
                generator = random.Random(number)
                if number % 5 == 4:
                    text += f"Copy {number}.\n"
                elif number % 9 == 8:
                    text = "".join(generator.choices(ZH, k=900)) + "。\n"
                else:
                    words = generator.choices(pairs, k=300)
                    text = "".join(" ".join(words[i : i + 15]) + ".\n" for i in range(0, 300, 15))
                line = json.dumps({"id": f"{number:09d}", "text": text}, ensure_ascii=False) + "\n"
                file.write(line)
                left -= len(line.encode())
                number += 1


def recipe(folder: Path) -> dict[str, object]:
    """Every kind of phase; the gathers may use 64 MiB."""
    return {
        "format": 1,
        "name": "much",
        "gather_memory": "64MiB",
        "max_document_bytes": "1MiB",
        "sources": {"much": {"read": "jsonl", "paths": [str(folder)], "id": "id"}},
        "stages": ["normalize", "words", {"drop": {"when": "num_bytes < 100", "as": "short"}}, "exact", "minhash"],
        "tokenizer": {"vocab_size": 800, "sample_bytes": "2MB"},
        "tokens": {},
    }


def test_one_percent_of_the_large_input(tmp_path: Path) -> None:
    write_much(tmp_path / "in", 20_000_000, 1)
    assert peak_mib(recipe(tmp_path / "in"), tmp_path / "run") < 1024


def test_a_line_of_200_mb_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "a.jsonl").write_text(json.dumps({"id": "a", "text": document(1)}) + "\n")
    (tmp_path / "long").mkdir()
    with (tmp_path / "long" / "a.jsonl").open("w") as file:
        file.write(json.dumps({"id": "a", "text": document(1)}) + "\n")
        file.write('{"id": "long", "text": "')
        for _ in range(200):
            file.write("x" * 1_000_000)
        file.write('"}\n' + json.dumps({"id": "b", "text": document(2)}) + "\n")
    peaks = []
    for name in ("short", "long"):
        tree = recipe(tmp_path / name) | {"stages": ["normalize"]}
        del tree["tokenizer"], tree["tokens"]
        peaks.append(peak_mib(tree, tmp_path / f"run-{name}"))
    assert peaks[1] - peaks[0] < 100
    documents = read_status(RunFolder(str(tmp_path / "run-long")))["sources"]["much"]["documents"]
    assert documents == {"in": 3, "kept": 2, "dropped": {}, "failed": {"record_too_large": 1}}


@pytest.mark.scale
@pytest.mark.parametrize("num_files", [1, 16])
def test_two_gigabytes_in_one_file_and_in_sixteen(tmp_path: Path, num_files: int) -> None:
    write_much(tmp_path / "in", 2_000_000_000, num_files)
    peak = peak_mib(recipe(tmp_path / "in"), tmp_path / "run")
    print(f"2 GB of JSON lines in {num_files} files: peak {peak} MiB")
    assert peak < 1024
