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
from collections.abc import Callable, Iterator
from functools import partial
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
    started = time.perf_counter()
    encoder = opened(path)
    encoder.encode(pa.array(["warm é 中文"], pa.large_string()))
    empty(encoder)
    open_s = time.perf_counter() - started
    started = time.perf_counter()
    found = [encoder.encode(batch.column("text"))[0] for batch in given]
    seconds = time.perf_counter() - started
    answered = round(encoder.share_answered(), 4) if hasattr(encoder, "share_answered") else None
    return measured(given, seconds, open_s, digest_of(found)) | {"answered": answered}


def empty(encoder: Any) -> None:
    """Forget all segments, where it is an encoder of ours."""
    from corpusmill.stages.kernels.segment_table import new_table

    if hasattr(encoder, "table"):
        encoder.table = new_table()
    if hasattr(encoder, "memo"):
        encoder.memo[:] = 0


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
    """Kept documents to token files: the phases from encoding to the manifest, in one process, opening outside.

    Their CPU time has three parts, each on its own clock: reading kept documents, the encoder, and all the rest, which
    is the writing of shards; the speed is by wall time. A small build before the clock starts loads or compiles what a
    process needs once.
    """
    from corpusmill.stages.tokens import encode

    small = pa.ipc.open_file(str(texts)).read_all().slice(0, 20)
    with tempfile.TemporaryDirectory() as folder:
        few = Path(folder, "few.arrow")
        with pa.ipc.new_file(str(few), small.schema) as writer:
            writer.write_table(small)
        token_build(path, few)
        encode._OPENED.clear()
    clock: dict[str, float] = dict.fromkeys(("open", "open_wall", "read", "encode"), 0.0)
    encode.opened = partial(timed_opening, encode.opened, clock)
    encode.read_part = partial(timed_reading, encode.read_part, clock)
    phases = token_build(path, texts)
    wall, cpu = (sum(phases[phase][number] for phase in TOKENIZING) for number in (0, 1))
    writing = cpu - clock["open"] - clock["read"] - clock["encode"]
    found = {"read_s": clock["read"], "encode_s": clock["encode"], "write_s": writing, "phases": phases}
    return measured(batches(str(texts)), wall - clock["open_wall"], clock["open_wall"], "") | found


def token_build(tokenizer: Path, texts: Path) -> dict[str, tuple[float, float]]:
    """(wall, CPU) seconds of every phase of a build of these texts that holds nothing out."""
    from corpusmill.pipeline.build import all_receipts, build, plan_phases
    from corpusmill.pipeline.engine import LocalEngine
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.stages.names import StageTable, token_phases

    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(texts, Path(folder, "texts.jsonl"))
        tree = {
            "format": 1,
            "name": "bench",
            "sources": {"all": {"read": "jsonl", "paths": [f"{folder}/texts.jsonl"]}},
            "tokenizer": {"load": str(tokenizer)},
            "tokens": {"held_out": 0.0},
        }
        recipe = Recipe.build(tree, StageTable())
        run = RunFolder(f"{folder}/run")
        build(recipe, json.dumps(tree), plan_phases(recipe, token_phases), run, LocalEngine(1))
        seconds: dict[str, tuple[float, float]] = {}
        for receipt in all_receipts(run):
            wall, cpu = seconds.get(receipt.phase, (0.0, 0.0))
            seconds[receipt.phase] = (wall + float(receipt.run["seconds"]), cpu + float(receipt.run["cpu_s"]))
    return seconds


def timed_opening(real: Callable[[Any], Any], clock: dict[str, float], run: Any) -> Any:
    """Opens the run's tokenizer with an empty table; its `encode` adds to the clock."""
    started, wall = time.process_time(), time.perf_counter()
    encoder = real(run)
    empty(encoder)
    clock["open"] += time.process_time() - started
    clock["open_wall"] += time.perf_counter() - wall
    encode = encoder.encode

    def timed(*arguments: Any) -> Any:
        begun = time.process_time()
        found = encode(*arguments)
        clock["encode"] += time.process_time() - begun
        return found

    encoder.encode = timed
    return encoder


def timed_reading(
    real: Callable[..., Iterator[Any]], clock: dict[str, float], *args: Any, **more: Any
) -> Iterator[Any]:
    """The batches of a part; what it takes to read them adds to the clock."""
    rows = real(*args, **more)
    while True:
        started = time.process_time()
        batch = next(rows, None)
        clock["read"] += time.process_time() - started
        if batch is None:
            return
        yield batch


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
