"""Repetition by cluster size, from the dedup to the plan."""

import json
from pathlib import Path

import pytest
from small_corpus import PROSE, run_recipe

from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.sources import Shard, Source, read_manifest

WORDS = PROSE.split()


@pytest.mark.parametrize(
    ("bucket", "tokens"), [("all", 100), ("repeat-1", 100), ("repeat-3", 300), ("repeat-1_25", 125), ("repeat-x", 100)]
)
def test_a_bucket_counts_as_often_as_its_name_says(bucket: str, tokens: int) -> None:
    assert Source("web", bucket, (Shard("p", 100, 1, 400, "c"),)).weighted_tokens == tokens


def test_cluster_sizes_reach_the_plan(tmp_path: Path) -> None:
    """Twenty documents with a copy each are to be seen twice as often as twenty without."""
    texts = []
    for i in range(40):
        text = " ".join(WORDS[(i * 13 + k * (i + 3)) % len(WORDS)] + str(i * k) for k in range(60))
        texts += [text, f"{text} again"] if i % 2 else [text]
    lines = [json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts)]
    (tmp_path / "web.jsonl").write_text("\n".join(lines) + "\n")
    tree = {
        "format": 1,
        "name": "repeats",
        "sources": {"web": {"read": "jsonl", "paths": [str(tmp_path / "web.jsonl")], "id": "id"}},
        "stages": [{"minhash": {"weights": [[2, 2.0]], "same_numbers": False}}],
        "tokenizer": {"vocab_size": 400},
        "tokens": {"bucket_by": "minhash_repeat", "held_out": 0.0, "held_out_min_documents": 0},
    }
    run_recipe(tree, tmp_path / "run")
    manifest = read_manifest(tmp_path / "run")
    assert sorted(manifest.sources) == ["web/repeat-1", "web/repeat-2"]
    once, twice = (manifest.sources[f"web/repeat-{times}"] for times in (1, 2))
    assert (once.num_documents, twice.num_documents) == (20, 20)
    for weights in ("natural", {"web": 1}):
        plan = make_plan(manifest, Mixture(tokens=64_000, sequence_length=32, weights=weights))
        totals = dict(zip([source.name for source in plan.sources], plan.phases[0].wanted, strict=True))
        expected = 2 * twice.num_tokens / (once.num_tokens + 2 * twice.num_tokens)
        assert totals["web/repeat-2"] == pytest.approx(expected, rel=1e-9)
