"""Whole builds against datatrove's pipeline doing the same steps, on the same documents in one run.

    python benchmarks/build.py --input corpus/*.jsonl.zst archive/*.warc.gz [--quick] [--json]

`build from text`: JSON lines → Gopher repetition and quality, FineWeb's rules → MinHash → BPE tokens in shuffled files.
`build from warc`: the same behind WARC reading and HTML extraction; datatrove once with trafilatura, which is its
default, and once with the extractor that ours uses, resiliparse. Each side tokenizes with a BPE vocabulary of the same
size trained on the same text: ours of sentencepiece's kind, theirs byte-level, which is the faster kind there.

Each repetition is a process of its own on one core, ours and the peers' in turn, in a new folder. Imports, compiled
kernels and word lists are loaded before the clock starts and printed apart. Peers live in `.venv-build-peers`, made
here at the first use (it needs a package index; datatrove's WARC reader needs libmagic).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from build_worker import shorten
from peer_environment import make_environment

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).with_name("build_worker.py")
PEERS = ROOT / ".venv-build-peers"
PACKAGES = (
    *("datatrove==0.10.1", "spacy==3.8.18", "tokenizers", "regex", "xxhash<4", "zstandard", "orjson", "fasteners"),
    *("warcio", "faust-cchardet", "python-magic", "trafilatura==2.3.1", "resiliparse==2.0.1", "lxml_html_clean"),
)
CONTESTS = (  # name, ours, theirs, peer
    ("build from text", "ours", "datatrove", "datatrove==0.10.1"),
    ("build from warc", "ours", "datatrove-trafilatura", "datatrove==0.10.1 with trafilatura==2.3.1"),
    ("build from warc", "ours", "datatrove-resiliparse", "datatrove==0.10.1 with resiliparse==2.0.1"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", nargs="+", type=Path, help="JSONL files (.gz, .zst) with a field text; .warc.gz files"
    )
    parser.add_argument("--quick", action="store_true", help="3 repetitions on 2 MB of text and 60 pages")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    paths = arguments.input or default_input()
    max_bytes, max_pages, repetitions = (2_000_000, 60, 3) if arguments.quick else (12_000_000, 300, 5)
    missing = make_environment(PEERS, PACKAGES)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        made = shorten(paths, Path(folder), max_bytes, max_pages)
        for python, task in ((sys.executable, "train-ours"), (str(PEERS / "bin/python"), "train-theirs")):
            if missing is None or task == "train-ours":
                run(python, task, Path(folder) / "corpus.jsonl")
        for name, ours, theirs, peer in CONTESTS:
            kind = name.rpartition(" ")[2]
            corpus, size = made[kind]
            if size:
                results.append(contest(name, peer, (ours, theirs), corpus, size, repetitions, missing))
    for each in results:
        theirs = "-" if each["theirs"] is None else f"{each['theirs']:.3g}"
        ratio = "-" if each["ratio"] is None else f"{each['ratio']:.0f}x"
        print(
            f"{each['name']}: ours {each['ours']:.3g} {each['unit']}, {each['peer']} {theirs}: {ratio}", file=sys.stderr
        )
    if arguments.json:
        print(json.dumps({"results": results}))


def default_input() -> list[Path]:
    """English prose and code, and real pages, of the shared data."""
    data = os.environ.get("CORPUSMILL_DATA")
    if data is None:
        sys.exit("--input: name JSONL and WARC files, or set CORPUSMILL_DATA.")
    names = [f"domains/{name}.train.jsonl.zst" for name in ("web-en", "techdocs-en", "wiki-en", "source-code")]
    return [
        Path(data) / name for name in (*names, "html-gold/wcxb-dev-00000.warc.gz", "html-gold/wcxb-dev-00001.warc.gz")
    ]


def contest(
    name: str, peer: str, tasks: tuple[str, str], corpus: Path, size: float, repetitions: int, missing: str | None
) -> dict[str, Any]:
    """Both sides in turn; medians of MB of text, or pages, a second."""
    mine, other = [], []
    for _ in range(repetitions):
        mine.append(run(sys.executable, tasks[0], corpus))
        if missing is None:
            other.append(run(str(PEERS / "bin/python"), tasks[1], corpus))
    speeds, peers = ([size / each["seconds"] for each in side] for side in (mine, other))
    theirs = statistics.median(peers) if peers else None
    result = {
        "name": name,
        "unit": "MB/s" if corpus.suffix == ".jsonl" else "pages/s",
        "ours": statistics.median(speeds),
        "peer": peer,
        "theirs": theirs,
        "ratio": None if theirs is None else statistics.median(speeds) / theirs,
        "spread": [min(speeds), max(speeds)],
        "peak_mib": max(each["peak_mib"] for each in mine),
        "size": size,
        "documents": {side: each[0]["documents"] for side, each in (("ours", mine), ("theirs", other)) if each},
        "start_s": {side: each[0]["start_s"] for side, each in (("ours", mine), ("theirs", other)) if each},
    }
    return result if missing is None else result | {"why": missing}


def run(python: str, task: str, corpus: Path) -> dict[str, Any]:
    """One task in a new process on one core."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    command = [python, str(WORKER), task, str(corpus)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **one}, check=False, text=True)
    if done.returncode:
        sys.exit(f"{task} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return answer


if __name__ == "__main__":
    main()
