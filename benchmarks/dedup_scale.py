"""Near-duplicates among many short documents: memory, time against the number, and fates against the known truth.

    python benchmarks/dedup_scale.py --input short/ --documents 1000000 3000000 10000000 [--json]

`--input` is a folder that `short_documents.py` made. For each number, `corpusmill build` of `minhash` with its default
settings on the first files runs in a process of its own on one core. Wall and CPU time are printed, the peak of its
memory, and fates: a document dropped for one of another group is wrong; in one group of a hundred the rule is worked
out by brute force over exact sets: what it drops and banding missed is counted, what only the build dropped is listed.
"""

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard

FILE_DOCUMENTS = 250_000
Shingles = set[tuple[str, ...]]
THRESHOLD = 0.75
WORKER = """
import json, resource, sys, time
from corpusmill.pipeline.build import build, plan_phases
from corpusmill.pipeline.engine import LocalEngine
from corpusmill.pipeline.peak_memory import peak_memory
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.names import StageTable, token_phases
tree = json.loads(sys.argv[1])
recipe = Recipe.build(tree, StageTable())
begun = time.perf_counter()
build(recipe, sys.argv[1], plan_phases(recipe, token_phases), RunFolder(sys.argv[2]), LocalEngine(1))
wall, used = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "peak_mib": peak_memory() >> 20}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--documents", type=int, nargs="+", required=True, help=f"multiples of {FILE_DOCUMENTS}")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    for count in arguments.documents:
        files = sorted(arguments.input.glob("*.jsonl.zst"))[: -(-count // FILE_DOCUMENTS)]
        results.append({"documents": count, **measure(files)})
        told = {key: round(value, 4) if isinstance(value, float) else value for key, value in results[-1].items()}
        print(told, flush=True)
        rate, first = (line["cpu_s"] / line["documents"] for line in (results[-1], results[0]))
        print(f"CPU time per document: {rate / first:.2f} of that for {results[0]['documents']:,}", flush=True)
    if arguments.json:
        print(json.dumps({"results": results}))


def measure(files: list[Path]) -> dict[str, Any]:
    """One build, and what became of the documents."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        tree = {
            "format": 1,
            "name": "short",
            "sources": {"short": {"read": "jsonl", "paths": [str(path) for path in files], "id": "id"}},
            "stages": ["minhash"],
        }
        run = Path(folder) / "run"
        command = [sys.executable, "-c", WORKER, json.dumps(tree), str(run)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, env=environment, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        shutil.rmtree(run / "shuffle")
        return {**json.loads(done.stdout.split("\n")[-2]), "run_mib": size >> 20, **fates(run, files)}


def fates(run: Path, files: list[Path]) -> dict[str, Any]:
    """Counts over all dropped documents, and against brute force on a sample of groups."""
    dropped: Counter[str] = Counter()
    lost: dict[str, tuple[str, float]] = {}  # its winner and their similarity
    wrong = limited = 0
    columns = ("id", "winner_id", "similarity")
    for path in (run / "evidence/minhash/verify").glob("*.parquet"):
        table = pq.read_table(path, columns=[*columns, "limited"])
        limited += sum(table.column("limited").to_pylist())
        for name, winner, similarity in zip(*(table.column(key).to_pylist() for key in columns), strict=True):
            if winner is not None:
                group, _, edit = name.split("/")[-1].split("-")
                dropped[edit] += 1
                wrong += winner.split("/")[-1].split("-")[0] != group
                if int(group) % 100 == 0:
                    lost[name.split("/")[-1]] = (winner.split("/")[-1], similarity)
    expected, sets = by_brute_force(files)
    missed, unexpected = expected - set(lost), set(lost) - expected
    return {
        "dropped": dict(sorted(dropped.items())),
        "for_another_group": wrong,
        "kept_without_all_comparisons": limited,
        "sampled_expected": len(expected),
        "sampled_missed": len(missed),
        "sampled_unexpected": len(unexpected),
        "unexpected": [
            {
                "dropped": name,
                "for": lost[name][0],
                "similarity": lost[name][1],
                "by_brute_force": jaccard(sets[name], sets[lost[name][0]]),
                "winner_expected_to_go": lost[name][0] in expected,
            }
            for name in sorted(unexpected)
        ],
        "recall": 1 - len(missed) / max(1, len(expected)),
    }


def by_brute_force(files: list[Path]) -> tuple[set[str], dict[str, Shingles]]:
    """Ids dropped by the rule (longest first, ties by id) in every hundredth group, and the word 5-grams of its ids."""
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    sets: dict[str, Shingles] = {}
    for path in files:
        with zstandard.open(path, "rb") as raw:
            for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n"):
                group = line[8 : line.index("-")]  # {"id": "123-...
                if group.endswith("00") or group == "0":
                    record = json.loads(line)
                    groups[group].append((-len(record["text"].encode()), record["id"]))
                    sets[record["id"]] = shingles(record["text"])
    lost: set[str] = set()
    for members in groups.values():
        kept: list[str] = []
        for _, name in sorted(members):
            if any(jaccard(sets[name], sets[other]) >= THRESHOLD for other in kept):
                lost.add(name)
            else:
                kept.append(name)
    return lost, sets


def jaccard(left: Shingles, right: Shingles) -> float:
    return len(left & right) / max(1, len(left | right))


def shingles(text: str) -> Shingles:
    """Word 5-grams, folded as FineWeb has it as far as this corpus needs."""
    words = re.sub(r"\d+", "0", text.casefold()).replace("_", " ")
    tokens = re.findall(r"\w+", re.sub(r"0[.,]0", "0", words))
    return {tuple(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))}


if __name__ == "__main__":
    main()
