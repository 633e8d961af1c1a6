"""Deduplication against datatrove and rensa, on the same documents in one run.

    python benchmarks/dedup.py --input corpus/*.jsonl.zst [--quick] [--json]

Two things are timed, each in a process of its own per repetition, ours and the peers' in turn: signatures of texts in
memory (112 values over word 5-grams), and the whole dedup, from JSONL files to the documents that stay. Imports and the
compilation of kernels happen before the clock starts and are printed apart. The ratio of CPU times is told as well: it
holds on a machine that is not quiet. Peers live in `.venv-dedup-peers`, which is
made here at the first use (it needs a package index). All run on one core.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peer_environment import make_environment

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).with_name("dedup_worker.py")
PEERS = ROOT / ".venv-dedup-peers"
PACKAGES = (
    "datatrove==0.10.1",
    "datasketch[bloom]==2.0.0",
    "rensa==0.5.0",
    "spacy",
    "tokenizers",
    "regex",
    "xxhash<4",
    "zstandard",
    "orjson",
)
CONTESTS = (  # name, ours, theirs, peer
    ("minhash signatures", "ours-signatures", "datatrove-signatures", "datatrove==0.10.1"),
    ("minhash signatures", "ours-signatures", "rensa-signatures", "rensa==0.5.0"),
    ("dedup end to end", "ours-dedup", "datatrove-dedup", "datatrove==0.10.1"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, help="JSONL files (.gz, .zst) with a field text")
    parser.add_argument(
        "--quick", action="store_true", help="3 repetitions on 5 MB, about 2 minutes on a quiet machine"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    paths = arguments.input or default_input()
    repetitions, max_bytes = (3, 5_000_000) if arguments.quick else (5, 16_000_000)
    peers_missing = make_environment(PEERS, PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        num_documents, num_bytes = shorten(paths, corpus, max_bytes)
        print(
            f"{num_documents:,} documents, {num_bytes / 1e6:.1f} MB of text, {repetitions} repetitions", file=sys.stderr
        )
        results = [contest(*names, corpus, num_bytes, repetitions, peers_missing) for names in CONTESTS]
    for result in results:
        theirs = "-" if result["theirs"] is None else f"{result['theirs']:.2f}"
        ratio = "-" if result["ratio"] is None else f"{result['ratio']:.0f}x"
        cpu = "-" if result["ratio_cpu"] is None else f"{result['ratio_cpu']:.1f}x"
        told = f"ours {result['ours']:.1f} {result['unit']}, {result['peer']} {theirs}: {ratio} ({cpu} by CPU time)"
        print(f"{result['name']}: {told}")
    if arguments.json:
        print(json.dumps({"results": results}))


def default_input() -> list[Path]:
    """English prose and code of the shared data."""
    data = os.environ.get("CORPUSMILL_DATA")
    if data is None:
        sys.exit("--input: name JSONL files, or set CORPUSMILL_DATA.")
    return [Path(data) / f"domains/{name}.train.jsonl.zst" for name in ("web-en", "techdocs-en", "source-code")]


def shorten(paths: Sequence[Path], corpus: Path, max_bytes: int) -> tuple[int, int]:
    """The first documents of every file, the same number of bytes of each, as plain JSONL with id and text."""
    sys.path.insert(0, str(WORKER.parent))
    from dedup_worker import lines

    num_documents = num_bytes = 0
    with corpus.open("w", encoding="utf-8") as output:
        for path in paths:
            taken = 0
            for number, line in enumerate(lines(path)):
                text = json.loads(line)["text"]
                taken += len(text.encode())
                if taken > max_bytes / len(paths):
                    break
                num_documents, num_bytes = num_documents + 1, num_bytes + len(text.encode())
                record = {"id": f"{path.name}#{number}", "text": text}
                output.write(json.dumps(record, ensure_ascii=False) + "\n")
    return num_documents, num_bytes


def contest(
    name: str, ours: str, theirs: str, peer: str, corpus: Path, num_bytes: int, repetitions: int, missing: str | None
) -> dict[str, Any]:
    """Both sides in turn; medians in MB/s."""
    mine, other = [], []
    for _ in range(repetitions):
        mine.append(run(sys.executable, ours, corpus))
        if missing is None:
            other.append(run(str(PEERS / "bin/python"), theirs, corpus))
    speeds = [num_bytes / 1e6 / each["seconds"] for each in mine]
    peers = [num_bytes / 1e6 / each["seconds"] for each in other]
    median = statistics.median(speeds)
    best = statistics.median(peers) if peers else None
    starts = (each["start_s"] for side in (mine, other) for each in side[:1])
    print(
        f"{name}, {peer}: start-up and compilation {', '.join(f'{start:.1f} s' for start in starts)}", file=sys.stderr
    )
    result = {
        "name": name,
        "unit": "MB/s",
        "ours": median,
        "peer": peer,
        "theirs": best,
        "ratio": None if best is None else median / best,
        "ratio_cpu": statistics.median(each["cpu_s"] for each in other)
        / statistics.median(each["cpu_s"] for each in mine)
        if other
        else None,
        "spread": [min(speeds), max(speeds)],
        "peak_mib": max(each["peak_mib"] for each in mine),
        "documents_dropped": [side[0]["dropped"] for side in (mine, other) if side],
    }
    return result if missing is None else {**result, "why": missing}


def run(python: str, task: str, corpus: Path) -> dict[str, Any]:
    """One task in a new process on one core."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [python, str(WORKER), task, str(corpus)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, text=True)
    if done.returncode:
        sys.exit(f"{task} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return answer


if __name__ == "__main__":
    main()
