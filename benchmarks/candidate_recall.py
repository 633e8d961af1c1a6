"""Recall of candidates as a mean over many draws of hash functions: ours, datasketch and datatrove, equal parameters.

    python benchmarks/candidate_recall.py --input labelled.jsonl.zst ... [--seeds 100] [--json]

Whether two documents share a band is a draw: with one seed, the share of 54 true pairs that is found differs by several
hundredths from the next seed's. Here every program signs the documents (word 5-grams, 14 bands of 8) with `--seeds`
seeds; recall is the mean over seeds of the share of true pairs that share a band, with its standard error, beside what
it must be: the mean over pairs of 1 - (1 - J^8)^14 for the true Jaccard similarity J of the program's own shingle sets.
In the last column the peers' permutations are given our shingles, so only the hashing differs.

A set has `text` and `group` (true pairs are those of one group) or `text_a`, `text_b` and `grade` (of 2 and more), as
for dedup_quality.py, whose environment for datatrove is used. Chinese is compared by characters, given to all as words.
"""

import argparse
import io
import json
import pickle
import re
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.folding import folding_table
from corpusmill.stages.kernels.shingles import WORD, shingle_sets
from corpusmill.stages.kernels.signatures import least_images, permutations

SIZE, BANDS, ROWS = 5, 14, 8
PEERS = Path(__file__).resolve().parent.parent / ".venv-dedup-peers/bin/python"

DATATROVE = """
import pickle, sys
import numpy as np
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
texts, sets, num_seeds, bands, rows, size = pickle.load(open(sys.argv[1], "rb"))
shingles, own, given = [], [], []
for seed in range(1, num_seeds + 1):
    config = MinhashConfig(n_grams=size, num_buckets=bands, hashes_per_bucket=rows, seed=seed)
    step = MinhashDedupSignature(sys.argv[1] + ".signatures", config=config, language="eng")
    shingles = shingles or [step.get_shingles(text) for text in texts]
    own.append([np.ravel(step.get_signature(values)) for values in shingles])
    given.append([np.ravel(step.get_signature(values.reshape(-1, 1))) for values in sets])
pickle.dump(([np.unique(values) for values in shingles], np.array(own), np.array(given)), open(sys.argv[2], "wb"))
"""

Sets = list[npt.NDArray[Any]]
Signatures = npt.NDArray[Any]  # [seeds, documents, BANDS * ROWS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    if not PEERS.exists():
        sys.exit(f"{PEERS}: missing. benchmarks/dedup.py --quick makes it.")
    results = []
    for path in arguments.input:
        texts, pairs = true_pairs(path)
        spaced = [re.sub(r"([\u3400-\u9fff])", r" \1 ", text) for text in texts]
        ours = our_sets(spaced)
        theirs, own, given = datatrove_signatures(spaced, ours, arguments.seeds)
        sketched = [np.array([sha1_hash(s) for s in word_shingles(text)], np.uint64) for text in spaced]
        rows = {
            "ours": (ours, our_signatures(ours, arguments.seeds), None),
            "datasketch": (
                sketched,
                *(datasketch_signatures(sets, arguments.seeds) for sets in (sketched, spread(ours))),
            ),
            "datatrove": (theirs, own, given),
        }
        print(f"{path.name}: {len(pairs)} pairs, {arguments.seeds} seeds")
        for name, (sets, signatures, same) in rows.items():
            line: dict[str, Any] = {
                "set": path.name,
                "program": name,
                "expected": expected(sets, pairs),
                **dict(zip(("recall", "error"), recall(signatures, pairs), strict=True)),
            }
            if same is not None:
                line |= zip(("recall_our_shingles", "error_our_shingles"), recall(same, pairs), strict=True)
            results.append(line)
            told = "".join(f", {key} {value:.4f}" for key, value in line.items() if isinstance(value, float))
            print(f"  {name}{told}", flush=True)
    if arguments.json:
        print(json.dumps({"results": results}))


