"""Many small models trained as one stack, one large model, and a ladder of sizes with one learning rate.

On a CPU (one thread): 16 models of V512 d64 L2, 256 tokens a model and step. On a GPU, V4096 d256 L2 ff512 T512:

    a  64 models at 1,024 tokens each: against an eager loop, one model after the other (in this process, so without the
       start of a process a model, which would favour us); and against our own single model at 1k, 2k and 8k tokens
    b  64 models at 8,192 tokens: share of the bound, the larger of FLOPs over a matrix product's rate and bytes over a
       copy's; the time of 512 models x 100M tokens at that rate; the same with deterministic kernels
    c  one 124M model: MFU, against nanoGPT's published loop written anew (gpt2_loop.py)
    d  a ladder of sizes, one learning rate, one pass over text: held-out loss must fall with size

Parts a, b and c read random tokens on the device; rows are gathered there as a sweep gathers them. Part d reads bytes
of this machine's Python, or of `--input`. Every repetition runs all sides in turn; compilation and graphs are outside
the clock. What was tried of chunk sizes and replicas at once is printed, the best is reported.

    python benchmarks/swarm.py --quick --json
    python benchmarks/swarm.py --parts abcd --json          # on a GPU; one part alone takes some minutes, of which most
                                                            # is compilation
"""

import argparse
import gc
import json
import resource
import statistics
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eager_model import Eager, peer_step
from gpt2_loop import LENGTH, MICRO_BATCH, VOCAB_SIZE, Loop

from corpusmill.mixtures.proxy import cross_entropy
from corpusmill.mixtures.proxy.device import chosen_device, copy_bytes_per_s, matmul_flops_per_s, wait_for
from corpusmill.mixtures.proxy.memory import num_micro_batches
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.transformer import Shape, shape_of

CPU_SHAPE = Shape(vocab_size=512, width=64, num_layers=2, num_heads=4, ff_width=176)
GPU_SHAPE = Shape(vocab_size=4096, width=256, num_layers=2, num_heads=4, ff_width=512)
CPU_LADDER = ("30k", "100k", "400k", "1M")
GPU_LADDER = ("1M", "4M", "10M", "30M", "60M", "124M", "350M")
GRADIENT_ACCUMULATION = 40  # micro-batches of a step of nanoGPT's loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="*", type=Path, default=[], help="text files of the ladder")
    parser.add_argument("--quick", action="store_true", help="3 repetitions of few steps; on a CPU no ladder")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--models", type=int, help="in a stack [16 on a CPU, 64 on a GPU]")
    parser.add_argument(
        "--parts", default="", help="of a GPU's, such as abcd [ab quick, else abcd]; on a CPU d or none"
    )
    parser.add_argument("--ladder-tokens", type=int, help="each size is trained on [200k on a CPU, 30M on a GPU]")
    options = parser.parse_args()
    device = chosen_device("auto")
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    bench = Bench(device, 3 if options.quick else 7, 4 if options.quick else 20)
    results: list[dict[str, Any]] = []
    if device == "cpu":
        results += stacks(bench, CPU_SHAPE, 64, 256, options.models or 16)
        parts = options.parts
    else:
        print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
        parts = options.parts or ("ab" if options.quick else "abcd")
    if "a" in parts:
        results += stacks(bench, GPU_SHAPE, 512, 1024, options.models or 64, also=(2048, 8192))
    if "b" in parts:
        results += against_the_bound(bench, GPU_SHAPE, 512, 8192, options.models or 64)
    torch.compiler.reset()  # what was compiled for other shapes is of no use to the next part
    free_memory(device)
    if "c" in parts:
        results += one_large_model(bench)
    torch.compiler.reset()
    free_memory(device)
    if "d" in parts:
        sizes, tokens = (CPU_LADDER, 200_000) if device == "cpu" else (GPU_LADDER, 30_000_000)
        results += ladder(device, sizes, options.ladder_tokens or tokens, options.input)
    for row in results:
        theirs = "" if row["theirs"] is None else f", {row['ratio']:.2f} x {row['peer']}"
        print(f"{row['name']}: {row['ours']:,.4g} {row['unit']}{theirs}   ({row['where']})")
    if options.json:
        print(json.dumps({"results": results}))


