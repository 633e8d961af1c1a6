"""One timed task of build.py: `build_worker.py TASK CORPUS` prints seconds, start-up, peak memory and documents.

It runs in our environment or in the peers', so it imports only what its task needs. CORPUS is a .jsonl or a .warc.gz
file; the tokenizers that `train-ours` and `train-theirs` made lie beside it.
"""

import gzip
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dedup_worker import lines

STARTED = time.perf_counter()
VOCABULARY = 16_000
Counts = dict[str, int]
Task = Callable[[], Counts]


def shorten(paths: Sequence[Path], folder: Path, max_bytes: int, max_pages: int) -> dict[str, tuple[Path, float]]:
    """The first documents of every file, evenly: kind -> (one file of all, its MB of text or number of pages)."""
    texts = [path for path in paths if ".jsonl" in path.suffixes]
    archives = [path for path in paths if ".warc" in path.suffixes]
    num_bytes = num_pages = 0
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as output:
        for path in texts:
            taken = 0
            for number, line in enumerate(lines(path)):
                text = json.loads(line)["text"]
                taken += len(text.encode())
                if taken > max_bytes / len(texts):
                    break
                num_bytes += len(text.encode())
                output.write(json.dumps({"id": f"{path.name}#{number}", "text": text}, ensure_ascii=False) + "\n")
    with (folder / "corpus.warc.gz").open("wb") as output:
        for path in archives:
            data = gzip.decompress(path.read_bytes())
            starts = [start for start in _positions(data, b"WARC/1.") if _is_response(data, start)]
            for start, end in list(zip(starts, [*starts[1:], len(data)], strict=True))[: max_pages // len(archives)]:
                output.write(gzip.compress(data[start:end]))  # a member per record, as readers of archives want it
                num_pages += 1
    return {"text": (folder / "corpus.jsonl", num_bytes / 1e6), "warc": (folder / "corpus.warc.gz", num_pages)}


def _positions(data: bytes, mark: bytes) -> Iterator[int]:
    """Where records begin: the mark after an empty line, or at the start."""
    at = data.find(mark)
    while at >= 0:
        if at == 0 or data[at - 4 : at] == b"\r\n\r\n":
            yield at
        at = data.find(mark, at + 1)


def _is_response(data: bytes, start: int) -> bool:
    return b"WARC-Type: response" in data[start : data.index(b"\r\n\r\n", start)]


def train_ours(corpus: Path) -> Counts:
    import pyarrow as pa

    from corpusmill.stages.tokens.token_settings import TokenizerSettings
    from corpusmill.stages.tokens.train_sentencepiece import train_sentencepiece

    texts = pa.array([json.loads(line)["text"] for line in lines(corpus)][::2], pa.large_string())
    model = train_sentencepiece(texts, TokenizerSettings(vocab_size=VOCABULARY))
    corpus.with_name("ours.model").write_bytes(model)
    return {}


def train_theirs(corpus: Path) -> Counts:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.train_from_iterator([json.loads(line)["text"] for line in lines(corpus)][::2], trainer)
    tokenizer.save(str(corpus.with_name("theirs.json")))
    return {}


def ours(corpus: Path) -> Task:
    """`corpusmill build` in this process."""
    from corpusmill.pipeline.build import build, plan_phases
    from corpusmill.pipeline.engine import LocalEngine
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.pipeline.status import read_status
    from corpusmill.stages.kernels.compile import warmup
    from corpusmill.stages.names import StageTable, token_phases

    def whole(path: Path) -> Counts:
        source = (
            {"read": "jsonl", "id": "id"} if path.suffix == ".jsonl" else {"read": "warc", "extract": "resiliparse"}
        )
        tree: dict[str, Any] = {
            "format": 1,
            "name": "benchmark",
            "sources": {"corpus": source | {"paths": [str(path)]}},
        }
        tree["stages"] = [{"gopher": {"dialect": "datatrove"}}, "fineweb", {"minhash": {"preset": "fineweb"}}]
        tree |= {"tokenizer": {"load": str(corpus.with_name("ours.model"))}, "tokens": {"held_out": 0}}
        run = RunFolder(tempfile.mkdtemp(dir=corpus.parent))
        recipe = Recipe.build(tree, StageTable())
        build(recipe, json.dumps(tree), plan_phases(recipe, token_phases), run, LocalEngine(1))
        books = read_status(run)["sources"]["corpus"]
        return {"kept": books["documents"]["kept"], "tokens": sum(books["tokens"].values())}

    warmup()
    one = Path(tempfile.mkdtemp(dir=corpus.parent)) / "one.jsonl"
    text = (
        "The first document of all is here to load what has to be loaded, and that is what it does with these words.\n"
    )
    one.write_text(json.dumps({"id": "0", "text": text * 4}) + "\n")
    whole(one)
    return lambda: whole(corpus)


def datatrove(corpus: Path, extractor: str = "") -> Task:
    """The steps of datatrove's FineWeb and MinHash examples, and its tokenizer with shuffled shards."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.readers import JsonlReader, WarcReader
    from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    config, folder = minhash.MinhashConfig(), Path(tempfile.mkdtemp(dir=corpus.parent))
    load_word_tokenizer("eng").word_tokenize("a first text loads the tokenizer")
    front = (
        [JsonlReader(str(corpus.parent), glob_pattern=corpus.name)]
        if corpus.suffix == ".jsonl"
        else [WarcReader(str(corpus.parent), glob_pattern=corpus.name), extractors()[extractor]()]
    )
    filters = [GopherRepetitionFilter(), GopherQualityFilter(), FineWebQualityFilter()]
    kept = f"{folder}/kept"
    steps = [
        [*front, *filters, JsonlWriter(kept, compression=None)],
        [JsonlReader(kept), minhash.MinhashDedupSignature(f"{folder}/signatures", config=config, language="eng")],
        [minhash.MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)],
        [minhash.MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config)],
        [
            JsonlReader(kept),
            minhash.MinhashDedupFilter(f"{folder}/remove"),
            DocumentTokenizer(
                f"{folder}/parts", str(corpus.with_name("theirs.json")), eos_token="<|endoftext|>", seed=7
            ),
        ],
        [DocumentTokenizerMerger(f"{folder}/parts", f"{folder}/tokens", "shard", seed=7, progress=False)],
    ]

    def task() -> Counts:
        for number, pipeline in enumerate(steps):
            tasks = config.num_buckets if number == 2 else 1
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{folder}/logs{number}").run()
        index = sum(path.stat().st_size for path in (folder / "tokens").glob("*.index"))
        tokens = sum(path.stat().st_size for path in (folder / "tokens").glob("*.ds"))
        return {"kept": index // 8, "tokens": tokens // 2}

    return task


def extractors() -> dict[str, Any]:
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.extractors.base import BaseExtractor

    class Resiliparse(BaseExtractor):
        """The extractor that ours uses, as a datatrove step."""

        def __init__(self) -> None:
            super().__init__(timeout=10)

        def extract(self, text: str) -> str:
            from resiliparse.extract.html2text import extract_plain_text

            return str(extract_plain_text(text, preserve_formatting=True, main_content=True))

    return {"trafilatura": lambda: Trafilatura(timeout=10), "resiliparse": Resiliparse}


TASKS: dict[str, Callable[[Path], Task]] = {
    "train-ours": lambda corpus: lambda: train_ours(corpus),
    "train-theirs": lambda corpus: lambda: train_theirs(corpus),
    "ours": ours,
    "datatrove": datatrove,
    "datatrove-trafilatura": lambda corpus: datatrove(corpus, "trafilatura"),
    "datatrove-resiliparse": lambda corpus: datatrove(corpus, "resiliparse"),
}


def main() -> None:
    os.environ.setdefault("DATATROVE_COLORIZE_LOGS", "0")
    task = TASKS[sys.argv[1]](Path(sys.argv[2]))
    start = time.perf_counter() - STARTED
    begun = time.perf_counter()
    documents = task()
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"seconds": seconds, "start_s": start, "peak_mib": peak, "documents": documents}))


if __name__ == "__main__":
    main()
