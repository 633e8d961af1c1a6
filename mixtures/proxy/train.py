"""One model trained on a plan, as any trainer would: the whole plan in order, in one process or several (torchrun).

    trains/<name>/checkpoint.safetensors   weights, moments, losses so far
    trains/<name>/model.safetensors        the finished weights, each [1, ...] as in `transformer.py`
    trains/<name>/curve.parquet            step, tokens, bits_per_token
    trains/<name>/result.json              bits per byte by domain, tokens a second, share of the device's matmul rate

Under torchrun every process takes its slice of each batch and gradients are averaged, so any number of processes that
divides the batch trains the same model but for rounding. It resumes from its checkpoint as a swarm does.

    result = train_plan(run, plan, TrainSettings(size="1M", tokens_per_step=65_536), progress=bar)
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mixtures.loader import PlanLoader, rank_slice
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.proxy.checkpoint import History, load_stack, save_stack
from corpusmill.mixtures.proxy.held_out import read_held_out
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.swarm_stack import curve, measure
from corpusmill.mixtures.proxy.transformer import shape_of
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.faults import fault_point
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.pipeline.run_folder import RunFolder

UNIGRAM_ROWS = 1 << 10


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """`tokens_per_step` is the whole batch's, over all processes."""

    name: str = "main"
    size: str = "124M"
    tokens_per_step: int = 1 << 19
    num_micro_batches: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 0.01
    weight_decay: float = 0.1
    clip: float = 1.0
    schedule: LearningRateSchedule = field(default_factory=LearningRateSchedule)
    document_masks: bool = False
    held_out_tokens: int = 200_000
    seed: int = 0
    checkpoint_s: float = 300.0
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What is written to result.json. `matmul_share`: FLOPs of training a second / those of a bare matrix product."""

    size: str
    plan: str
    num_parameters: int
    steps: int
    tokens: int
    flops: int
    seconds: float
    tokens_per_s: float  # since this process started, checkpoints included, measuring not
    matmul_share: float
    bits_per_byte: dict[str, float]
    unigram: dict[str, float]


def train_plan(
    run: Path, plan: Plan, settings: TrainSettings, progress: Callable[[int, int], None] = lambda done, total: None
) -> TrainResult:
    """Trains the model to the plan's end; `progress` gets (tokens done, tokens in all)."""
    manifest = read_manifest(run)
    domains = read_held_out(manifest, settings.held_out_tokens)
    loader, folder = PlanLoader(plan, manifest), RunFolder(str(run))
    rank, num_ranks = join_processes(settings)
    batch = rows_per_step(plan, settings, num_ranks)
    num_steps = plan.num_rows // batch
    training = Training(
        shape=shape_of(settings.size, plan.vocab_size),
        num_steps=num_steps,
        sequence_length=plan.sequence_length,
        num_sequences=batch // num_ranks,
        num_micro_batches=settings.num_micro_batches,
        optimizer=settings.optimizer,
        end_of_document=plan.end_of_document if settings.document_masks else None,
        device=device_of(settings, rank),
        autocast=device_of(settings, rank) != "cpu",
    )
    replica = Replica(
        seed=settings.seed,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        clip=settings.clip,
        schedule=settings.schedule,
    )
    stack = StackedTraining(training, [replica], share=average if num_ranks > 1 else None)
    key = hash_json([plan.fingerprint, asdict(training) | {"device": "", "num_sequences": batch}, asdict(replica)])
    history = History.empty(num_steps, 1, 1, len(domains), training.device)
    checkpoint = f"trains/{settings.name}/checkpoint-{key}.safetensors"
    load_stack(folder, checkpoint, stack, history)
    if stack.step == 0:
        first = loader.rows(0, min(plan.num_rows, UNIGRAM_ROWS))[:, 1:]
        stack.start_at_unigram(np.bincount(first.ravel(), minlength=plan.vocab_size)[None])
    before, began, started = history.seconds, stack.step, time.monotonic()
    saved = started
    while stack.step < num_steps:
        start, stop = rank_slice(stack.step * batch, batch, rank, num_ranks)
        losses_R = stack.train_step(loader.rows(start, stop)[None])
        history.losses_SR[stack.step - 1] = losses_R
        fault_point("train:step")
        progress(stack.step * batch * plan.sequence_length, num_steps * batch * plan.sequence_length)
        now = time.monotonic()
        if rank == 0 and (now - saved >= settings.checkpoint_s or stack.step == num_steps):
            history.seconds = before + now - started
            save_stack(folder, checkpoint, stack, [key], history)
            saved = now
    seconds = time.monotonic() - started
    history.seconds = before + seconds
    rate = (stack.step - began) * batch * plan.sequence_length / seconds
    flops_per_token = training.shape.flops_per_token(plan.sequence_length)
    bits_K = measure(stack, domains, manifest.tokenizer)[0].tolist()
    result = TrainResult(
        size=settings.size,
        plan=plan.fingerprint,
        num_parameters=training.shape.num_parameters,
        steps=num_steps,
        tokens=num_steps * batch * plan.sequence_length,
        flops=num_steps * batch * plan.sequence_length * flops_per_token,
        seconds=history.seconds,
        tokens_per_s=rate,
        matmul_share=rate * flops_per_token / (num_ranks * matmul_flops_per_s(training.device)),
        bits_per_byte={domain.name: bits for domain, bits in zip(domains, bits_K, strict=True)},
        unigram={domain.name: domain.unigram_bits_per_byte for domain in domains},
    )
    if rank == 0:
        write_result(folder, f"trains/{settings.name}", stack, history, result, batch * plan.sequence_length)
    return result


