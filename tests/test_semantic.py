import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gather_rounds import dropped_ids, run_gather, split_parts

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.gather.semantic import Semantic
from corpusmill.stages.kernels.hashing import hash_identifiers

TEXTS = [f"text {i} " + "x" * (i % 7) for i in range(60)]
IDS = [f"s/{i:02d}" for i in range(60)]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files: 20 directions with three noisy copies of each; the last five documents have none."""
    rng = np.random.Generator(np.random.PCG64(2))
    directions = rng.normal(size=(20, 16))
    made = directions[np.arange(60) % 20] + rng.normal(scale=0.15, size=(60, 16))
    folder = tmp_path_factory.mktemp("vectors")
    for number, chosen in enumerate((range(0, 55, 2), range(1, 55, 2))):
        rows = {"id": [IDS[i] for i in chosen], "embedding": [made[i].tolist() for i in chosen]}
        pq.write_table(pa.table(rows), folder / f"{number}.parquet")
    return folder


def plain(folder: Path, min_cosine: float) -> dict[str, tuple[str, float]]:
    """id -> (winner, cosine) by the rule over all documents, longest first."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    known = {line["id"]: np.array(line["embedding"]) for table in tables for line in table.to_pylist()}
    order = sorted((i for i in range(60) if IDS[i] in known), key=lambda i: (-len(TEXTS[i]), IDS[i]))
    kept: list[str] = []
    lost: dict[str, tuple[str, float]] = {}
    for name in (IDS[i] for i in order):
        near = {o: known[name] @ known[o] / np.linalg.norm(known[name]) / np.linalg.norm(known[o]) for o in kept}
        best = max(near, key=lambda o: near[o], default=None)
        if best is not None and near[best] >= min_cosine:
            lost[name] = (best, near[best])
        else:
            kept.append(name)
    return lost


@pytest.mark.parametrize("parts", [[range(60)], [[*range(59, 9, -2)], [*range(10)], [*range(10, 60, 2)]]])
def test_the_rule_in_plain_python(vectors: Path, parts: list[list[int]]) -> None:
    stage = Semantic(embeddings=(f"{vectors}/*.parquet",), min_cosine=0.9, num_clusters=1)
    made = split_parts(TEXTS, IDS, parts)
    decisions, rounds = run_gather(stage, made, num_ranges=2)
    expected = plain(vectors, 0.9)
    assert {name: winner for name, (_, winner) in dropped_ids(made, decisions).items()} == {
        name: winner for name, (winner, _) in expected.items()
    }
    found = {line["id"]: line["similarity"] for line in rounds["compare"].to_pylist() if line["winner"] is not None}
    assert found == {name: pytest.approx(cosine, abs=1e-5) for name, (_, cosine) in expected.items()}
    assert 20 < len(expected) < 40


def test_clusters_part_little_and_do_not_depend_on_parts(vectors: Path) -> None:
    stage = Semantic(embeddings=(f"{vectors}/*.parquet",), min_cosine=0.9, num_clusters=5)
    fates = []
    for seed in range(3):
        shuffled = list(range(60))
        random.Random(seed).shuffle(shuffled)
        made = split_parts(TEXTS, IDS, [shuffled[: 20 * seed], shuffled[20 * seed :]], batch_rows=4 + seed)
        decisions, rounds = run_gather(stage, made, num_ranges=1 + seed)
        told = sorted(rounds["compare"].select(["id", "winner_id", "similarity"]).to_pylist(), key=lambda x: x["id"])
        fates.append((dropped_ids(made, decisions), told))
    assert fates[0] == fates[1] == fates[2]
    assert len(fates[0][0]) >= 0.9 * len(plain(vectors, 0.9))


def test_embeddings_of_two_lengths_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": IDS[:2], "embedding": [[1.0], [1.0, 2.0]]}), tmp_path / "v.parquet")
    with pytest.raises(RequestError, match="different lengths"):
        run_gather(Semantic(embeddings=(str(tmp_path / "v.parquet"),)), split_parts(TEXTS, IDS, [[0, 1]]))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": IDS[:1], "vector": [[1.0]]}), tmp_path / "v.parquet")
    with pytest.raises(RequestError, match="no column 'embedding'"):
        run_gather(Semantic(embeddings=(str(tmp_path / "v.parquet"),)), split_parts(TEXTS, IDS, [[0]]))


def test_a_measured_column_does_as_well(vectors: Path) -> None:
    known = {
        row["id"]: row["embedding"] for path in vectors.glob("*.parquet") for row in pq.read_table(path).to_pylist()
    }
    parts = split_parts(TEXTS, IDS, [range(25), range(25, 60)])
    with_column = [
        [
            batch.append_column(
                "measured",
                pa.array([known.get(name) for name in batch.column("id").to_pylist()], pa.list_(pa.float32())),
            )
            for batch in batches
        ]
        for batches in parts
    ]
    stage = Semantic(column="measured", min_cosine=0.9, num_clusters=3)
    assert stage.reads() == ("measured",)
    decisions, _ = run_gather(stage, with_column)
    by_file, _ = run_gather(Semantic(embeddings=(f"{vectors}/*.parquet",), min_cosine=0.9, num_clusters=3), parts)
    assert dropped_ids(parts, decisions) == dropped_ids(parts, by_file)


def test_of_each_cluster_so_many_stay(vectors: Path) -> None:
    """First near-duplicates go, then those with the greatest hashes of their ids; the decision says which place."""
    names = dict(zip(IDS, hash_identifiers(pa.array(IDS, pa.string())).tolist(), strict=True))
    made = split_parts(TEXTS, IDS, [range(30), range(30, 60)])
    settings = {"embeddings": (f"{vectors}/*.parquet",), "min_cosine": 0.9, "num_clusters": 4}
    _, rounds = run_gather(Semantic(**settings), made)  # type: ignore[arg-type]
    left: dict[int, list[str]] = defaultdict(list)
    for line in rounds["compare"].to_pylist():
        if line["winner"] is None:
            left[line["semantic_cluster"]].append(line["id"])
    expected = {name for members in left.values() for name in sorted(members, key=lambda name: names[name])[3:]}
    decisions, _ = run_gather(Semantic(per_cluster=3, **settings), made, num_ranges=3)  # type: ignore[arg-type]
    dropped = dropped_ids(made, decisions)
    assert {name for name, (rule, _) in dropped.items() if rule == "semantic.full_cluster"} == expected
    assert sum(rule == "semantic.near_duplicate" for rule, _ in dropped.values()) == 55 - sum(map(len, left.values()))
    lines = [line for table in decisions for line in table.to_pylist() if line["rule"] == "semantic.full_cluster"]
    assert {(line["threshold"], int(line["value"]) > 3) for line in lines} == {("3", True)}
    assert expected


@pytest.mark.parametrize(
    "settings",
    [{"min_cosine": 0}, {"num_clusters": 0}, {"embeddings": ("none/*.x",)}, {"embeddings": ()}, {"per_cluster": 0}],
)
def test_settings_are_checked(vectors: Path, settings: dict[str, object]) -> None:
    with pytest.raises((ValueError, RequestError), match=next(iter(settings))):
        Semantic(**({"embeddings": (f"{vectors}/*.parquet",)} | settings))  # type: ignore[arg-type]  # wrong on purpose