class Bench:
    """How often and how long; and the clock."""

    def __init__(self, device: str, repetitions: int, steps: int) -> None:
        self.device, self.repetitions, self.steps = device, repetitions, steps

    def rates(self, sides: dict[str, tuple[Callable[[], object], int]]) -> dict[str, list[float]]:
        """Tokens a second of each side, given as (a step, its tokens), all in turn; each is called twice before."""
        for step, _ in sides.values():
            step()
            step()
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(self.repetitions):
            for side, (step, tokens) in sides.items():
                rates[side].append(self.steps * tokens / self.seconds(step))
        return rates

    def seconds(self, step: Callable[[], object]) -> float:
        """Of `steps` steps; on the CPU those of this process, which other processes do not lengthen."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        wait_for(self.device)
        started = clock()
        for _ in range(self.steps):
            step()
        wait_for(self.device)
        return clock() - started


class Stack:
    """`models` models in training on random tokens that lie on the device."""

    def __init__(self, device: str, shape: Shape, length: int, tokens: int, models: int, **settings: Any) -> None:
        gpu = device != "cpu"
        made: dict[str, Any] = {"bfloat16": gpu, "fuse": gpu, "cuda_graph": gpu, "deterministic": False}
        training = Training(
            shape=shape,
            num_steps=1 << 20,
            sequence_length=length,
            num_sequences=tokens // length,
            device=device,
            **made | settings,
        )
        self.training = StackedTraining(training, [Replica(seed=seed, learning_rate=1e-3) for seed in range(models)])
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(0, shape.vocab_size, (1 << 22,), generator=generator, dtype=torch.int32).to(device)
        starts = torch.randint(0, (1 << 22) - length - 1, (models, tokens // length), generator=generator)
        self.starts, self.span = starts.to(device), torch.arange(length + 1, device=device)

    def rows(self) -> torch.Tensor:
        return self.tokens[self.starts[..., None] + self.span].to(torch.int64)

    def step(self) -> None:
        self.training.train_step(self.rows())


def stacks(
    bench: Bench, shape: Shape, length: int, tokens: int, models: int, also: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """A stack against an eager loop and against our own single model, which is also run at other sizes of a step."""
    device = bench.device
    stack, single = (Stack(device, shape, length, tokens, count) for count in (models, 1))
    peer = Eager(shape, length).to(device)
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-3, fused=True)
    rows = stack.rows()

    def one_after_the_other(step: Callable[[], None]) -> Callable[[], None]:
        def steps() -> None:
            for _ in range(models):
                step()

        return steps

    sides: dict[str, tuple[Callable[[], object], int]] = {
        "stack": (stack.step, models * tokens),
        "single": (one_after_the_other(single.step), models * tokens),
        "peer": (lambda: [peer_step(peer, optimizer, rows[model]) for model in range(models)], models * tokens),
    }
    for more in also:
        sides[f"single {more}"] = (Stack(device, shape, length, more, 1).step, more)
    rates = bench.rates(sides)
    eager = f"torch=={torch.__version__} eager, one after another"
    where = f"{device} {named(shape)} T{length}, {models} models, {tokens} tokens each"
    print(f"{where}: {shape.flops_per_token(length) * statistics.median(rates['stack']) / 1e9:,.0f} GFLOP/s stacked")
    made = [
        result("stacked proxies", rates["stack"], eager, rates["peer"], where),
        result("stacked proxies against own single", rates["stack"], "our own single model", rates["single"], where),
        result("single proxy", rates["single"], eager, rates["peer"], where),
    ]
    for more in also:
        name = f"our own single model, {more} tokens a step"
        made.append(
            result(
                f"stacked proxies against own single at {more}", rates["stack"], name, rates[f"single {more}"], where
            )
        )
    return made


def against_the_bound(bench: Bench, shape: Shape, length: int, tokens: int, models: int) -> list[dict[str, Any]]:
    """The best of some settings, in tokens a second and as a share of what the device can do at most."""
    device = bench.device
    flops_s, bytes_s = matmul_flops_per_s(device), copy_bytes_per_s(device)
    step_flops = models * tokens * shape.flops_per_token(length)
    step_bytes = models * (tokens * bytes_per_token(shape) + 30 * shape.num_parameters)
    bound = models * tokens / max(step_flops / flops_s, step_bytes / bytes_s)
    print(f"measured: {flops_s / 1e12:.0f} TFLOP/s, {bytes_s / 1e12:.2f} TB/s; bound {bound / 1e6:.1f}M tokens/s")
    tried: dict[tuple[int | None, int], float] = {}
    short = Bench(device, 1, 3)
    for at_once in (None, 32, 8):
        for chunk in (1 << 22, 1 << 24, 1 << 28):
            cross_entropy.CHUNK_LOGITS["cuda"] = chunk
            name = f"replicas_at_once {at_once}, chunk 2^{chunk.bit_length() - 1}"
            rate = rate_of(short, name, shape, length, tokens, models, replicas_at_once=at_once)
            tried |= {} if rate is None else {(at_once, chunk): rate}
    at_once, cross_entropy.CHUNK_LOGITS["cuda"] = max(tried, key=lambda each: tried[each])
    where = f"{device} {named(shape)} T{length}, {models} models, {tokens} tokens each, replicas_at_once {at_once}"
    made = []
    for deterministic in (False, True):
        stack = Stack(device, shape, length, tokens, models, replicas_at_once=at_once, deterministic=deterministic)
        rates = bench.rates({"stack": (stack.step, models * tokens)})["stack"]
        name = "stacked proxies, deterministic" if deterministic else "stacked proxies"
        made.append(result(name, rates, "the bound, larger of FLOPs and bytes", [bound], where))
        minutes = 512 * 100e6 / statistics.median(rates) / 60
        print(
            f"{name}: {statistics.median(rates) / bound:.0%} of the bound; 512 x 100M tokens in {minutes:.0f} minutes"
        )
        made.append(measured(f"512 x 100M tokens ({name})", "minutes", minutes, where))
        del stack
        free_memory(device)
    return made


def rate_of(
    bench: Bench, name: str, shape: Shape, length: int, tokens: int, models: int, **settings: Any
) -> float | None:
    """Tokens a second of a stack that is gone afterwards; None where it does not fit."""
    free_memory(bench.device)
    try:
        stack = Stack(bench.device, shape, length, tokens, models, **settings)
        rate = statistics.median(bench.rates({"stack": (stack.step, models * tokens)})["stack"])
    except torch.OutOfMemoryError:
        print(f"{name}: out of memory", flush=True)
        return None
    print(f"{name}: {rate / 1e6:.3g}M tokens/s", flush=True)
    return rate


def free_memory(device: str) -> None:
    """Gives back what models that are gone have held, graphs among it."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def bytes_per_token(shape: Shape) -> int:
    """Memory traffic of a token, forward and backward, in bfloat16, with all that is pointwise fused into neighbours.

    A product of widths i and o moves 3 (i + o) numbers (input, output, and their gradients twice); attention 12 a width
    of heads; a norm 5 a width; the logits, 5 a piece of the vocabulary, go through memory.
    """
    width, inner, ff = shape.width, shape.num_heads * shape.head_width, shape.ff_width
    kv = shape.kv_heads * shape.head_width
    products = 3 * ((width + inner) * 2 + (width + kv) * 2 + (width + ff) * 3)
    layer = products + 4 * inner + 8 * kv + 10 * width
    return 2 * (shape.num_layers * layer + 10 * width + 5 * shape.vocab_size)


