"""Builds a small recipe from and into an S3 store: `store_build.py ENDPOINT CORPUS`; prints what was done, as JSON."""

import json
import sys
from pathlib import Path

import fsspec
from small_corpus import run_recipe, small_recipe, write_corpus

from corpusmill.pipeline.orphans import orphans
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.verify import verify
from corpusmill.stages.tokens.verify_tokens import token_problems

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
                "documents": sorted(line["text"] for part in documents for line in part),
                "manifest": run.read_json("tokens/manifest.json")["shards"],
            }
        )
    )
