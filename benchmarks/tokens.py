"""Tokenizing: our encoders against sentencepiece, HF tokenizers and datatrove, in new processes that take turns.

Each repetition is a process of its own that opens the tokenizer, compiles or loads its kernels, and encodes all
documents with an empty table; only the encoding is on the clock. One thread; the library through its own batch call;
the ids must be equal. `tokenize to shards` is from kept documents to finished token files. Of its CPU seconds, those of
reading the kept Parquet and of the encoder are clocked apart; what is left (order, checksums, indexes, files, receipts)
is the writing, given as a share of the encoder's. `… write …` is that share for every kind and group.
Inputs are JSON lines with a field `text` (.zst) and folders, whose .py files are code. Tokenizers are trained on every
fourth document unless `--sentencepiece`, `--unigram` and `--byte-level` give some.

    python benchmarks/tokens.py --input $CORPUSMILL_DATA/domains/*.train.jsonl.zst .venv/lib --json
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any

CHINESE = ("zh", "lzh")
WORKER = Path(__file__).with_name("tokens_worker.py")
FULL, QUICK = 40 << 20, 4 << 20
"""Bytes of distinct documents per group."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", nargs="+", type=Path, help="JSON lines with a field `text`; default: CORPUSMILL_DATA"
    )
    parser.add_argument("--sentencepiece", type=Path, help="a BPE model")
    parser.add_argument("--unigram", type=Path, help="a unigram model")
    parser.add_argument("--byte-level", type=Path, help="a tokenizer.json")
    parser.add_argument("--only", help="names that contain this")
    parser.add_argument("--peer-repetitions", type=int, help="of the peers, which are slow; default: as many as ours")
    parser.add_argument("--quick", action="store_true", help="3 repetitions on the first 4 MiB of each group")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    repetitions = 3 if arguments.quick else 5
    theirs = min(repetitions, arguments.peer_repetitions or repetitions)
    groups = group_texts(arguments.input or default_input(), QUICK if arguments.quick else FULL)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = {group: write_texts(folder / f"{group}.arrow", texts) for group, texts in groups.items() if texts}
        kinds = {
            "sentencepiece bpe": (arguments.sentencepiece, "sentencepiece-bpe", "sentencepiece"),
            "sentencepiece unigram": (arguments.unigram, "sentencepiece-unigram", "sentencepiece"),
            "byte-level bpe": (arguments.byte_level, "byte-level-bpe", "tokenizers"),
        }
        for kind, (given, trainer, peer) in kinds.items():
            names = [f"{kind} {what} {group}" for group in places for what in ("encode", "write")]
            shards = ["tokenize to shards"] if kind == "byte-level bpe" else []
            if arguments.only and not any(arguments.only in each for each in names + shards):
                continue
            tokenizer = given or train(trainer, groups, folder)
            for group, place in places.items():
                if not arguments.only or arguments.only in f"{kind} encode {group}":
                    results.append(
                        compare(f"{kind} encode {group}", "ours", peer, tokenizer, place, repetitions, theirs)
                    )
                if not arguments.only or arguments.only in f"{kind} write {group}":
                    results.append(writing(f"{kind} write {group}", tokenizer, place, repetitions))
            for each in shards:
                if not arguments.only or arguments.only in each:
                    place = places.get("en") or next(iter(places.values()))
                    results.append(compare(each, "shards", "datatrove", tokenizer, place, repetitions, theirs))
    if arguments.json:
        print(json.dumps({"results": results}))


def default_input() -> list[Path]:
    """The domains of the shared data."""
    data = os.environ.get("CORPUSMILL_DATA")
    if data is None:
        sys.exit("--input: name JSON lines, or set CORPUSMILL_DATA.")
    return sorted(Path(data).glob("domains/*.train.jsonl.zst"))


def compare(
    name: str, mine: str, peer: str, tokenizer: Path, texts: Path, repetitions: int, theirs: int
) -> dict[str, Any]:
    """Ours and the peer by turns, the peer `theirs` times."""
    runs: dict[str, list[dict[str, Any]]] = {mine: [], peer: []}
    for repetition in range(repetitions):
        for engine, found in runs.items():
            if engine == peer and repetition >= theirs:
                continue
            found.append(one_run(name, engine, tokenizer, texts))
    if {run["hash"] for run in runs[mine]} != {run["hash"] for run in runs[peer]}:
        raise SystemExit(f"{name}: the ids differ")
    ours, others = ([run["mb_per_s"] for run in runs[engine]] for engine in (mine, peer))
    first = runs[mine][0]
    result = {
        "name": name,
        "unit": "MB/s",
        "ours": round(statistics.median(ours), 2),
        "peer": f"{peer}=={metadata.version(peer)}",
        "theirs": round(statistics.median(others), 2),
        "ratio": round(statistics.median(ours) / statistics.median(others), 2),
        "spread": [round(min(ours), 2), round(max(ours), 2), round(min(others), 2), round(max(others), 2)],
        "repetitions": [len(ours), len(others)],
        "peak_mib": max(run["peak_mib"] for run in runs[mine]),
        "bytes": first["bytes"],
        "segments_answered": first.get("answered"),
        "open_s": round(statistics.median(run["open_s"] for run in runs[mine]), 2),
    }
    if mine == "shards":
        for part in ("read_s", "encode_s", "write_s"):
            result[part] = round(statistics.median(run[part] for run in runs[mine]), 3)
        result["write_share"] = round(statistics.median(run["write_s"] / run["encode_s"] for run in runs[mine]), 3)
        result["phases"] = {phase: [round(each, 3) for each in both] for phase, both in first["phases"].items()}
    print(shown(result), file=sys.stderr)
    return result


