"""How well near-duplicates of labelled sets are found: ours, datasketch and datatrove, at equal and at best parameters.

    python benchmarks/dedup_quality.py --input labelled.jsonl.zst ... [--json]

A set is JSONL with `text` and `group`; documents of one group are duplicates. Peers drop all but one of every
connected component of candidates; ours are shown as candidates (the same rule) and as verified (clusters of a document
that stays and those dropped for it). First column: every program at 14 bands of 8 over word 5-grams, ours verified at
Jaccard 0.7. Second: parameters chosen by F1 over pairs on half of the groups (by hash of the group's name), scores on
the other half. datatrove runs in the environment that dedup.py makes. Chinese is compared by characters, given to all
as words.

A set of judged pairs has `text_a`, `text_b` and `grade`: pairs of grade 2 and more are duplicates, lower ones are not,
null is left out, and of grade 1 only the share that was joined is told; half of the pairs choose the parameters. True
pairs of the other half that ours, verified, did not join are listed with their Jaccard similarity (word 5-grams).
"""

import argparse
import hashlib
import io
import json
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.components import component_roots
from corpusmill.stages.kernels.folding import folding_table
from corpusmill.stages.kernels.shingles import WORD, shingle_sets
from corpusmill.stages.kernels.signatures import permutations, text_signatures
from corpusmill.stages.kernels.verification import verify_components

NUM_PERM = 256
BANDINGS = ((14, 8), (7, 16), (9, 13), (20, 12), (25, 10), (32, 8), (42, 6), (51, 5), (64, 4), (85, 3))
SIZES = (3, 5)
THRESHOLDS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 10))
PEERS = Path(__file__).resolve().parent.parent / ".venv-dedup-peers/bin/python"

DATATROVE = """
import json, sys
import numpy as np
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
texts, size, num_perm = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
config = MinhashConfig(n_grams=size, num_buckets=num_perm, hashes_per_bucket=1)
step = MinhashDedupSignature(sys.argv[1] + ".signatures", config=config, language="eng")
found = np.zeros((len(texts), num_perm), dtype=np.uint64)
for row, text in enumerate(texts):
    shingles = step.get_shingles(text)
    found[row] = np.ravel(step.get_signature(shingles)) if len(shingles) else row
np.save(sys.argv[4], found)
"""

