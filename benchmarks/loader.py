"""Speed of reading training rows from token files, beside megatron-core, litdata, mosaicml-streaming and OLMo-core.

    python benchmarks/loader.py [--quick] [--json] [--input RUN_FOLDER]

Every reader gets the same tokens in its own layout and gives shuffled rows of 2,048 in batches of 32, as contiguous
int64 input and label tensors, every element summed. Each runs in a process of its own (the peers in .venv-readers and
.venv-mosaic, made by tests/real/readers.sh), alternately, with the files in the page cache and with the files put out
of it, on one thread and on two. litdata and mosaicml-streaming take one thread only: their datasets are iterators.
`copy` is no reader: it copies batches that are in memory into fresh tensors, which no reader can pass.

`loader start` is the time from imports done to the first batch: on the same tokens, which are one file, and on 2 * 10^9
tokens in 2,000 files of 200 sources, where each reader has run once before, so that an index it keeps is there. `loader
start, 10^12 tokens` is ours on a plan of a trillion tokens (2 TB of sparse files, 2,000 of them in 200 sources, two
phases): memory above the idle process, and the time to find what is read at any position. The peers have no plan of
that size without indexing it first.

About 7 minutes on two quiet cores, --quick 2.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from corpusmill.mixtures.mixture import Mixture, Phase, make_plan
from corpusmill.mixtures.sources import MANIFEST, read_manifest

LENGTH, BATCH, DOCUMENT = 2048, 32, 1000
HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = {
    "megatron-core": "readers",
    "litdata": "readers",
    "olmo-core": "readers",
    "mosaicml-streaming": "mosaic",
}
PEERS = tuple(ENVIRONMENTS)
ITERATORS = ("litdata", "mosaicml-streaming")
LARGE_TOKENS = 10**12
WARM_TIMES = {"corpusmill": 4, "copy": 4}
"""Times as many rows, where a reader would be done before the clock is fair to it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="a run folder with one shard of one source; default: made here")
    parser.add_argument("--quick", action="store_true", help="32 million tokens and 3 repetitions")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loader-benchmark-") as scratch:
        folder = options.input or Path(scratch) / "small"
        num_tokens = 32_000_000 if options.quick else 256_000_000
        if options.input is None:
            write_small(folder, num_tokens)
        num_rows = min(num_tokens // LENGTH // BATCH * BATCH - BATCH, 24_000) // 4
        many, large = Path(scratch) / "many", Path(scratch) / "large"
        write_many(many)
        write_large(large)
        missing = make_peers(folder, many)
        cases = [(threads, cold) for threads in (1, 2) for cold in (False, True)]
        if options.quick:
            cases.remove((2, True))
        results = compare(folder, many, large, num_rows, 3 if options.quick else 5, cases, missing)
    for each in results:
        theirs = "cannot run: " + each["why"] if each["theirs"] is None else f"{each['theirs']:.4g}"
        ratio = "" if each["ratio"] is None else f"  {each['ratio']:.2f}x"
        more = "".join(f"  {name} {each[name]:.3g}" for name in ("above_idle_mib", "seek_ms") if name in each)
        print(
            f"{each['name']:13} {each['case']:16} ours {each['ours']:.4g} {each['unit']}  "
            f"{each['peer']}: {theirs}{ratio}{more}",
            file=sys.stderr if options.json else sys.stdout,
        )
    if options.json:
        print(json.dumps({"results": results}))


def make_peers(folder: Path, many: Path) -> dict[str, str]:
    """Makes the environments of the peers and the layouts that only one of them writes; why each cannot run, where that
    cannot be made."""
    made = subprocess.run([str(ROOT / "tests/real/readers.sh"), "readers", "mosaic"], capture_output=True, text=True)
    if made.returncode:
        return dict.fromkeys(PEERS, made.stderr.strip().split("\n")[-1])
    if not (folder / "mds").exists():
        run("write-mds", python_of("mosaicml-streaming"), folder, 0, 1)
    write_many_mds(many)
    return {}


def python_of(name: str) -> str:
    """The interpreter that has a reader."""
    return str(ROOT / f".venv-{ENVIRONMENTS[name]}/bin/python") if name in ENVIRONMENTS else sys.executable


def compare(
    folder: Path,
    many: Path,
    large: Path,
    num_rows: int,
    repetitions: int,
    cases: list[tuple[int, bool]],
    missing: dict[str, str],
) -> list[dict[str, Any]]:
    """One result for each peer and case (threads, cold). `missing` says which peers cannot run and why."""
    runs: dict[tuple[str, int, bool], list[dict[str, Any]]] = {}
    why = dict(missing)
    starts: dict[str, list[dict[str, Any]]] = {}
    large_runs = []
    for repetition in range(repetitions + 1):
        for name in ("corpusmill", *PEERS):
            if name not in why:
                facts, error = run(name, python_of(name), many, BATCH * 2, 1)
                if error:
                    why[name] = error
                elif repetition:
                    starts.setdefault(name, []).append(facts)
        if not repetition:
            continue
        large_runs.append(run("corpusmill", sys.executable, large, BATCH * 2, 1)[0])
        for threads, cold in cases:
            for name in ("corpusmill", *PEERS, "copy"):
                if name in why or (name in ITERATORS and threads == 2) or (name == "copy" and (cold or threads == 2)):
                    continue
                (drop_from_cache if cold else read_into_cache)(folder)
                times = 1 if cold else WARM_TIMES.get(name, 1)
                facts, error = run(name, python_of(name), folder, num_rows * times, threads)
                if error:
                    why[name] = error
                else:
                    runs.setdefault((name, threads, cold), []).append(facts)
    results = []
    for threads, cold in cases:
        case = f"{'cold' if cold else 'warm'}, {threads} thread{'s' * (threads > 1)}"
        for name in (*PEERS, "copy"):
            theirs = runs.get((name, threads, cold), runs["copy", 1, False] if name == "copy" else [])
            if theirs or name in why:
                results.append(result("loader tokens", case, runs["corpusmill", threads, cold], name, theirs, why))
    for name in PEERS:
        ours, theirs = runs["corpusmill", 1, False], runs.get((name, 1, False), [])
        results.append(result("loader start", "same tokens", ours, name, theirs, why))
        results.append(result("loader start", "2,000 files", starts["corpusmill"], name, starts.get(name, []), why))
    facts = result("loader start", "10^12 tokens", large_runs, "none", [], {"none": "no peer has such a plan"})
    results.append(facts | {name: median(run[name] for run in large_runs) for name in ("above_idle_mib", "seek_ms")})
    return results


def result(
    name: str, case: str, ours: list[dict[str, Any]], peer: str, theirs: list[dict[str, Any]], why: dict[str, str]
) -> dict[str, Any]:
    """Medians of ours and of a peer's: tokens a second, or seconds to the first batch."""
    start = name == "loader start"
    mine, other = (
        [each["start_s"] if start else each["tokens"] / each["seconds"] for each in both] for both in (ours, theirs)
    )
    ratio = None if not other else median(other) / median(mine) if start else median(mine) / median(other)
    return {
        "name": name,
        "case": case,
        "unit": "s" if start else "tokens/s",
        "ours": median(mine),
        "peer": f"{peer}=={theirs[0]['version']}" if theirs else peer,
        "theirs": median(other) if other else None,
        "ratio": ratio,
        "spread": (max(mine) - min(mine)) / median(mine),
        "peak_mib": max(each["peak_mib"] for each in ours),
        **({} if theirs else {"why": why[peer]}),
    }


def run(name: str, python: str, folder: Path, num_rows: int, threads: int) -> tuple[dict[str, Any], str]:
    """The facts that one reader printed, or why it could not run."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [python, str(HERE / "loader_readers.py"), name, str(folder), str(num_rows), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        if name == "corpusmill":
            raise RuntimeError(done.stderr)
        return {}, done.stderr.strip().splitlines()[-1]
    facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts, ""


def write_small(folder: Path, num_tokens: int) -> None:
    """The same tokens as our shard with Megatron index and as a litdata chunk; OLMo-core reads our .bin as it is."""
    tokens = np.random.default_rng(0).integers(1, 50_000, num_tokens, dtype=np.uint16)
    tokens[DOCUMENT - 1 :: DOCUMENT] = 0
    path = folder / "tokens/web/all/00000.bin"
    path.parent.mkdir(parents=True)
    tokens.tofile(path)
    num_documents = num_tokens // DOCUMENT
    lengths = np.full(num_documents, DOCUMENT, dtype=np.int32)
    with path.with_suffix(".idx").open("wb") as file:
        file.write(b"MMIDIDX\0\0" + np.uint64(1).tobytes() + b"\x08")
        file.write(np.array([num_documents, num_documents + 1], dtype=np.uint64).tobytes() + lengths.tobytes())
        file.write((np.arange(num_documents, dtype=np.int64) * DOCUMENT * 2).tobytes())
        file.write(np.arange(num_documents + 1, dtype=np.int64).tobytes())
    write_manifest(folder, [("web", 0, num_tokens)])
    tokens_wanted = num_tokens // LENGTH * LENGTH
    make_plan(read_manifest(folder), Mixture(tokens=tokens_wanted, sequence_length=LENGTH)).save(
        folder / "plans/main.json"
    )
    chunk = folder / "litdata"
    chunk.mkdir()
    with (chunk / "chunk-0-0.bin").open("wb") as file:
        file.write(np.array([1, 12, 12 + 2 * num_tokens], dtype=np.uint32).tobytes() + tokens.tobytes())
    config = {"chunk_bytes": 64 << 20, "chunk_size": None, "compression": None, "encryption": None}
    config |= {"data_format": ["no_header_numpy:5"], "item_loader": "TokensLoader"}
    config |= {"data_spec": '[1, {"type": null, "context": null, "children_spec": []}]'}
    entry = {"chunk_bytes": 12 + 2 * num_tokens, "chunk_size": 1, "dim": num_tokens, "filename": "chunk-0-0.bin"}
    (chunk / "index.json").write_text(json.dumps({"chunks": [entry], "config": config, "updated_at": "0"}))


def write_many(folder: Path) -> None:
    """2 * 10^9 tokens in 2,000 files of 200 sources, for every reader in its layout: links to one file of each kind."""
    one, num_tokens = folder / "one", 1_000_000
    write_small(one, num_tokens)
    files = [(f"s{source:03d}", file, num_tokens) for source in range(200) for file in range(10)]
    for number, (source, file, _) in enumerate(files):
        for suffix in (".bin", ".idx"):
            path = folder / f"tokens/{source}/all/{file:05d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(one / f"tokens/web/all/00000{suffix}", path)
        (folder / "litdata").mkdir(exist_ok=True)
        os.link(one / "litdata/chunk-0-0.bin", folder / f"litdata/chunk-0-{number}.bin")
    index = json.loads((one / "litdata/index.json").read_text())
    index["chunks"] = [index["chunks"][0] | {"filename": f"chunk-0-{number}.bin"} for number in range(len(files))]
    (folder / "litdata/index.json").write_text(json.dumps(index))
    write_manifest(folder, files)
    wanted = Mixture(tokens=10**9, sequence_length=LENGTH, weights={f"s{source:03d}": 1.0 for source in range(200)})
    make_plan(read_manifest(folder), wanted).save(folder / "plans/main.json")


def write_many_mds(folder: Path) -> None:
    """The same for mosaicml-streaming, whose own writer makes the one shard."""
    run("write-mds", python_of("mosaicml-streaming"), folder / "one", 0, 1)
    index = json.loads((folder / "one/mds/index.json").read_text())
    shard, made = index["shards"][0], []
    (folder / "mds").mkdir()
    for number in range(2000):
        name = f"shard.{number:05d}.mds"
        os.link(folder / "one/mds" / shard["raw_data"]["basename"], folder / "mds" / name)
        made.append(shard | {"raw_data": shard["raw_data"] | {"basename": name}})
    (folder / "mds/index.json").write_text(json.dumps(index | {"shards": made}))


def write_large(folder: Path) -> None:
    """A plan of 10^12 tokens: 200 sources of ten sparse files, ten files with an index, weights from a skewed draw."""
    files = [(f"s{source:03d}", file, 500_000_000) for source in range(200) for file in range(10)]
    for source, file, num_tokens in files:
        path = folder / f"tokens/{source}/all/{file:05d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as handle:
            handle.truncate(2 * num_tokens)
        if file == 0 and source < "s010":
            num_documents = num_tokens // DOCUMENT
            with path.with_suffix(".idx").open("wb") as handle:
                handle.truncate(42 + 20 * num_documents)
    write_manifest(folder, files)
    weights = {f"s{i:03d}": round(float(w), 6) for i, w in enumerate(np.random.default_rng(0).dirichlet(np.ones(200)))}
    phases = (
        Phase(name="main", share=0.9, weights=weights),
        Phase(name="anneal", share=0.1, weights=weights, to={"s000": 1, "s001": 1}),
    )
    mixture = Mixture(tokens=LARGE_TOKENS, sequence_length=LENGTH, phases=phases)
    make_plan(read_manifest(folder), mixture).save(folder / "plans/main.json")


def write_manifest(folder: Path, files: list[tuple[str, int, int]]) -> None:
    shards = [
        {
            "source": source,
            "bucket": "all",
            "split": "train",
            "path": f"tokens/{source}/all/{file:05d}",
            "num_tokens": num_tokens,
            "num_documents": num_tokens // DOCUMENT,
            "num_bytes": 4 * num_tokens,
            "checksum": f"{source}-{file}",
        }
        for source, file, num_tokens in files
    ]
    tokenizer = {"hash": "benchmark", "kind": "none", "vocab_size": 50_000, "end_of_document": 0, "path": ""}
    body = {"format": 1, "seed": 0, "dtype": "uint16", "tokenizer": tokenizer, "shards": shards}
    (folder / MANIFEST).write_text(json.dumps(body))


def drop_from_cache(folder: Path) -> None:
    """Puts every file of a folder out of the page cache."""
    for path in filter(Path.is_file, folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        os.fdatasync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_into_cache(folder: Path) -> None:
    """Reads every file of a folder once: whoever reads first after a cold run would else read from the disk."""
    for path in filter(Path.is_file, folder.rglob("*")):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


if __name__ == "__main__":
    assert importlib.util.find_spec("torch"), "the benchmark needs torch: pip install 'corpusmill[proxy]'"
    main()
