"""fastText's models over Arrow buffers against fastText itself, on the same documents in one run, on one core.

    python benchmarks/classifiers.py --input corpus/*.jsonl.zst [--quick] [--json]

`language id` is lid.176.ftz on whole documents; `toxicity` and `quality` are the shipped models, ours with the
preparation of the text, fastText's on text that is prepared already, which is in its favour. The scores are compared
before any clock starts: a difference above 1e-5 or another label ends the run. Loading and the compilation of
kernels happen before the clock and are printed apart. datatrove's language filter downloads its model; here its class
is given the shipped one, and asked document by document as the filter asks it.
"""

import argparse
import importlib.metadata
import io
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard
from datatrove.data import Document
from datatrove.utils.lid import FT176LID

from corpusmill.stages.measure.prediction import Predictor
from corpusmill.stages.measure.prepared_text import PREPARATIONS
from corpusmill.stages.models.model_file import MODELS, load_model, read_card

FASTTEXT = f"fasttext-numpy2-wheel=={importlib.metadata.version('fasttext-numpy2-wheel')}"
DATATROVE = f"datatrove=={importlib.metadata.version('datatrove')}"
CONTESTS = {"language id": ("lid.176.ftz",), "toxicity": ("toxicity.ftz",), "quality": ("quality-en.ftz",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, help="JSONL files (.zst or plain) with a field text")
    parser.add_argument("--quick", action="store_true", help="3 repetitions on 2 MB")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    repetitions, max_bytes = (3, 2_000_000) if arguments.quick else (5, 16_000_000)
    texts = read_texts(arguments.input or default_input(), max_bytes)
    print(f"{len(texts):,} documents, {num_bytes(texts) / 1e6:.1f} MB, {repetitions} repetitions", file=sys.stderr)
    results = [
        result
        for name, (file,) in CONTESTS.items()
        if (MODELS / file).exists()
        for result in contest(name, MODELS / file, texts, repetitions)
    ]
    for r in results:
        print(f"{r['name']}: ours {r['ours']:.1f} MB/s, {r['peer']} {r['theirs']:.1f} MB/s: {r['ratio']:.1f}x")
    if arguments.json:
        print(json.dumps({"results": results}))


def contest(name: str, path: Path, texts: list[str], repetitions: int) -> list[dict[str, Any]]:
    """Ours and both peers in turn; MB/s of the texts as they are, medians."""
    started = time.perf_counter()
    predictor, library = Predictor(path), load_model(path)
    prepare = PREPARATIONS[read_card(path.with_suffix(".json")).get("text", "one_line")]
    column = pa.array(texts, type=pa.large_string())
    predictor.scores(prepare(column.slice(0, 1)), only_best=True)
    print(f"{name}: loaded and compiled in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    prepared = [line.replace("\n", " ") for line in prepare(column).to_pylist()]
    compare(predictor, library, pa.array(prepared, type=pa.large_string()), prepared)
    lines = column if name == "language id" else None  # line feeds count as spaces: nothing to prepare
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: predictor.scores(lines if lines is not None else prepare(column), only_best=True),
        FASTTEXT: lambda: library.predict(prepared),
    }
    if name == "language id":
        asked = FT176LID()
        asked._model = library
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
        runs[DATATROVE] = lambda: [asked.predict(document) for document in documents]
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(repetitions):
        for label, run in runs.items():
            before = time.process_time()
            run()
            seconds[label].append(time.process_time() - before)
    speed = {label: num_bytes(texts) / 1e6 / statistics.median(values) for label, values in seconds.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        {
            "name": name,
            "unit": "MB/s",
            "ours": round(speed["ours"], 2),
            "peer": peer,
            "theirs": round(speed[peer], 2),
            "ratio": round(speed["ours"] / speed[peer], 2),
            "spread": round(max(seconds["ours"]) / min(seconds["ours"]) - 1, 3),
            "peak_mib": round(peak),
        }
        for peer in list(runs)[1:]
    ]


def compare(predictor: Predictor, library: Any, column: Any, prepared: list[str]) -> None:
    """Ends the run where a label differs, or a score by more than 1e-5."""
    scores, num_tokens = predictor.scores(column, only_best=True)
    labels, theirs = library.predict(prepared)
    for row in np.flatnonzero(num_tokens):
        label, score = labels[row][0].removeprefix("__label__"), float(theirs[row][0])
        ours = predictor.labels[int(scores[row].argmax())]
        if (ours != label and scores[row].max() - score > 1e-6) or abs(float(scores[row].max()) - score) > 1e-5:
            sys.exit(f"document {row}: ours {ours} {scores[row].max()}, fastText {label} {score}")


def num_bytes(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def default_input() -> list[Path]:
    """English prose, Chinese law and code of the shared data."""
    if "CORPUSMILL_DATA" not in os.environ:
        sys.exit("No input: give --input FILE.jsonl ..., or set CORPUSMILL_DATA.")
    folder = Path(os.environ["CORPUSMILL_DATA"]) / "domains"
    return [folder / f"{name}.train.jsonl.zst" for name in ("web-en", "law-zh", "source-code")]


def read_texts(paths: list[Path], max_bytes: int) -> list[str]:
    """Documents of all files in turn, as many as `max_bytes` allow."""
    files = []
    for path in paths:
        content = path.read_bytes()
        if path.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)) as reader:
                content = reader.read()
        files.append([json.loads(line)["text"] for line in content.split(b"\n") if line])
    texts: list[str] = []
    size = 0
    for rank in range(max(map(len, files))):
        for documents in files:
            if rank < len(documents) and size < max_bytes:
                texts.append(documents[rank])
                size += len(documents[rank].encode())
    return texts


if __name__ == "__main__":
    main()