def one_large_model(bench: Bench) -> list[dict[str, Any]]:
    """124M parameters, 491,520 tokens a step in both: tokens a second, and our MFU."""
    device = bench.device
    shape, sequences = shape_of("124M", VOCAB_SIZE), MICRO_BATCH * GRADIENT_ACCUMULATION
    short, tokens = Bench(device, bench.repetitions, 2), sequences * LENGTH
    flops_s = matmul_flops_per_s(device)
    rates: dict[int, float] = {}
    for parts in (GRADIENT_ACCUMULATION // 2, GRADIENT_ACCUMULATION):
        how = {"num_micro_batches": parts, "cuda_graph": False}
        rate = rate_of(short, f"124M in {parts} micro-batches", shape, LENGTH, tokens, 1, **how)
        rates |= {} if rate is None else {parts: rate}
    best = max(rates, key=lambda parts: rates[parts])
    free_memory(device)
    ours, loop = Stack(device, shape, LENGTH, tokens, 1, num_micro_batches=best, cuda_graph=False), Loop(device)
    rows = ours.rows()[0]
    both = short.rates({"ours": (ours.step, tokens), "peer": (lambda: loop.step(rows), tokens)})
    where = f"{device} 124M {named(shape)} T{LENGTH}, {tokens} tokens a step, {best} micro-batches"
    mfu = statistics.median(both["ours"]) * shape.flops_per_token(LENGTH) / flops_s
    print(f"{where}: MFU {mfu:.1%} of {flops_s / 1e12:.0f} TFLOP/s")
    return [
        result("one 124M model", both["ours"], "nanoGPT's loop, written anew", both["peer"], where),
        measured("one 124M model, MFU", "of the matrix product", mfu, where),
    ]


def ladder(device: str, sizes: Sequence[str], tokens: int, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Each size on the same bytes with the same learning rate: bits a byte of the last 2 %, which none has seen."""
    length, batch = 256 if device == "cpu" else 512, 8 if device == "cpu" else 64
    text = text_bytes(files, tokens + tokens // 50)
    held_out, train = text[: len(text) // 50], text[len(text) // 50 :]
    num_steps = len(train) // (length * batch)
    made, losses = [], []
    for size in sizes:
        gpu = device != "cpu"
        training = Training(
            shape=shape_of(size, 256),
            num_steps=num_steps,
            sequence_length=length,
            num_sequences=batch,
            num_micro_batches=num_micro_batches(shape_of(size, 256), batch, length, device),
            device=device,
            bfloat16=gpu,
            fuse=gpu,
            deterministic=False,
        )
        stack = StackedTraining(training, [Replica(seed=0, learning_rate=0.01)])
        stack.start_at_unigram(np.bincount(train[: 1 << 20], minlength=256)[None])
        order = np.random.default_rng(0).permutation(num_steps * batch)
        for step in range(num_steps):
            stack.train_step(rows_of(train, order[step * batch : (step + 1) * batch], length)[None])
        losses.append(held_out_bits(stack, held_out, length))
        where = f"{device}, {num_steps * batch * length:,} bytes once, learning rate 0.01"
        made.append(measured(f"ladder {size}", "bits per byte", losses[-1], where))
        print(f"{size}: {losses[-1]:.4f} bits per byte", flush=True)
        del stack
        free_memory(device)
    monotone = all(small > large for small, large in pairwise(losses))
    print(f"one learning rate, loss falls with size: {'yes' if monotone else 'NO'}")
    made.append(measured("ladder is monotone", "1 is yes", float(monotone), str(losses)))
    return made


def rows_of(text: "np.ndarray[Any, Any]", rows: "np.ndarray[Any, Any]", length: int) -> "np.ndarray[Any, Any]":
    return np.stack([text[row * length : row * length + length + 1] for row in rows]).astype(np.int64)


def held_out_bits(stack: StackedTraining, text: "np.ndarray[Any, Any]", length: int) -> float:
    """Bits a byte in sequences that start afresh."""
    rows, total = np.arange((len(text) - 1) // length), 0.0
    stack.training = replace(stack.training, fuse=False)  # other shapes: compiling again would take longer
    for start in range(0, len(rows), 32):
        part = torch.from_numpy(rows_of(text, rows[start : start + 32], length)[None]).to(stack.training.device)
        with torch.no_grad():
            total += float(stack.losses(stack.parameters, part)) * part.shape[1]
    return total / len(rows) / float(np.log(2))


def text_bytes(files: Sequence[Path], num_bytes: int) -> "np.ndarray[Any, Any]":
    """The files, in the order of their names; without any, this machine's Python and what is installed in it."""
    here = sysconfig.get_paths()
    found = files or [path for place in ("stdlib", "purelib") for path in sorted(Path(here[place]).rglob("*.py"))]
    parts, size = [], 0
    for path in found:
        parts.append(path.read_bytes())
        size += len(parts[-1])
        if size >= num_bytes:
            break
    return np.frombuffer(b"".join(parts)[:num_bytes], dtype=np.uint8)


def named(shape: Shape) -> str:
    return f"V{shape.vocab_size} d{shape.width} L{shape.num_layers} ff{shape.ff_width}"


def result(name: str, mine: list[float], peer: str, theirs: list[float], where: str) -> dict[str, Any]:
    middle, other = statistics.median(mine), statistics.median(theirs)
    spread = (max(mine) - min(mine)) / middle
    return measured(name, "tokens/s", middle, where) | {
        "peer": peer,
        "theirs": other,
        "ratio": middle / other,
        "spread": spread,
    }


def measured(name: str, unit: str, value: float, where: str) -> dict[str, Any]:
    """A figure that has no peer."""
    return {
        "name": name,
        "unit": unit,
        "ours": value,
        "peer": None,
        "theirs": None,
        "ratio": None,
        "why": "a figure of its own",
        "spread": None,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "where": where,
    }


if __name__ == "__main__":
    main()
