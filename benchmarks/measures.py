"""Gopher, C4 and FineWeb measures together, ours against datatrove's four filters, on one core each.

Both sides see every document with every filter, whatever another one decided, and find their own words and sentences;
datatrove keeps the words of the last documents, so it splits each once. Times are CPU seconds of a process that does
nothing else. datatrove with its tokenizers runs in an environment of its own: `--peer PYTHON`, by default
.venv-conformance, which tests/real/conformance.sh makes.

    python benchmarks/measures.py --quick --json
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

NAMES = {"en": "gopher+c4+fineweb", "zh": "gopher+c4+fineweb zh"}
DEFAULT_INPUT = {
    "en": ("domains/web-en.train.jsonl.zst", "domains/techdocs-en.train.jsonl.zst"),
    "zh": ("domains/zh-modern-history.train.jsonl.zst", "web-sample/zh-raw-web-a.jsonl.zst"),
}
ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", nargs="*", type=Path, default=[], help="JSONL with a text field (.zst), or text files"
    )
    parser.add_argument("--language", default="en", choices=NAMES, help="of --input")
    parser.add_argument("--quick", action="store_true", help="0.4 MB for the peer, 4 MB for ours, 3 repetitions")
    parser.add_argument("--segmenter", default="auto", help="of ours in English; spacy-en finds datatrove's very words")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", type=Path, default=ROOT / ".venv-conformance/bin/python")
    parser.add_argument("--worker", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.language, options.segmenter)
        return
    inputs = {options.language: options.input} if options.input else default_inputs()
    results = [compare(language, paths, options) for language, paths in inputs.items()]
    if options.json:
        print(json.dumps({"results": results}))


def default_inputs() -> dict[str, list[Path]]:
    if "CORPUSMILL_DATA" not in os.environ:
        return {"en": sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))}
    data = Path(os.environ["CORPUSMILL_DATA"])
    return {language: [data / name for name in names] for language, names in DEFAULT_INPUT.items()}


def compare(language: str, paths: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn, each in its own process, over the same documents."""
    documents = read_documents(paths, 4_000_000 if options.quick else 16_000_000)
    few = shortened(documents, 400_000 if options.quick else 2_000_000)
    repetitions = 3 if options.quick else 5
    segmenter = options.segmenter if language == "en" else "auto"
    ours = Worker(Path(sys.executable), "ours", language, documents, segmenter)
    theirs = Worker(options.peer, "theirs", language, few, segmenter) if options.peer.exists() else None
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(repetitions):
        rates["ours"].append(ours.rate())
        if theirs is not None:
            rates["theirs"].append(theirs.rate())
    median = statistics.median(rates["ours"])
    result: dict[str, Any] = {
        "name": NAMES[language],
        "unit": "MB/s",
        "ours": median,
        "peer": "datatrove==0.10.1",
        "theirs": statistics.median(rates["theirs"]) if theirs else None,
        "ratio": median / statistics.median(rates["theirs"]) if theirs else None,
        "spread": (max(rates["ours"]) - min(rates["ours"])) / median,
        "peak_mib": ours.peak_mib,
    }
    if theirs is None:
        result["why"] = f"{options.peer}: no such file; tests/real/conformance.sh makes that environment"
    num_bytes = sum(len(text.encode()) for text in documents)
    print(f"{NAMES[language]}: {len(documents)} documents, {num_bytes / 1e6:.1f} MB", file=sys.stderr)
    print(f"  ours      {median:8.2f} MB/s  peak {ours.peak_mib:.0f} MiB, start {ours.start_s:.1f} s", file=sys.stderr)
    if theirs is not None:
        print(f"  datatrove {result['theirs']:8.3f} MB/s  on {len(few)} of them", file=sys.stderr)
        print(f"  ratio     {result['ratio']:8.0f}", file=sys.stderr)
    ours.close()
    if theirs is not None:
        theirs.close()
    return result


def read_documents(paths: list[Path], max_bytes: int) -> list[str]:
    """Documents of all files in turn (first of each, second of each ...), up to so many bytes of text."""
    files = [read_file(path) for path in paths]
    longest = max(map(len, files))
    return shortened([texts[at] for at in range(longest) for texts in files if at < len(texts)], max_bytes)


def read_file(path: Path) -> list[str]:
    if ".jsonl" not in path.suffixes:
        return [path.read_text(encoding="utf-8", errors="replace")]
    import zstandard

    opener = zstandard.open if path.suffix == ".zst" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines.read().split("\n") if line]


def shortened(documents: list[str], max_bytes: int) -> list[str]:
    total = 0
    for index, text in enumerate(documents):
        total += len(text.encode())
        if total > max_bytes:
            return documents[: index + 1]
    return documents


class Worker:
    """A process with one side loaded, compiled and warm; answers every line on stdin with CPU seconds for one pass."""

    def __init__(self, python: Path, side: str, language: str, documents: list[str], segmenter: str) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        command = [str(python), __file__, "--worker", side, "--language", language, "--segmenter", segmenter]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        )
        self.num_bytes = sum(len(text.encode()) for text in documents)
        started = time.perf_counter()
        self._ask(json.dumps(documents))
        self.start_s = time.perf_counter() - started
        self.peak_mib = 0.0

    def rate(self) -> float:
        """MB/s of one pass."""
        seconds, self.peak_mib = json.loads(self._ask("run"))
        return self.num_bytes / 1e6 / float(seconds)

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args}: ended with status {self.process.wait()}")
        return answer

    def close(self) -> None:
        self.process.communicate()


def work(side: str, language: str, segmenter: str) -> None:
    """The loop of a worker process."""
    documents = json.loads(sys.stdin.readline())
    run = ours_pass(documents, segmenter) if side == "ours" else datatrove_pass(documents, language)
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.process_time()
        run()
        seconds = time.process_time() - started
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]), flush=True)


def ours_pass(documents: list[str], segmenter: Any) -> Any:
    import pyarrow as pa

    from corpusmill.pipeline.document import split_batch
    from corpusmill.pipeline.rules import evaluate
    from corpusmill.pipeline.stage import Scratch
    from corpusmill.stages.measure.c4 import C4
    from corpusmill.stages.measure.fineweb import Fineweb
    from corpusmill.stages.measure.gopher import Gopher

    gopher, c4, fineweb = Gopher(segmenter=segmenter), C4(segmenter=segmenter), Fineweb(segmenter=segmenter)
    workers = gopher.open(), c4.open(), fineweb.open()
    rules = gopher.rules() + c4.rules() + fineweb.rules()
    texts = pa.array(documents, pa.large_string())
    whole = pa.record_batch({"text": texts, "lang": pa.nulls(len(documents), pa.string())})

    def run(batch: pa.RecordBatch = whole) -> None:
        for part in split_batch(batch):
            scratch = Scratch()
            columns = workers[0].measure(part, scratch)
            columns |= workers[1].change(part)[1]
            columns |= workers[2].measure(part, scratch)
            evaluate(rules, pa.table(columns))

    run(whole.slice(0, 2))
    return run


def datatrove_pass(documents: list[str], language: str) -> Any:
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    name = {"en": "eng", "zh": "cmn"}[language]
    kinds = (GopherRepetitionFilter, GopherQualityFilter, FineWebQualityFilter, C4QualityFilter)
    filters = [kind(language=name) for kind in kinds]

    def run(texts: list[str] = documents) -> None:
        for text in texts:
            for each in filters:
                each.filter(Document(text=text, id="0"))

    run(documents[:2])
    return run


if __name__ == "__main__":
    main()
