"""One repetition of benchmarks/tokens.py, in a process of its own: prints one JSON object.

python benchmarks/tokens_worker.py ENGINE TOKENIZER TEXTS
"""

import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BATCH_BYTES = 8 << 20
END_OF_TEXT = "<|endoftext|>"


def main() -> None:
    engine, tokenizer, texts = sys.argv[1:]
    os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    found = {"ours": ours, "sentencepiece": sentencepiece, "tokenizers": tokenizers}.get(engine)
    if found is not None:
        result = found(Path(tokenizer), batches(texts))
    else:
        result = {"shards": shards, "datatrove": datatrove}[engine](Path(tokenizer), Path(texts))
    print(json.dumps(result | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}))


def batches(texts: str) -> list[pa.RecordBatch]:
    """The documents in batches of about 8 MiB."""
    from corpusmill.pipeline.document import split_batch

    table = pa.ipc.open_file(texts).read_all()
    return [small for batch in table.to_batches() for small in split_batch(batch, BATCH_BYTES)]


def total_bytes(given: list[pa.RecordBatch]) -> int:
    return sum(int(pc.sum(pc.binary_length(batch.column("text"))).as_py()) for batch in given)


def digest_of(parts: list[Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for ids in parts:
        digest.update(np.ascontiguousarray(ids, dtype="<i4").data)
    return digest.hexdigest()


def opened(path: Path) -> Any:
    from corpusmill.stages.tokens.tokenizer_file import load_card, open_encoder

    data = path.read_bytes()
    return open_encoder(data, load_card(data, str(path)))


def ours(path: Path, given: list[pa.RecordBatch]) -> dict[str, Any]:
    """Our encoder with an empty table; kernels are compiled or loaded before the clock starts."""
    from corpusmill.stages.kernels.segment_table import new_table

    started = time.perf_counter()
    encoder = opened(path)
    encoder.encode(pa.array(["warm é 中文"], pa.large_string()))
    if hasattr(encoder, "table"):
        encoder.table = new_table()
    if hasattr(encoder, "memo"):
        encoder.memo[:] = 0
    open_s = time.perf_counter() - started
    started = time.perf_counter()
    found = [encoder.encode(batch.column("text"))[0] for batch in given]
    seconds = time.perf_counter() - started
    answered = round(encoder.share_answered(), 4) if hasattr(encoder, "share_answered") else None
    return measured(given, seconds, open_s, digest_of(found)) | {"answered": answered}


def sentencepiece(path: Path, given: list[pa.RecordBatch]) -> dict[str, Any]:
    """The library through its own batch call."""
    import sentencepiece as library

    started = time.perf_counter()
    processor = library.SentencePieceProcessor(model_proto=path.read_bytes())
    lists = [batch.column("text").to_pylist() for batch in given]
    open_s = time.perf_counter() - started
    started = time.perf_counter()
    encoded = [processor.encode(texts, num_threads=1) for texts in lists]
    seconds = time.perf_counter() - started
    return measured(given, seconds, open_s, digest_of([ids for batch in encoded for ids in batch]))


def tokenizers(path: Path, given: list[pa.RecordBatch]) -> dict[str, Any]:
    """HF tokenizers through its own batch call."""
    import tokenizers as library

    started = time.perf_counter()
    tokenizer = library.Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    lists = [batch.column("text").to_pylist() for batch in given]
    open_s = time.perf_counter() - started
    started = time.perf_counter()
    encoded = [tokenizer.encode_batch_fast(texts, add_special_tokens=False) for texts in lists]
    seconds = time.perf_counter() - started
    return measured(given, seconds, open_s, digest_of([each.ids for batch in encoded for each in batch]))


def measured(given: list[pa.RecordBatch], seconds: float, open_s: float, digest: str) -> dict[str, Any]:
    num_bytes = total_bytes(given)
    return {"mb_per_s": num_bytes / 1e6 / seconds, "bytes": num_bytes, "open_s": open_s, "hash": digest}


TOKENIZING = ("tokens/encode", "tokens/layout", "tokens/place", "tokens/manifest")


def shards(path: Path, texts: Path) -> dict[str, Any]:
    """Kept documents to token files: the phases from encoding to the manifest, in one process, opening outside."""
    from corpusmill.pipeline.build import all_receipts, build, plan_phases
    from corpusmill.pipeline.engine import LocalEngine
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.stages.kernels.segment_table import new_table
    from corpusmill.stages.names import StageTable, token_phases
    from corpusmill.stages.tokens import encode

    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(texts, Path(folder, "texts.jsonl"))
        tree = {
            "format": 1,
            "name": "bench",
            "sources": {"all": {"read": "jsonl", "paths": [f"{folder}/texts.jsonl"]}},
            "tokenizer": {"load": str(path)},
            "tokens": {"held_out": 0.0},
        }
        recipe = Recipe.build(tree, StageTable())
        run = RunFolder(f"{folder}/run")
        opened(path).encode(pa.array(["warm"], pa.large_string()))  # compiles
        seconds: dict[str, float] = {}
        real = encode.opened

        def timed(run: RunFolder) -> Any:
            started = time.perf_counter()
            found = real(run)
            if hasattr(found, "table"):
                found.table = new_table()
            seconds["open"] = time.perf_counter() - started
            return found

        encode.opened = timed
        build(recipe, json.dumps(tree), plan_phases(recipe, token_phases), run, LocalEngine(1))
        for receipt in all_receipts(run):
            seconds[receipt.phase] = seconds.get(receipt.phase, 0.0) + float(receipt.run["seconds"])
    took = sum(seconds[phase] for phase in TOKENIZING) - seconds["open"]
    given = batches(str(texts))
    encoder = opened(path)
    started = time.perf_counter()
    for batch in given:
        encoder.encode(batch.column("text"))
    alone = time.perf_counter() - started
    result = measured(given, took, seconds["open"], "")
    return result | {"encode_alone_s": alone, "tokenize_s": took, "phases": seconds}


def datatrove(path: Path, texts: Path) -> dict[str, Any]:
    """datatrove's DocumentTokenizer on documents in memory, shuffling within its file as it does by default."""
    import logging

    from datatrove.data import Document
    from datatrove.pipeline.tokens import DocumentTokenizer

    logging.disable()
    documents = [
        Document(text=text, id=str(i)) for i, text in enumerate(pa.ipc.open_file(texts).read_all()["text"].to_pylist())
    ]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        step = DocumentTokenizer(
            folder, tokenizer_name_or_path=str(path), eos_token=END_OF_TEXT, max_tokens_per_file=1 << 28
        )
        step.tokenizer  # noqa: B018  # loads
        open_s = time.perf_counter() - started
        started = time.perf_counter()
        step.run(iter(documents), rank=0, world_size=1)
        seconds = time.perf_counter() - started
    return measured(batches(str(texts)), seconds, open_s, "")


def write_jsonl(texts: Path, to: Path) -> None:
    with to.open("w", encoding="utf-8") as file:
        for text in pa.ipc.open_file(texts).read_all()["text"].to_pylist():
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
