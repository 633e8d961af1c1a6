"""Decontamination: recall on planted evaluation items, and false alarms on clean documents, every one of them listed.

    python benchmarks/decontamination.py --suites suite.jsonl.zst --clean corpus/*.jsonl.zst [--json]

Every item of the suites with at least 3 words (or 8 Chinese characters) is planted into clean prose, alone in its
document: verbatim; in capitals without punctuation and with other spacing; items of at least 16 words also with one
word changed, put in or left out, and as their first half. Each way is a corpus of its own, and one more holds all. An
item counts as found where its document is dropped; items that the stage lists as not decidable are counted apart.
"""

import argparse
import io
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard

from corpusmill.pipeline.stage import PartView
from corpusmill.stages.gather.decontaminate import Decontaminate, DecontaminateWorker

PADDING = "Rain fell on the harbour that night, and nobody thought of mending the nets before the morning came."
Planted = list[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="+", type=Path, required=True)
    parser.add_argument(
        "--clean", nargs="+", type=Path, required=True, help="JSONL files; rows `contaminated` are left out"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    worker = Decontaminate(suites=tuple(arguments.suites)).open()
    ways = plant(worker)
    ways["all in one corpus"] = [pair for pairs in ways.values() for pair in pairs]
    results: list[dict[str, Any]] = []
    for way, pairs in ways.items():
        lines = judged(worker, (f"{PADDING}\n{text}\n{PADDING}" for _, text in pairs))
        dropped = {(line["key"], line["item"]) for line in lines if line["decidable"]}
        unclear = {line["item"] for line in lines if not line["decidable"]} | set(worker.undecidable())
        missed = [name for row, (name, _) in enumerate(pairs) if (row, name) not in dropped and name not in unclear]
        found = sum((row, name) in dropped for row, (name, _) in enumerate(pairs))
        results.append(
            {"way": way, "planted": len(pairs), "dropped": found, "missed": len(missed), "undecidable": len(unclear)}
        )
        print(results[-1], "missed:", missed[:10], flush=True)
    texts = [text for path in arguments.clean for text in clean_texts(path)]
    lines = judged(worker, texts)
    flagged = {line["key"] for line in lines if line["decidable"]}
    for line in lines:
        what = "flagged" if line["decidable"] else "not decidable"
        print(f"clean document {line['key']}: {what} {line['item']} {line['overlap']:.2f}: {line['passage'][:150]!r}")
    results.append(
        {"way": "clean", "documents": len(texts), "flagged": len(flagged), "share": len(flagged) / len(texts)}
    )
    print(results[-1])
    if arguments.json:
        print(json.dumps({"results": results}))


def plant(worker: DecontaminateWorker) -> dict[str, Planted]:
    """Way -> (item, text) of every item that is long enough to be asked for."""
    rng = random.Random(5)
    ways: dict[str, Planted] = {"verbatim": [], "case, punctuation, spacing": [], "one word": [], "first half": []}
    for item in worker.suite_items:
        words = item.question.split()
        if len(re.findall(r"\w\S*", item.question)) >= 3 or len(re.findall(r"[\u4e00-\u9fff]", item.question)) >= 8:
            ways["verbatim"].append((item.name, item.question))
            bare = re.sub(r"[^\w\s]", " ", item.question).upper().replace(" ", " \n")
            ways["case, punctuation, spacing"].append((item.name, bare))
        if len(words) >= 16:
            ways["first half"].append((item.name, " ".join(words[: len(words) // 2])))
            at = rng.randrange(len(words))
            changed = rng.choice([[], ["zebra"], [words[at], "zebra"]])  # a word left out, changed, put in
            ways["one word"].append((item.name, " ".join([*words[:at], *changed, *words[at + 1 :]])))
    return ways


def judged(worker: DecontaminateWorker, texts: Any) -> list[dict[str, Any]]:
    """The stage's evidence on these documents; `key` is a document's place."""
    tables, waiting, row = [], [], 0

    def flush() -> None:
        nonlocal row
        batch = pa.RecordBatch.from_pydict(
            {
                "row": pa.array(range(row, row + len(waiting)), pa.uint64()),
                "id": pa.array([str(at) for at in range(row, row + len(waiting))], pa.string()),
                "text": pa.array(waiting, pa.large_string()),
            }
        )
        tables.extend(worker.hits(PartView(name="", batches=[batch], first_row=0), {}))
        row += len(waiting)
        waiting.clear()

    for text in texts:
        waiting.append(text)
        if len(waiting) == 2000:
            flush()
    flush()
    found: list[dict[str, Any]] = worker.judge({"hits": pa.concat_tables(tables)}).to_pylist()
    return found


def clean_texts(path: Path) -> Iterator[str]:
    with zstandard.open(path, "rb") as raw:
        for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n"):
            record = json.loads(line)
            if not record.get("contaminated"):
                yield record["text"]


if __name__ == "__main__":
    main()
