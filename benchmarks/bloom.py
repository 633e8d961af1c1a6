"""The Bloom index's error, measured: ours and datasketch's MinHashLSHBloom on the same signatures.

    python benchmarks/bloom.py --documents 100000 [--json]

Signatures of random shingle sets (so that none is similar to another) fill an index at 14 bands of 8; as many others
are then asked for, and each that seems known is an error, unless a band of it is truly there, which is looked up
exactly. Documents that were added must all be found. datasketch[bloom] runs in the environment that dedup.py makes, on
the same values, with its error rate per band set so that its error per document is the same. Adding and asking is timed
together.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.stages.gather.saved_index import BloomSize, SavedIndex, new_index
from corpusmill.stages.gather.shingling import PRESETS
from corpusmill.stages.kernels import bloom, signatures

PEERS = Path(__file__).resolve().parent.parent / ".venv-dedup-peers/bin/python"
DATASKETCH = """
import json, sys, time
import numpy as np
from datasketch import MinHash
from datasketch.lsh_bloom import MinHashLSHBloom
values, count, fp, folder = np.load(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
lsh = MinHashLSHBloom(num_perm=112, n=count, fp=fp, save_dir=folder, params=(14, 8))
sketches = [MinHash(num_perm=112, hashvalues=row.astype(np.uint64), scheme="legacy") for row in values]
begun = time.perf_counter()
for sketch in sketches[:count]:
    lsh.insert(sketch)
found = [lsh.query(sketch) for sketch in sketches]
seconds = time.perf_counter() - begun
for table in lsh.hashtables:
    table.sync()
print(json.dumps({"known": sum(found[:count]), "errors": sum(found[count:]), "seconds": seconds}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--error-rate", type=float, nargs="+", default=[0.01, 0.001])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    bloom.warmup(), signatures.warmup()
    results = [measure(arguments.documents, error_rate) for error_rate in arguments.error_rate]
    for result in results:
        print(result)
    if arguments.json:
        print(json.dumps({"results": results}))


def measure(count: int, error_rate: float) -> dict[str, Any]:
    """Both indexes filled to capacity, and asked for what they have and for as many new documents."""
    rng = np.random.Generator(np.random.PCG64(5))
    values = rng.integers(0, 1 << 24, size=(2 * count, 112), dtype=np.uint32)  # least hashes of some hundred shingles
    scheme = PRESETS["fineweb"]
    keys = signatures.band_keys(values, scheme.bands, scheme.rows, np.uint64(1))
    truly = np.isin(keys[count:], keys[:count]).any(axis=1)
    with tempfile.TemporaryDirectory() as folder:
        index: SavedIndex = new_index(f"{folder}/ours", scheme, BloomSize(count, error_rate))
        begun = time.perf_counter()
        bits, num_hashes = np.zeros(index.bloom_shape[0], dtype=np.uint8), index.bloom_shape[1]
        bloom.add_keys(bits, keys[:count].ravel(), num_hashes)
        seen = index.seen(keys.ravel(), bits).reshape(keys.shape).any(axis=1)
        result: dict[str, Any] = {
            "documents": count,
            "asked_error": error_rate,
            "ours": {
                "known": int(seen[:count].sum()),
                "error": float((seen[count:] & ~truly).mean()),
                "mb": round(len(bits) / 1e6, 2),
                "documents_per_s": round(3 * count / (time.perf_counter() - begun)),
            },
        }
        np.save(f"{folder}/values.npy", values)
        per_band = 1 - (1 - error_rate) ** (1 / scheme.bands)
        command = [PEERS, "-c", DATASKETCH, f"{folder}/values.npy", str(count), str(per_band), f"{folder}/theirs"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return {**result, "why": done.stderr.strip().split("\n")[-1]}
        theirs = json.loads(done.stdout.split("\n")[-2])
        size = sum(path.stat().st_size for path in Path(f"{folder}/theirs").iterdir())
        result["datasketch"] = {
            "known": theirs["known"],
            "error": theirs["errors"] / count,
            "mb": round(size / 1e6, 2),
            "documents_per_s": round(3 * count / theirs["seconds"]),
        }
        return result


if __name__ == "__main__":
    main()