def true_pairs(path: Path) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts, and which of them are duplicates."""
    with zstandard.open(path, "rb") as raw:
        rows = [json.loads(line) for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n")]
    if "grade" in rows[0]:
        chosen = [row for row in rows if row["grade"] is not None and row["grade"] >= 2]
        texts = [row[key] for row in chosen for key in ("text_a", "text_b")]
        return texts, [(at, at + 1) for at in range(0, len(texts), 2)]
    groups = [row["group"] for row in rows]
    pairs = [(i, j) for i, j in combinations(range(len(rows)), 2) if groups[i] == groups[j]]
    return [row["text"] for row in rows], pairs


def expected(sets: Sets, pairs: list[tuple[int, int]]) -> float:
    """The mean probability to share a band."""
    chances = []
    for i, j in pairs:
        left, right = np.unique(sets[i]), np.unique(sets[j])
        shared = len(np.intersect1d(left, right, assume_unique=True))
        similarity = shared / max(1, len(left) + len(right) - shared)
        chances.append(1 - (1 - similarity**ROWS) ** BANDS)
    return float(np.mean(chances))


def recall(signatures: Signatures, pairs: list[tuple[int, int]]) -> tuple[float, float]:
    """The mean over seeds of the share of pairs that share a band, and its standard error."""
    bands = signatures.reshape(len(signatures), -1, BANDS, ROWS)
    left, right = np.array(pairs).T
    found = (bands[:, left] == bands[:, right]).all(axis=3).any(axis=2).mean(axis=1)
    return float(found.mean()), float(found.std(ddof=1) / len(found) ** 0.5)


def our_sets(texts: list[str]) -> Sets:
    sets, bounds = shingle_sets(*text_buffers(pa.array(texts, pa.large_string())), folding_table(), WORD, True, SIZE)
    return np.split(sets, bounds[1:-1])


def our_signatures(sets: Sets, num_seeds: int) -> Signatures:
    made = np.empty((num_seeds, len(sets), BANDS * ROWS), dtype=np.uint32)
    for seed in range(num_seeds):
        drawn = permutations(BANDS * ROWS, seed + 1)
        for row, members in enumerate(sets):
            least_images(members, len(members), *drawn, made[seed, row])
    return made


def word_shingles(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[i : i + SIZE]) for i in range(max(1, len(words) - SIZE + 1))]


def sha1_hash(shingle: str) -> int:
    from datasketch.hashfunc import sha1_hash32

    return int(sha1_hash32(shingle.encode()))


def spread(sets: Sets) -> Sets:
    """Shingles as 64-bit values, as peers hash them: a mixed 32-bit hash."""
    return [members.astype(np.uint64) for members in sets]


def unchanged(value: int) -> int:
    """Shingles were hashed before."""
    return value


def datasketch_signatures(sets: Sets, num_seeds: int) -> Signatures:
    from datasketch import MinHash

    made = np.empty((num_seeds, len(sets), BANDS * ROWS), dtype=np.uint64)
    for seed in range(num_seeds):
        drawn = None
        for row, members in enumerate(sets):
            sketch = MinHash(
                num_perm=BANDS * ROWS, seed=seed + 1, hashfunc=unchanged, permutations=drawn, scheme="affine32"
            )
            drawn = sketch.permutations
            sketch.update_batch(np.unique(members).tolist())
            made[seed, row] = sketch.hashvalues
    return made


def datatrove_signatures(texts: list[str], sets: Sets, num_seeds: int) -> tuple[Sets, Signatures, Signatures]:
    """Its own shingle sets, and signatures of these and of the given ones (mixed to 64 bits, as its hashes are)."""
    from corpusmill.stages.kernels.hashing import mix_all

    with tempfile.TemporaryDirectory() as folder:
        work = [texts, [mix_all(members) for members in spread(sets)], num_seeds, BANDS, ROWS, SIZE]
        Path(folder, "work").write_bytes(pickle.dumps(work))
        subprocess.run([PEERS, "-c", DATATROVE, f"{folder}/work", f"{folder}/made"], check=True)
        found: tuple[Sets, Signatures, Signatures] = pickle.loads(Path(folder, "made").read_bytes())
        return found


if __name__ == "__main__":
    main()