def writing(name: str, tokenizer: Path, texts: Path, repetitions: int) -> dict[str, Any]:
    """What shards cost on top of encoding: medians of the CPU seconds of several processes, and of their shares."""
    runs = [one_run(name, "shards", tokenizer, texts) for _ in range(repetitions)]
    shares = [run["write_s"] / run["encode_s"] for run in runs]
    result = {
        "name": name,
        "unit": "share of encoding",
        "ours": round(statistics.median(shares), 3),
        "peer": None,
        "theirs": None,
        "ratio": None,
        "why": "a share of our own time",
        "spread": [round(min(shares), 3), round(max(shares), 3)],
        "peak_mib": max(run["peak_mib"] for run in runs),
        "bytes": runs[0]["bytes"],
    }
    for part in ("read_s", "encode_s", "write_s"):
        result[part] = round(statistics.median(run[part] for run in runs), 3)
    seconds = ", ".join(f"{part} {result[f'{part}_s']} s" for part in ("read", "encode", "write"))
    low, high = result["spread"]
    print(f"{name}: {result['ours']:.1%} ({low:.1%} to {high:.1%}); CPU: {seconds}", file=sys.stderr)
    return result


def one_run(name: str, engine: str, tokenizer: Path, texts: Path) -> dict[str, Any]:
    """What a new process of the worker measured."""
    command = [sys.executable, str(WORKER), engine, str(tokenizer), str(texts)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{name}, {engine}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def group_texts(inputs: list[Path], max_bytes: int) -> dict[str, list[str]]:
    """Distinct documents as `en`, `code` and `zh`, by their field `lang` or the name of their file."""
    groups: dict[str, list[str]] = {"en": [], "code": [], "zh": []}
    sizes = dict.fromkeys(groups, 0)
    seen: set[bytes] = set()
    for path in inputs:
        for group, text in documents(path):
            data = text.encode("utf-8", errors="ignore")
            key = blake2b(data, digest_size=16).digest()
            if key not in seen and sizes[group] < max_bytes:
                seen.add(key)
                groups[group].append(data.decode())
                sizes[group] += len(data)
    return groups


def documents(path: Path) -> Iterator[tuple[str, str]]:
    """(group, text) of every document of a file or folder; other languages than English and Chinese are left out."""
    import zstandard

    if path.is_dir():
        for file in sorted(path.rglob("*.py")):
            text = file.read_text(encoding="utf-8", errors="ignore")
            if text:
                yield "code", text
        return
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as packed:
        for line in io.TextIOWrapper(packed, encoding="utf-8", newline="\n"):
            record = json.loads(line)
            if not record.get("text"):
                continue
            language = str(record.get("lang") or "en")
            if "code" in path.name:
                yield "code", record["text"]
            elif language.startswith(CHINESE) or language.startswith("en"):
                yield "zh" if language.startswith(CHINESE) else "en", record["text"]


def train(kind: str, groups: dict[str, list[str]], folder: Path) -> Path:
    """A tokenizer of 32,000 pieces; a unigram model of 8,000 on less text, as its training is slow."""
    import pyarrow as pa

    from corpusmill.stages.tokens.token_settings import TokenizerSettings
    from corpusmill.stages.tokens.vocabulary import train as train_one

    unigram = kind == "sentencepiece-unigram"
    texts = [text for group in groups.values() for text in group[:: 40 if unigram else 4]]
    settings = TokenizerSettings(train=kind, vocab_size=8000 if unigram else 32_000)
    to = folder / ("tokenizer.json" if kind == "byte-level-bpe" else f"{kind}.model")
    to.write_bytes(train_one(pa.array(texts, pa.large_string()), settings))
    return to


def write_texts(to: Path, texts: list[str]) -> Path:
    import pyarrow as pa

    table = pa.table({"text": pa.array(texts, pa.large_string())})
    with pa.OSFile(str(to), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return to


def shown(result: dict[str, Any]) -> str:
    answered = result["segments_answered"]
    return (
        f"{result['name']}: ours {result['ours']} MB/s, {result['peer']} {result['theirs']} MB/s, {result['ratio']}x; "
        f"{result['bytes'] / 1e6:.1f} MB"
        + (f", {answered:.1%} of segments from the table" if answered is not None else "")
        + (
            f", reading {result['read_s']} s, encoding {result['encode_s']} s, writing {result['write_s']} s: "
            f"{result['write_share']:.1%} on top of encoding"
            if "write_s" in result
            else ""
        )
        + f", {result['peak_mib']} MiB, opening {result['open_s']} s"
    )


if __name__ == "__main__":
    main()
