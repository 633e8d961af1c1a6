"""One timed task of dedup.py: `dedup_worker.py TASK CORPUS` prints its times, peak memory and documents dropped.

It runs in our environment or in the peers', so it imports only what its task needs.
"""

import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

STARTED = time.perf_counter()
Task = Callable[[], int]


def lines(path: Path) -> Iterator[str]:
    """Lines of a plain, .gz or .zst file, split at line feeds alone."""
    if path.suffix == ".zst":
        import zstandard

        with zstandard.open(path, "rb") as raw:
            yield from io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
        return
    import gzip

    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as raw:
        yield from io.TextIOWrapper(raw, encoding="utf-8", newline="\n")


def texts_of(corpus: Path) -> list[str]:
    return [json.loads(line)["text"] for line in lines(corpus)]


def ours_signatures(corpus: Path) -> Task:
    import pyarrow as pa

    from corpusmill.pipeline.document import text_buffers
    from corpusmill.stages.kernels import folding, signatures

    signatures.warmup()
    text = pa.array(texts_of(corpus), pa.large_string())
    table, chosen = folding.folding_table(), signatures.permutations(112, 1)

    def task() -> int:
        signatures.text_signatures(*text_buffers(text), table, 0, True, 5, *chosen)
        return 0

    return task


def datatrove_signatures(corpus: Path) -> Task:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    step = MinhashDedupSignature(tempfile.mkdtemp(), config=MinhashConfig(), language="eng")
    texts = texts_of(corpus)
    step.get_signature(step.get_shingles("a first text loads the tokenizer"))

    def task() -> int:
        for text in texts:
            step.get_signature(step.get_shingles(text))
        return 0

    return task


def rensa_signatures(corpus: Path) -> Task:
    """Lower-cased words split at blanks, joined to 5-grams in Python, which is what rensa takes."""
    from rensa import RMinHash

    texts = texts_of(corpus)

    def task() -> int:
        for text in texts:
            words = text.lower().split()
            signature = RMinHash(112, 1)
            signature.update([" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))])
            signature.digest()
        return 0

    return task


def ours_dedup(corpus: Path) -> Task:
    """`corpusmill build` of a recipe with minhash alone: documents read, stored, compared, decided."""
    from corpusmill.pipeline.build import build, plan_phases
    from corpusmill.pipeline.engine import LocalEngine
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.pipeline.status import read_status
    from corpusmill.stages.kernels import components, hashing, shingles, signatures, verification
    from corpusmill.stages.names import StageTable, token_phases

    for module in (components, hashing, shingles, signatures, verification):
        module.warmup()

    def deduplicate(path: Path) -> int:
        folder = Path(tempfile.mkdtemp())
        recipe_text = (
            f"format: 1\nname: dedup\nseed: 1\nsources:\n  corpus: {{read: jsonl, paths: ['{path}'], id: id}}\n"
            "stages:\n  - minhash: {preset: fineweb, min_similarity: 0.75}\n"
        )
        (folder / "recipe.yaml").write_text(recipe_text)
        recipe = Recipe.load(folder / "recipe.yaml", StageTable(), ())
        run = RunFolder(str(folder / "run"))
        build(recipe, recipe_text, plan_phases(recipe, token_phases), run, LocalEngine(1))
        dropped: dict[str, int] = read_status(run)["sources"]["corpus"]["documents"]["dropped"]
        return sum(dropped.values())

    one = Path(tempfile.mkdtemp()) / "one.jsonl"  # imports everything and hashes the code, as a start does
    one.write_text(json.dumps({"id": "0", "text": "one document"}) + "\n")
    deduplicate(one)
    return lambda: deduplicate(corpus)


def datatrove_dedup(corpus: Path) -> Task:
    """The four steps of datatrove's MinHash example, one task each."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config, folder = MinhashConfig(), tempfile.mkdtemp()
    warm = MinhashDedupSignature(tempfile.mkdtemp(), config=config, language="eng")
    warm.get_shingles("a first text loads the tokenizer")

    def reader() -> JsonlReader:
        return JsonlReader(str(corpus.parent), glob_pattern=corpus.name)

    steps = [
        [reader(), MinhashDedupSignature(f"{folder}/signatures", config=config, language="eng")],
        [MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)],
        [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config)],
        [
            reader(),
            MinhashDedupFilter(f"{folder}/remove", exclusion_writer=JsonlWriter(f"{folder}/removed", compression=None)),
            JsonlWriter(f"{folder}/kept", compression=None),
        ],
    ]

    def task() -> int:
        for number, pipeline in enumerate(steps):
            tasks = config.num_buckets if number == 1 else 1
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{folder}/logs{number}").run()
        return sum(1 for path in Path(f"{folder}/removed").glob("*.jsonl") for _ in lines(path))

    return task


TASKS = {
    "ours-signatures": ours_signatures,
    "datatrove-signatures": datatrove_signatures,
    "rensa-signatures": rensa_signatures,
    "ours-dedup": ours_dedup,
    "datatrove-dedup": datatrove_dedup,
}


def cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    os.environ.setdefault("DATATROVE_COLORIZE_LOGS", "0")
    prepared = TASKS[sys.argv[1]](Path(sys.argv[2]))
    start = time.perf_counter() - STARTED
    begun, cpu_begun = time.perf_counter(), cpu_seconds()
    dropped = prepared()
    seconds, cpu = time.perf_counter() - begun, cpu_seconds() - cpu_begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"seconds": seconds, "cpu_s": cpu, "start_s": start, "peak_mib": peak, "dropped": dropped}))


if __name__ == "__main__":
    main()
