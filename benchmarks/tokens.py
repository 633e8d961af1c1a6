"""Tokenizing: the segment encoder against the sentencepiece library, in new processes that take turns.

Each repetition is a process of its own that opens the model, compiles or loads its kernels, and encodes all documents
with an empty table; only the encoding is on the clock. One thread. `--model` gives a model; without one a BPE model of
32,000 pieces is trained on every fourth document.

    python benchmarks/tokens.py --input $CORPUSMILL_DATA/domains/*.train.jsonl.zst --json
"""

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

LANGUAGES = {"code": ("code",), "zh": ("zh", "lzh")}
BATCH_BYTES = 8 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, required=True, help="JSON lines with a field `text`, .zst")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--quick", action="store_true", help="3 repetitions on the first 8 MB of each group")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", nargs=3, metavar=("ENGINE", "MODEL", "TEXTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(encode_once(*arguments.work)))
        return
    groups = group_texts(arguments.input, (8 << 20) if arguments.quick else (1 << 40))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or train_model(groups, Path(folder, "tokenizer.model"))
        for language, texts in groups.items():
            if texts:
                place = write_texts(Path(folder, f"{language}.arrow"), texts)
                name = f"sentencepiece bpe encode {language}"
                results.append(compare(name, arguments.input, model, place, 3 if arguments.quick else 5))
                print(shown(results[-1]), file=sys.stderr)
    if arguments.json:
        print(json.dumps({"results": results}))


def compare(name: str, inputs: list[Path], model: Path, texts: Path, repetitions: int) -> dict[str, Any]:
    """Ours and the library by turns."""
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "library": []}
    for _ in range(repetitions):
        for engine, found in runs.items():
            command = [sys.executable, __file__, "--input", str(inputs[0]), "--work", engine, str(model), str(texts)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            found.append(json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout))
    if {run["hash"] for run in runs["ours"]} != {run["hash"] for run in runs["library"]}:
        raise SystemExit(f"{name}: the ids differ")
    ours, theirs = ([run["mb_per_s"] for run in runs[engine]] for engine in ("ours", "library"))
    return {
        "name": name,
        "unit": "MB/s",
        "ours": round(statistics.median(ours), 2),
        "peer": f"sentencepiece=={metadata.version('sentencepiece')}",
        "theirs": round(statistics.median(theirs), 2),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 2),
        "spread": [round(min(ours), 2), round(max(ours), 2), round(min(theirs), 2), round(max(theirs), 2)],
        "peak_mib": max(run["peak_mib"] for run in runs["ours"]),
        "bytes": runs["ours"][0]["bytes"],
        "segments_answered": runs["ours"][0]["answered"],
        "open_s": round(statistics.median(run["open_s"] for run in runs["ours"]), 2),
    }


def encode_once(engine: str, model: str, texts: str) -> dict[str, Any]:
    """One repetition, in this process."""
    import hashlib

    import pyarrow as pa

    from corpusmill.pipeline.document import split_batch
    from corpusmill.stages.tokens.model_proto import SentencePieceModel
    from corpusmill.stages.tokens.segment_encoder import open_sentencepiece
    from corpusmill.stages.tokens.sentencepiece_library import sentencepiece_card

    started = time.perf_counter()
    data = Path(model).read_bytes()
    batches = [b for table in [pa.ipc.open_file(texts).read_all()] for b in table.to_batches()]
    batches = [small for batch in batches for small in split_batch(batch, BATCH_BYTES)]
    num_bytes = sum(len(text.encode()) for batch in batches for text in batch.column("text").to_pylist())
    digest = hashlib.blake2b(digest_size=16)
    answered = None
    if engine == "ours":
        encoder: Any = open_sentencepiece(data, sentencepiece_card(SentencePieceModel(data)))
        warm = open_sentencepiece(data, encoder.card)
        warm.encode(pa.array(["warm"], pa.large_string()))  # compiles; this table is thrown away
        opened = time.perf_counter() - started
        started = time.perf_counter()
        found = [encoder.encode(batch.column("text"))[0] for batch in batches]
        seconds = time.perf_counter() - started
        answered = round(encoder.share_answered(), 4)
        for ids in found:
            digest.update(ids.astype("<i4"))
    else:
        import numpy as np
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        lists = [batch.column("text").to_pylist() for batch in batches]
        opened = time.perf_counter() - started
        started = time.perf_counter()
        encoded = [processor.encode(texts, num_threads=1) for texts in lists]  # its own batch call
        seconds = time.perf_counter() - started
        for batch_ids in encoded:
            for ids in batch_ids:
                digest.update(np.asarray(ids, dtype="<i4"))
    return {
        "mb_per_s": num_bytes / 1e6 / seconds,
        "bytes": num_bytes,
        "open_s": opened,
        "answered": answered,
        "hash": digest.hexdigest(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def group_texts(inputs: list[Path], max_bytes: int) -> dict[str, list[str]]:
    """Distinct documents as `en`, `code` and `zh`, by their field `lang` or the name of their file."""
    groups: dict[str, list[str]] = {"en": [], "code": [], "zh": []}
    sizes = dict.fromkeys(groups, 0)
    seen: set[int] = set()
    for path in inputs:
        for record in records(path):
            text = record["text"]
            group = "zh" if str(record.get("lang")).startswith(LANGUAGES["zh"]) else "en"
            group = "code" if "code" in path.name else group
            if hash(text) not in seen and sizes[group] < max_bytes:
                seen.add(hash(text))
                groups[group].append(text)
                sizes[group] += len(text.encode())
    return groups


def records(path: Path) -> Iterator[dict[str, Any]]:
    import zstandard

    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as packed:
        for line in io.TextIOWrapper(packed, encoding="utf-8", newline="\n"):
            yield json.loads(line)


def train_model(groups: dict[str, list[str]], to: Path) -> Path:
    import pyarrow as pa

    from corpusmill.stages.tokens.token_settings import TokenizerSettings
    from corpusmill.stages.tokens.train_sentencepiece import train_sentencepiece

    texts = [text for group in groups.values() for text in group[::4]]
    to.write_bytes(train_sentencepiece(pa.array(texts, pa.large_string()), TokenizerSettings()))
    return to


def write_texts(to: Path, texts: list[str]) -> Path:
    import pyarrow as pa

    table = pa.table({"text": pa.array(texts, pa.large_string())})
    with pa.OSFile(str(to), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return to


def shown(result: dict[str, Any]) -> str:
    return (
        f"{result['name']}: ours {result['ours']} MB/s, {result['peer']} {result['theirs']} MB/s, {result['ratio']}x; "
        f"{result['bytes'] / 1e6:.1f} MB, {result['segments_answered']:.1%} of segments from the table, "
        f"{result['peak_mib']} MiB"
    )


if __name__ == "__main__":
    main()