Labels = npt.NDArray[np.int64]
Signatures = npt.NDArray[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    for path in arguments.input:
        with zstandard.open(path, "rb") as raw:
            rows = [json.loads(line) for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n")]
        results += compare_pairs(path.name, rows) if "grade" in rows[0] else compare(path.name, rows)
    if arguments.json:
        print(json.dumps({"results": results}))


def clusters(texts: Sequence[str]) -> dict[str, dict[tuple[Any, ...], Labels]]:
    """Program -> parameters -> cluster of every document."""
    texts = [re.sub(r"([\u3400-\u9fff])", r" \1 ", text) for text in texts]
    programs: dict[str, dict[tuple[Any, ...], Labels]] = {
        "datatrove": by_banding(texts, datatrove_signatures),
        "datasketch": by_banding(texts, datasketch_signatures),
        "ours, candidates": by_banding(texts, our_signatures),
    }
    programs["ours, verified"] = verified(texts, programs["ours, candidates"])
    return programs


def compare_pairs(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Judged pairs: precision, recall and F1 over them, printed."""
    rows = [row for row in rows if row["grade"] is not None]
    grades = np.array([row["grade"] for row in rows])
    learn = np.array([hashlib.sha256(row["id"].encode()).digest()[0] % 2 == 0 for row in rows])
    true, apart, half = grades >= 2, grades == 1, len(rows)
    print(f"{name}: {half} pairs, {true.sum()} of them duplicates, {apart.sum()} of grade 1")
    results = []
    for program, made in clusters([row[key] for key in ("text_a", "text_b") for row in rows]).items():
        joined = {key: labels[:half] == labels[half:] for key, labels in made.items()}
        equal = next(key for key in made if key[:2] == (5, (14, 8)) and key[2:] in ((), ("jaccard", 0.7)))
        best = max(made, key=lambda key: judged(joined[key], true, learn & ~apart)["f1"])
        line: dict[str, Any] = {
            "set": name,
            "program": program,
            "equal": judged(joined[equal], true, ~apart),
            "best": judged(joined[best], true, ~learn & ~apart),
            "parameters": best,
            "grade_1_joined": float(joined[best][apart].mean()),
        }
        results.append(line)
        told = [", ".join(f"{key} {value:.3f}" for key, value in line[part].items()) for part in ("equal", "best")]
        print(f"  {program:18} 14x8: {told[0]} | chosen {best}: {told[1]}, grade 1: {line['grade_1_joined']:.3f}")
    lost = np.flatnonzero(~learn & true & ~joined[best])
    print(f"  lost: {[(rows[i]['id'], rows[i]['jaccard_5gram']) for i in lost]}")
    return results


def judged(joined: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Scores over the pairs `of`."""
    both = int((joined & true & of).sum())
    said, wanted = int((joined & of).sum()), int((true & of).sum())
    return {
        "precision": both / said if said else 1.0,
        "recall": both / wanted,
        "f1": 2 * both / (said + wanted),
    }


def compare(set_name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Both tables of one set, printed."""
    texts = [row["text"] for row in rows]
    _, groups = np.unique([row["group"] for row in rows], return_inverse=True)
    learn = np.array([hashlib.sha256(row["group"].encode()).digest()[0] % 2 == 0 for row in rows])
    results = []
    print(f"{set_name}: {len(rows)} documents, {len(set(groups.tolist()))} groups")
    for name, made in clusters(texts).items():
        equal = next(made[key] for key in made if key[:2] == (5, (14, 8)) and key[2:] in ((), ("jaccard", 0.7)))
        best = max(made, key=lambda key: pair_scores(made[key][learn], groups[learn])["f1"])
        line: dict[str, Any] = {
            "set": set_name,
            "program": name,
            "equal": pair_scores(equal, groups),
            "best": pair_scores(made[best][~learn], groups[~learn]),
            "parameters": best,
        }
        results.append(line)
        told = [", ".join(f"{key} {value:.3f}" for key, value in line[part].items()) for part in ("equal", "best")]
        print(f"  {name:18} 14x8: {told[0]} | chosen {best}: {told[1]}")
    lost = lost_pairs(texts, groups, made[best], ~learn)
    print(f"  lost {len(lost)}: {[(rows[i]['id'], rows[j]['id'], round(similarity, 3)) for i, j, similarity in lost]}")
    return results


def lost_pairs(
    texts: Sequence[str], groups: Labels, found: Labels, of: npt.NDArray[np.bool_]
) -> list[tuple[int, int, float]]:
    """Pairs of one group that are not in one cluster, with their Jaccard similarity."""
    spaced = pa.array([re.sub(r"([\u3400-\u9fff])", r" \1 ", text) for text in texts], pa.large_string())
    sets, bounds = shingle_sets(*text_buffers(spaced), folding_table(), WORD, True, 5)
    members = [set(sets[low:high].tolist()) for low, high in pairwise(bounds.tolist())]
    return [
        (i, j, len(members[i] & members[j]) / max(1, len(members[i] | members[j])))
        for i, j in combinations(np.flatnonzero(of).tolist(), 2)
        if groups[i] == groups[j] and found[i] != found[j]
    ]


def by_banding(texts: Sequence[str], sign: Callable[[Sequence[str], int], Signatures]) -> dict[tuple[Any, ...], Labels]:
    """(shingle size, banding) -> component of every document."""
    made: dict[tuple[Any, ...], Labels] = {}
    for size in SIZES:
        signatures = sign(texts, size)
        for bands, rows in BANDINGS:
            left, right = [], []
            for band in range(bands):
                first: dict[bytes, int] = {}
                for document, values in enumerate(signatures[:, band * rows : (band + 1) * rows]):
                    left.append(first.setdefault(values.tobytes(), document))
                    right.append(document)
            made[size, (bands, rows)] = component_roots(len(texts), np.array(left), np.array(right))
    return made


def our_signatures(texts: Sequence[str], size: int) -> Signatures:
    text = pa.array(texts, pa.large_string())
    return text_signatures(*text_buffers(text), folding_table(), WORD, True, size, *permutations(NUM_PERM, 1))[0]


def datasketch_signatures(texts: Sequence[str], size: int) -> Signatures:
    from datasketch import MinHash

    found = []
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        shingles = [" ".join(words[i : i + size]).encode() for i in range(max(1, len(words) - size + 1))]
        sketch = MinHash(num_perm=NUM_PERM, seed=1)
        sketch.update_batch(shingles)
        found.append(sketch.hashvalues)
    return np.array(found)


def datatrove_signatures(texts: Sequence[str], size: int) -> Signatures:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "texts.json").write_text(json.dumps(texts))
        arguments = [f"{folder}/texts.json", str(size), str(NUM_PERM), f"{folder}/found.npy"]
        subprocess.run([PEERS, "-c", DATATROVE, *arguments], check=True, capture_output=True)
        found: Signatures = np.load(f"{folder}/found.npy")
        return found


def verified(texts: Sequence[str], candidates: dict[tuple[Any, ...], Labels]) -> dict[tuple[Any, ...], Labels]:
    """(size, banding, measure, threshold) -> the document that stays for each document; longest first."""
    made: dict[tuple[Any, ...], Labels] = {}
    lengths = np.array([len(text.encode()) for text in texts])
    for size in SIZES:
        sets, bounds = shingle_sets(
            *text_buffers(pa.array(texts, pa.large_string())), folding_table(), WORD, True, size
        )
        for banding, measure, threshold in product(BANDINGS, ("jaccard", "containment"), THRESHOLDS):
            component = candidates[size, banding]
            order = np.lexsort((-lengths, component)).astype(np.int64)
            starts = np.flatnonzero(np.diff(component[order], prepend=-1))
            winners, *_ = verify_components(
                sets,
                bounds,
                order,
                np.append(starts, len(texts)).astype(np.int64),
                *permutations(banding[0] * banding[1], 1),
                *banding,
                np.uint64(1),
                int(measure == "containment"),
                threshold,
                256,
            )
            made[size, banding, measure, threshold] = np.where(winners < 0, np.arange(len(texts)), winners)
    return made


def pair_scores(found: Labels, groups: Labels) -> dict[str, float]:
    """Precision, recall and F1 over pairs of one cluster, and the adjusted Rand index (Hubert and Arabie 1985)."""
    table: dict[tuple[int, int], int] = defaultdict(int)
    for pair in zip(found.tolist(), groups.tolist(), strict=True):
        table[pair] += 1
    both = sum(count * (count - 1) // 2 for count in table.values())
    said, true = (int((counts * (counts - 1) // 2).sum()) for counts in (np.bincount(found), np.bincount(groups)))
    every = len(found) * (len(found) - 1) // 2
    expected = said * true / every
    return {
        "precision": both / said if said else 1.0,
        "recall": both / true,
        "f1": 2 * both / (said + true),
        "ari": (both - expected) / ((said + true) / 2 - expected),
    }


if __name__ == "__main__":
    main()
