"""One reader of token files, timed: run by benchmarks/loader.py in an environment that has it.

    python benchmarks/loader_readers.py corpusmill FOLDER ROWS THREADS

Reads ROWS shuffled rows of 2,048 from FOLDER as batches of 32 contiguous int64 input and label tensors and sums every
element. Prints one line of JSON: seconds to read, seconds from imports done to the first batch (by the clock, and of
this process alone), peak memory, the sum.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

LENGTH, BATCH, DOCUMENT = 2048, 32, 1000

Pair = tuple[Any, Any]
"""Inputs and labels, [BATCH, LENGTH] contiguous int64 tensors of torch."""


def main() -> None:
    name, folder, num_rows, num_threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    if name == "write-mds":
        write_mds(folder)
        print("{}")
        return
    import torch

    torch.set_num_threads(1)
    package, prepare = READERS[name]
    opener = prepare()
    start, start_cpu = time.perf_counter(), time.process_time()
    idle = peak_mib()
    batches = opener(folder, num_threads, num_rows)
    total = check(next(batches), torch.int64)
    started, started_cpu = time.perf_counter(), time.process_time()
    for inputs, labels in islice(batches, num_rows // BATCH - 1):
        total += int(inputs.sum()) + int(labels.sum())
    seconds = time.perf_counter() - started
    facts = {"seconds": seconds, "start_s": started - start, "tokens": (num_rows // BATCH - 1) * BATCH * LENGTH}
    facts |= {
        "start_cpu_s": started_cpu - start_cpu,
        "sum": total,
        "peak_mib": peak_mib(),
        "above_idle_mib": peak_mib() - idle,
        "version": version(package),
    }
    if name == "corpusmill":
        facts["seek_ms"] = seek_ms(folder)
    print(json.dumps(facts))


def seek_ms(folder: Path) -> float:
    """Median milliseconds to find what is read at a position, over random ones, each phase asked once before."""
    from corpusmill.mixtures.plan import Plan
    from corpusmill.mixtures.positions import PositionMap

    plan = Plan.load(folder / "plans/main.json")
    positions = PositionMap(plan)
    positions.locate(np.cumsum([phase.segment.rows for phase in plan.phases]) - 1)
    taken = []
    for position in np.random.default_rng(0).integers(0, plan.num_rows, 200).tolist():
        start = time.perf_counter()
        positions.locate(np.array([position]))
        taken.append(time.perf_counter() - start)
    return float(np.median(taken) * 1000)


def shards(folder: Path) -> list[str]:
    """The token files of a run folder, without endings, in order."""
    facts = json.loads((folder / "tokens/manifest.json").read_bytes())
    return [str(folder / shard["path"]) for shard in facts["shards"]]


def peak_mib() -> float:
    """Of this program alone: `ru_maxrss` starts with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def check(batch: Pair, dtype: Any) -> int:
    """The sum of the first batch, after a look at its shape."""
    for part in batch:
        assert tuple(part.shape) == (BATCH, LENGTH), part.shape
        assert part.is_contiguous()
        assert part.dtype == dtype
    return int(batch[0].sum()) + int(batch[1].sum())


Opener = Callable[[Path, int, int], Iterator[Pair]]


def prepare_corpusmill() -> Opener:
    import torch

    from corpusmill.mixtures.batches import BatchStream
    from corpusmill.mixtures.loader import PlanLoader
    from corpusmill.mixtures.plan import Plan

    def opened(folder: Path, num_threads: int, num_rows: int) -> Iterator[Pair]:
        loader = PlanLoader.open(folder, Plan.load(folder / "plans/main.json"))
        for batch in BatchStream(loader, BATCH, num_threads=0 if num_threads == 1 else num_threads):
            yield torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)

    return opened


def prepare_megatron() -> Opener:
    import torch
    from megatron.core.datasets.blended_dataset import BlendedDataset
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)

    class NoTokenizer:
        eod = 0
        pad = 0
        vocab_size = 50_000
        unique_identifiers: dict[str, str] = {"name": "none"}  # noqa: RUF012 - the shape that megatron asks for

    def opened(folder: Path, num_threads: int, num_rows: int) -> Iterator[Pair]:
        prefixes = shards(folder)
        config = GPTDatasetConfig(
            random_seed=1,
            sequence_length=LENGTH,
            blend=(prefixes, None),
            split="1",
            path_to_cache=str(folder / "megatron-cache"),
            tokenizer=NoTokenizer(),
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )

        def opened_one(prefix: str, rows: int | None) -> Any:
            indexed = IndexedDataset(prefix)
            indices = np.arange(len(indexed), dtype=np.int32)
            return GPTDataset(indexed, prefix, indices, rows, Split.train, config)

        if len(prefixes) == 1:
            dataset = opened_one(prefixes[0], num_rows)
        else:  # one epoch of each, blended by size
            parts = [opened_one(prefix, None) for prefix in prefixes]
            sizes = [len(part) for part in parts]
            dataset = BlendedDataset(parts, sizes, None, config)

        def batch(first: int) -> Pair:
            rows = [dataset[first + slot] for slot in range(BATCH)]
            return torch.stack([row["tokens"] for row in rows]), torch.stack([row["labels"] for row in rows])

        yield from in_threads(batch, range(0, num_rows - BATCH + 1, BATCH), num_threads)

    return opened


