"""Builds a small recipe from and into an S3 store, and reads a plan of it there: `store_build.py ENDPOINT CORPUS`.

Prints what was done, as JSON.
"""

import json
import sys
from pathlib import Path

import fsspec
from small_corpus import run_recipe, small_recipe, write_corpus

from corpusmill.mixtures.batches import BatchStream
from corpusmill.mixtures.block_cache import CacheSettings
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.plan_curves import save_with_curves
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.orphans import orphans
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.verify import verify
from corpusmill.stages.tokens.verify_tokens import token_problems


def batches_of_store_and_disk(copy: Path) -> tuple[list[list[int]], list[list[int]], int]:
    """The inputs of a packed plan as a loader gives them from the store, with threads and a small cache, and from a
    copy of the run on the disk; and how many blocks came over the network."""
    mixture = Mixture(tokens=64 * 50, sequence_length=64, packing="best-fit", max_epochs=40)
    save_with_curves(make_plan(read_manifest("s3://corpus/run"), mixture), "s3://corpus/run", "main")
    fsspec.filesystem("s3").get("corpus/run/", str(copy), recursive=True)
    cache = CacheSettings(max_bytes=64 << 10, block_bytes=1 << 10)
    remote = PlanLoader.open("s3://corpus/run", Plan.load("s3://corpus/run/plans/main.json"), cache)
    local = PlanLoader.open(copy, Plan.load(copy / "plans/main.json"))
    found = [
        [batch.inputs.ravel().tolist() for batch in BatchStream(loader, 8, num_threads=threads)]
        for loader, threads in ((remote, 3), (local, 0))
    ]
    assert remote.document_at(3, 0) == local.document_at(3, 0)
    assert remote.cache is not None
    return found[0], found[1], remote.cache.num_fetched


if __name__ == "__main__":
    endpoint, corpus = sys.argv[1], Path(sys.argv[2])
    fsspec.config.conf["s3"] = {"endpoint_url": endpoint, "key": "testing", "secret": "testing"}
    store = fsspec.filesystem("s3")
    store.mkdir("corpus")
    write_corpus(corpus, num_files=2, documents=30, sources="a")
    for path in sorted(corpus.iterdir()):
        store.put(str(path), f"corpus/in/{path.name}")
    tree = small_recipe(corpus, tokenizer={"vocab_size": 400}, tokens={"held_out": 0.05})
    tree["sources"] = {"a": {"read": "jsonl", "paths": ["s3://corpus/in/a-*.jsonl"], "id": "id"}}
    first = run_recipe(tree, "s3://corpus/run")
    again = run_recipe(tree, "s3://corpus/run")
    run = RunFolder("s3://corpus/run")
    found = verify(run, [token_problems])
    there, here, num_fetched = batches_of_store_and_disk(corpus.parent / "copy")
    documents = [
        run.read_table(name, ["id", "text"]).to_pylist() for name in run.names("documents") if name.endswith(".parquet")
    ]
    print(
        json.dumps(
            {
                "first": first.ran,
                "again": again.ran,
                "ok": found.ok,
                "problems": [str(problem) for problem in found.problems],
                "orphans": list(orphans(run)),
                "batches": len(there),
                "batches_equal": there == here,
                "blocks_fetched": num_fetched,
                "documents": sorted(line["text"] for part in documents for line in part),
                "manifest": run.read_json("tokens/manifest.json")["shards"],
            }
        )
    )
