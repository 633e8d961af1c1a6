"""Repeated substrings on real text: memory and speed of the stage, with and without many dashes.

    python benchmarks/repeated_substrings.py --input corpus/*.jsonl.zst --megabytes 200 [--json]

Text is that of the given JSONL files and then of the Python, C and text files of this environment, until there is
enough. `corpusmill build` of `substrings` (100 bytes) runs on one core, in a process of its own: on the text, and on it
with lines of dashes or table rules between its pieces, so that these are a tenth or a third. Peak memory is counted
above that of a build of one document, without file-mapped pages; MB/s is of the gather's rounds, by the clock and by
CPU time.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RULES = (
    "=" * 98,
    "*" * 98,
    "_" * 98,
    "| --- " * 16 + "|",
    "+----------" * 9 + "+",
    "|:---------" * 9 + "|",
    "| ---------------- " * 5 + "|",
    "+" + "-" * 20 + "+" + "-" * 30 + "+" + "-" * 40 + "+",
)
CASES: dict[str, tuple[tuple[str, ...], int]] = {  # lines put between pieces of so many characters
    "repeated substrings": ((), 0),
    "repeated substrings, a tenth dashes": (("-" * 98,), 900),
    "repeated substrings, a third dashes": (("-" * 98,), 200),
    "repeated substrings, a third table rules": (RULES, 200),
}

WORKER = """
import json, re, sys, threading, time
from pathlib import Path
from corpusmill.pipeline.build import build, plan_phases
from corpusmill.pipeline.engine import LocalEngine
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.kernels import hashing, repeated_windows, winnowing
from corpusmill.stages.names import StageTable, token_phases

peak = 0

def anonymous() -> int:
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def watch() -> None:
    global peak
    while True:
        peak = max(peak, anonymous())
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
hashing.warmup(), winnowing.warmup(), repeated_windows.warmup()
recipe = Recipe.build(json.loads(sys.argv[1]), StageTable())
build(recipe, sys.argv[1], plan_phases(recipe, token_phases), RunFolder(sys.argv[2]), LocalEngine(1))
print(peak << 10)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--gather-memory", default="64MiB")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.jsonl"
        small.write_text(json.dumps({"id": "0", "text": "one document"}) + "\n")
        build(small, arguments.gather_memory)  # compiles kernels, which takes memory of its own
        empty = build(small, arguments.gather_memory)["peak"]
        for name, (rules, every) in CASES.items():
            corpus = Path(folder) / "corpus.jsonl"
            num_bytes = write_corpus(corpus, arguments.input, arguments.megabytes * 10**6, rules, every)
            made = build(corpus, arguments.gather_memory)
            line = {
                "name": name,
                "bytes": num_bytes,
                "memory_per_byte": round((made["peak"] - empty) / num_bytes, 3),
                "mb_per_s": round(num_bytes / 1e6 / sum(made["seconds"].values()), 1),
                "mb_per_cpu_s": round(num_bytes / 1e6 / sum(made["cpu_s"].values()), 1),
                **made,
            }
            print(line, flush=True)
            results.append(line)
    if arguments.json:
        print(json.dumps({"results": results}))


def texts(paths: list[Path]) -> Iterator[str]:
    """Texts of the JSONL files, then files of this environment, sorted by path."""
    sys.path.insert(0, str(Path(__file__).parent))
    from dedup_worker import lines

    for path in paths:
        for line in lines(path):
            yield json.loads(line)["text"]
    for root in (Path(sys.prefix), Path(sys.base_prefix), Path("/usr/include"), Path("/usr/share")):
        for path in sorted(root.rglob("*")):
            if path.suffix in (".py", ".pyi", ".h", ".c", ".txt", ".rst", ".md") and path.is_file():
                try:
                    yield path.read_text(encoding="utf-8")
                except (UnicodeDecodeError, OSError):
                    continue


def write_corpus(target: Path, paths: list[Path], num_bytes: int, rules: tuple[str, ...], every: int) -> int:
    """Documents of so many bytes of text, one of `rules` after `every` characters; how many bytes it became."""
    generator = random.Random(0)
    written = 0
    with target.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts(paths)):
            if rules:
                pieces = [text[at : at + every] for at in range(0, len(text), every)]
                text = "".join(f"{piece}\n{generator.choice(rules)}\n" for piece in pieces)
            written += len(text.encode())
            file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
            if written >= num_bytes:
                break
    return written


def build(corpus: Path, memory: str) -> dict[str, Any]:
    """Peak of anonymous memory in bytes, wall and CPU seconds of each round."""
    with tempfile.TemporaryDirectory() as folder:
        tree = {
            "format": 1,
            "name": "substrings",
            "gather_memory": memory,
            "sources": {"text": {"read": "jsonl", "paths": [str(corpus)], "id": "id"}},
            "stages": ["substrings"],
        }
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, "-c", WORKER, json.dumps(tree), f"{folder}/run"]
        done = subprocess.run(command, capture_output=True, env=environment, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        times: dict[str, dict[str, float]] = {"seconds": {}, "cpu_s": {}}
        for round_ in sorted(Path(f"{folder}/run/receipts/substrings").iterdir()):
            receipts = [json.loads(path.read_bytes())["run"] for path in round_.glob("*.json")]
            for clock, found in times.items():
                found[round_.name] = round(sum(receipt[clock] for receipt in receipts), 2)
        return {"peak": int(done.stdout.split()[-1]), **times}


if __name__ == "__main__":
    main()
