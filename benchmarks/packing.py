"""Best-fit packing of documents into rows of 2,048: share of slots filled, and the time for ten million lengths.

    python benchmarks/packing.py [--quick] [--json] [--input RUN_FOLDER]

With a run folder the documents are those of its token shards, packed source by source; the ten million lengths are
drawn from them. Without one the lengths are log-normal (median 500 tokens). --quick packs one million. The peer is the
plain rule in Python, a document at a time, on the first five thousand lengths: its time grows with the square.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.packing import pack_source
from corpusmill.mixtures.provenance import document_ranges
from corpusmill.mixtures.sources import read_manifest

LENGTH, PLAIN = 2048, 5_000

Lengths = npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="a run folder with token shards")
    parser.add_argument("--quick", action="store_true", help="a million lengths")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shown = sys.stderr if options.json else sys.stdout
    pool = np.random.default_rng(0).lognormal(np.log(500), 1.2, 100_000).astype(np.int64) + 1
    results: list[dict[str, Any]] = []
    if options.input is not None:
        pool, filled = real_documents(options.input)
        print(f"{len(pool):,} real documents, packed by source: {filled:.4%} of the slots filled", file=shown)
        results.append({"name": "packing filled", "unit": "share", "ours": filled, "peer": None, "theirs": None})
    lengths = np.random.default_rng(1).choice(pool, 10**6 if options.quick else 10**7)
    ours = [seconds(lambda: pack(lengths)) for _ in range(3)]
    few = lengths[:PLAIN]
    mine, plain = median(seconds(lambda: pack(few)) for _ in range(3)), seconds(lambda: plain_best_fit(few.tolist()))
    filled = pack(lengths).report.filled
    print(f"{len(lengths):,} lengths: {median(ours):.2f} s, {filled:.4%} of the slots filled", file=shown)
    print(f"{PLAIN:,} lengths: {mine * 1000:.1f} ms, a document at a time {plain * 1000:.0f} ms", file=shown)
    results.append(
        {
            "name": "packing",
            "unit": "documents/s",
            "ours": PLAIN / mine,
            "peer": "plain Python",
            "theirs": PLAIN / plain,
            "ratio": plain / mine,
            "spread": (max(ours) - min(ours)) / median(ours),
            "seconds": {str(len(lengths)): median(ours)},
        }
    )
    if options.json:
        print(json.dumps({"results": results}))


def real_documents(run: Path) -> tuple[Lengths, float]:
    """Lengths in tokens of all documents of a run, and the share of slots filled where each source is packed."""
    manifest, by_source = read_manifest(run), dict[str, list[Lengths]]()
    for source in manifest.sources.values():
        by_source.setdefault(source.source, []).append(document_ranges(source, manifest.run)[1])
    reports = [pack(np.concatenate(lengths)).report for lengths in by_source.values()]
    slots = sum(report.num_tokens + report.num_padding for report in reports)
    every = np.concatenate([lengths for each in by_source.values() for lengths in each])
    return every, sum(report.num_tokens for report in reports) / slots


def pack(lengths: Lengths) -> Any:
    return pack_source(np.cumsum(lengths) - lengths, lengths, LENGTH, "benchmark")


def plain_best_fit(lengths: list[int]) -> list[int]:
    """Room left in each bin: longest first, each into the bin with the least room that holds it."""
    room: list[int] = []
    for length in sorted((length % LENGTH for length in lengths), reverse=True):
        fitting = [(free, place) for place, free in enumerate(room) if free >= length]
        if fitting:
            room[min(fitting)[1]] -= length
        else:
            room.append(LENGTH - length)
    return room


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