def prepare_litdata() -> Opener:
    import torch
    from litdata.streaming import StreamingDataset, TokensLoader

    def opened(folder: Path, num_threads: int, num_rows: int) -> Iterator[Pair]:
        dataset = StreamingDataset(str(folder / "litdata"), item_loader=TokensLoader(LENGTH + 1), shuffle=True, seed=1)
        rows = iter(dataset)
        while True:
            tokens = torch.stack([torch.as_tensor(row) for row in islice(rows, BATCH)]).to(torch.int64)
            yield tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    return opened


def prepare_mosaic() -> Opener:
    import types

    import torch

    sys.modules["streaming.vision"] = types.ModuleType("streaming.vision")  # torchvision's CUDA build does not load
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()

    def opened(folder: Path, num_threads: int, num_rows: int) -> Iterator[Pair]:
        dataset = StreamingDataset(
            local=str(folder / "mds"), shuffle=True, shuffle_seed=1, batch_size=BATCH, num_canonical_nodes=1
        )
        rows = iter(dataset)
        while True:
            tokens = torch.stack([torch.from_numpy(row["tokens"].astype(np.int64)) for row in islice(rows, BATCH)])
            yield tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    return opened


def write_mds(folder: Path) -> None:
    """The rows of our shard, one of 2,049 tokens for each of 2,048, by MosaicML's own writer; uncompressed."""
    import types

    sys.modules["streaming.vision"] = types.ModuleType("streaming.vision")
    from streaming import MDSWriter

    tokens = np.memmap(folder / "tokens/web/all/00000.bin", dtype=np.uint16, mode="r")
    columns = {"tokens": f"ndarray:uint16:{LENGTH + 1}"}
    with MDSWriter(out=str(folder / "mds"), columns=columns) as out:
        for start in range(0, len(tokens) - LENGTH, LENGTH):
            out.write({"tokens": np.array(tokens[start : start + LENGTH + 1])})


def prepare_copy() -> Opener:
    """What no reader can pass: two fresh int64 tensors of a batch, copied from memory that is at hand."""
    import torch

    def opened(folder: Path, num_threads: int, num_rows: int) -> Iterator[Pair]:
        source = torch.ones((BATCH, LENGTH), dtype=torch.int64)
        while True:
            yield source.clone(), source.clone()

    return opened


def prepare_olmo() -> Opener:
    import torch
    from olmo_core.data.numpy_dataset import NumpyFSLDataset

    def opened(folder: Path, num_threads: int, num_rows: int) -> Iterator[Pair]:
        paths = [f"{shard}.bin" for shard in shards(folder)]
        dataset = NumpyFSLDataset(
            *paths, sequence_length=LENGTH, pad_token_id=0, eos_token_id=0, vocab_size=50_000, dtype=np.uint16
        )
        dataset.prepare()
        order = np.random.default_rng(1).permutation(len(dataset))

        def batch(first: int) -> Pair:
            # Its rows have no token beyond the last input: the label of that one is the input itself.
            tokens = torch.stack([dataset[int(place)]["input_ids"] for place in order[first : first + BATCH]])
            return tokens.contiguous(), torch.roll(tokens, -1, 1).contiguous()

        yield from in_threads(batch, range(0, len(order) - BATCH + 1, BATCH), num_threads)

    return opened


def in_threads(make: Callable[[int], Pair], firsts: Iterable[int], num_threads: int) -> Iterator[Pair]:
    """Batches made by threads a few ahead, in order: what a trainer would put around a map-style dataset."""
    if num_threads == 1:
        yield from map(make, firsts)
        return
    with ThreadPoolExecutor(num_threads) as pool:
        waiting: list[Any] = []
        for first in firsts:
            waiting.append(pool.submit(make, first))
            if len(waiting) > 2 * num_threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


READERS: dict[str, tuple[str, Callable[[], Opener]]] = {
    "corpusmill": ("corpusmill", prepare_corpusmill),
    "megatron-core": ("megatron-core", prepare_megatron),
    "litdata": ("litdata", prepare_litdata),
    "olmo-core": ("ai2-olmo-core", prepare_olmo),
    "mosaicml-streaming": ("mosaicml-streaming", prepare_mosaic),
    "copy": ("torch", prepare_copy),
}


if __name__ == "__main__":
    main()