def write_result(
    folder: RunFolder, path: str, stack: StackedTraining, history: History, result: TrainResult, tokens_per_step: int
) -> None:
    from safetensors.torch import save

    weights = {name: value.cpu().contiguous() for name, value in stack.parameters.items()}
    folder.put(f"{path}/model.safetensors", save(weights))
    points = curve(history.losses_SR[:, 0].cpu().numpy(), tokens_per_step)
    steps, tokens, bits = zip(*points, strict=True)
    table: Any = pa.table({"step": steps, "tokens": tokens, "bits_per_token": bits})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    folder.put(f"{path}/curve.parquet", sink.getvalue().to_pybytes())
    folder.put_json(f"{path}/result.json", {"format": 1, **asdict(result)})


def rows_per_step(plan: Plan, settings: TrainSettings, num_ranks: int) -> int:
    """Rows of the whole batch. Raises RequestError where they cannot be cut evenly."""
    length, parts = plan.sequence_length, num_ranks * settings.num_micro_batches
    batch = settings.tokens_per_step // length
    if settings.tokens_per_step % length or batch % parts or not batch:
        raise RequestError(
            f"tokens_per_step: {settings.tokens_per_step} is no whole number of sequences of {length} for each of "
            f"{num_ranks} processes x {settings.num_micro_batches} micro-batches. Take a multiple of {length * parts}."
        )
    if plan.num_rows < batch:
        raise RequestError(f"tokens_per_step: {settings.tokens_per_step} is more than the plan's {plan.num_tokens}.")
    return batch


def join_processes(settings: TrainSettings) -> tuple[int, int]:
    """(rank, processes) under torchrun; (0, 1) without."""
    num_ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if num_ranks == 1:
        return 0, 1
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo" if device_of(settings, 0) == "cpu" else "nccl")
    return torch.distributed.get_rank(), num_ranks


def average(tensors: Sequence[torch.Tensor]) -> None:
    """Each tensor's mean over all processes, in place."""
    for tensor in tensors:
        torch.distributed.all_reduce(tensor)
        tensor /= torch.distributed.get_world_size()


def device_of(settings: TrainSettings, rank: int) -> str:
    if settings.device != "auto":
        return settings.device
    return f"cuda:{int(os.environ.get('LOCAL_RANK', rank))}" if torch.cuda.is_available() else "cpu"


def matmul_flops_per_s(device: str) -> float:
    """What the device does on one large matrix product in the type that training uses: the measure of its work."""
    size, dtype = (1024, torch.float32) if device == "cpu" else (8192, torch.bfloat16)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def seconds() -> float:
        started = time.perf_counter()
        for _ in range(5):
            left @ right
        if device != "cpu":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    return 5 * 2 * size**3 / min(seconds() for _ in range(4))
