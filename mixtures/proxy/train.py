"""One model trained on a plan, as any trainer would: the whole plan in order, in one process or several (torchrun).

    trains/<name>/checkpoint-<key>.safetensors   weights, moments, losses so far
    trains/<name>/model.safetensors              the finished weights, each [1, ...] as in `transformer.py`
    trains/<name>/curve.parquet                  step, tokens, bits_per_token
    trains/<name>/result.json                    bits per byte by domain, tasks, tokens a second, MFU

Under torchrun every process takes its slice of each batch and gradients are averaged, so any number of processes that
divides the batch trains the same model but for rounding. It resumes from its checkpoint as a swarm does. A phase's
learning rate is a factor on the schedule; packed plans train on their bins, padding without loss.

    result = train_plan(run, plan, TrainSettings(size="1M"), progress=bar)
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mixtures.loader import PlanLoader, rank_slice
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.proxy.checkpoint import History, load_stack, save_stack
from corpusmill.mixtures.proxy.device import chosen_device, matmul_flops_per_s, wait_for
from corpusmill.mixtures.proxy.held_out import read_held_out
from corpusmill.mixtures.proxy.memory import num_micro_batches
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.processes import average, join_processes
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.swarm_stack import curve, measure
from corpusmill.mixtures.proxy.tasks import EncodedTask, TaskScores, score_task
from corpusmill.mixtures.proxy.transformer import shape_of
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.faults import fault_point
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.settings import check_name

UNIGRAM_ROWS = 1 << 10
RATE_PIECES = 200


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """`tokens_per_step` is the whole batch's, over all processes; None: by `step_law`, rounded to whole sequences."""

    name: str = "main"
    size: str = "124M"
    num_kv_heads: int = 0  # fewer key-value heads than heads
    tied: bool = True  # the head shares the embedding
    tokens_per_step: int | None = None
    num_micro_batches: int | None = None  # None: as few as memory allows
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
    deterministic: bool = False

    def __post_init__(self) -> None:
        check_name("--name", self.name)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What is written to result.json. `mfu`: FLOPs of training a second / those of a bare matrix product."""

    size: str
    plan: str
    num_parameters: int
    num_processes: int
    steps: int
    tokens: int
    tokens_per_step: int
    flops: int
    seconds: float
    tokens_per_s: float  # since this process started, checkpoints included, measuring not
    matmul_flops_per_s: float
    mfu: float
    bits_per_byte: dict[str, float]
    unigram: dict[str, float]
    tasks: dict[str, TaskScores]


@dataclass(frozen=True)
class Pace:
    """How far training is: tokens done and in all, tokens a second and MFU since this process started."""

    done: int
    total: int
    tokens_per_s: float
    mfu: float


def train_plan(
    run: Path,
    plan: Plan,
    settings: TrainSettings,
    progress: Callable[[Pace], None] = lambda pace: None,
    tasks: Sequence[EncodedTask] = (),
) -> TrainResult:
    """Trains the model to the plan's end."""
    manifest = read_manifest(run)
    domains = read_held_out(manifest, settings.held_out_tokens)
    loader, folder = PlanLoader(plan, manifest), RunFolder(str(run))
    rank, num_ranks = join_processes(settings.device)
    batch = rows_per_step(plan, settings, num_ranks)
    training = training_of(plan, settings, batch, num_ranks, chosen_device(settings.device, rank))
    replica = replica_of(plan, settings, batch)
    stack = StackedTraining(training, [replica], share=average if num_ranks > 1 else None)
    key = key_of(plan, training, replica, batch)
    history = History.empty(training.num_steps, 1, 1, len(domains), training.device)
    checkpoint = f"trains/{settings.name}/checkpoint-{key}.safetensors"
    load_stack(folder, checkpoint, stack, history)
    if stack.step == 0:
        stack.start_at_unigram(first_counts(loader)[None])
    watch = StopWatch(training, batch, num_ranks, stack.step)
    before, saved = float(history.seconds_R[0]), watch.started
    while stack.step < training.num_steps:
        start, stop = rank_slice(stack.step * batch, batch, rank, num_ranks)
        losses_R = stack.train_step(training_rows(loader, start, stop)[None])
        history.losses_SR[stack.step - 1] = losses_R
        fault_point("train:step")
        if last := stack.step == training.num_steps:
            wait_for(training.device)
        progress(watch.pace(stack.step))
        if rank == 0 and (time.monotonic() - saved >= settings.checkpoint_s or last):
            history.seconds_R[0] = before + watch.seconds
            save_stack(folder, checkpoint, stack, [key], history)
            saved = time.monotonic()
    seconds, pace, shape = before + watch.seconds, watch.pace(stack.step), training.shape
    bits_K = measure(stack, domains, manifest.tokenizer)[0].tolist()
    result = TrainResult(
        size=settings.size,
        plan=plan.fingerprint,
        num_parameters=shape.num_parameters,
        num_processes=num_ranks,
        steps=training.num_steps,
        tokens=pace.total,
        tokens_per_step=watch.tokens_per_step,
        flops=pace.total * watch.flops_per_token,
        seconds=seconds,
        tokens_per_s=pace.tokens_per_s,
        matmul_flops_per_s=watch.matmul_flops_per_s,
        mfu=pace.mfu,
        bits_per_byte={domain.name: bits for domain, bits in zip(domains, bits_K, strict=True)},
        unigram={domain.name: domain.unigram_bits_per_byte for domain in domains},
        tasks={task.name: score_task(stack.parameters, shape, task, bfloat16=training.bfloat16)[0] for task in tasks},
    )
    if rank == 0:
        write_result(folder, f"trains/{settings.name}", stack, history, result)
    return result


def training_of(plan: Plan, settings: TrainSettings, batch: int, num_ranks: int, device: str) -> Training:
    """How this process trains on the plan; `batch` is rows a step of all processes."""
    mine = batch // num_ranks
    shape = shape_of(settings.size, plan.vocab_size, settings.num_kv_heads, settings.tied)
    fewest = num_micro_batches(shape, mine, plan.sequence_length, device)
    return Training(
        shape=shape,
        num_steps=plan.num_rows // batch,
        sequence_length=plan.sequence_length,
        num_sequences=mine,
        num_micro_batches=settings.num_micro_batches or fewest,
        optimizer=settings.optimizer,
        end_of_document=plan.end_of_document if settings.document_masks else None,
        device=device,
        bfloat16=device != "cpu",
        fuse=device != "cpu",
        deterministic=settings.deterministic,
    )


def key_of(plan: Plan, training: Training, replica: Replica, batch: int) -> str:
    """Names what training depends on, but for the number of processes and their devices."""
    shared = asdict(training) | {"device": "", "num_sequences": batch, "num_micro_batches": 0}
    return hash_json([plan.fingerprint, shared, asdict(replica)])


def replica_of(plan: Plan, settings: TrainSettings, batch: int) -> Replica:
    """The one model; `batch` is rows a step."""
    return Replica(
        seed=settings.seed,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        clip=settings.clip,
        schedule=settings.schedule,
        rate_changes=rate_changes(plan, batch),
    )


class StopWatch:
    """Measures the rate of training since this process began, at step `began`, and what the device could do."""

    def __init__(self, training: Training, batch: int, num_ranks: int, began: int) -> None:
        self.tokens_per_step = batch * training.sequence_length
        self.num_tokens = training.num_steps * self.tokens_per_step
        self.flops_per_token = training.shape.flops_per_token(training.sequence_length)
        self.matmul_flops_per_s = num_ranks * matmul_flops_per_s(training.device)
        self.began, self.started = began, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def pace(self, step: int) -> Pace:
        """After `step` steps of the training."""
        rate = (step - self.began) * self.tokens_per_step / self.seconds
        mfu = rate * self.flops_per_token / self.matmul_flops_per_s
        return Pace(step * self.tokens_per_step, self.num_tokens, rate, mfu)


def rate_changes(plan: Plan, batch: int) -> tuple[tuple[int, float], ...]:
    """Where phases with a learning rate of their own begin, in steps; one that moves is followed in RATE_PIECES pieces.

    Raises RequestError for shorter sequences.
    """
    changes, position = [], plan.first_position
    for phase in plan.phases:
        if phase.sequence_length != plan.sequence_length:
            raise RequestError(
                f"plan: phase {phase.name} has sequences of {phase.sequence_length}, others of {plan.sequence_length}: "
                "train reads sequences of one length. Make a plan of one."
            )
        first, last = phase.learning_rate or (1.0, 1.0)
        rows = phase.segment.rows
        pieces = 1 if first == last else min(RATE_PIECES, -(-rows // batch))
        changes += [
            (-(-(position + rows * piece // pieces) // batch), first + (last - first) * (piece + 0.5) / pieces)
            for piece in range(pieces)
        ]
        position += rows
    return () if all(factor == 1.0 for _, factor in changes) else tuple(changes)


def first_counts(loader: PlanLoader) -> npt.NDArray[np.int64]:
    """How often each token is a target in the first rows, [V]."""
    plan = loader.plan
    rows = training_rows(loader, 0, min(plan.num_rows, UNIGRAM_ROWS))
    return np.bincount(rows[:, -plan.sequence_length :].clip(0).ravel(), minlength=plan.vocab_size)


def training_rows(loader: PlanLoader, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Positions [start, stop) as rows [n, T + 1]; of a plan with packing or documents taken out as inputs and targets
    side by side, [n, 2 T]."""
    if loader.plan.excluded or any(source.packing for source in loader.plan.sources):
        return np.concatenate(loader.pairs(start, stop), axis=1)
    return loader.rows(start, stop)


def write_result(folder: RunFolder, path: str, stack: StackedTraining, history: History, result: TrainResult) -> None:
    from safetensors.torch import save

    weights = {name: value.cpu().contiguous() for name, value in stack.parameters.items()}
    folder.put(f"{path}/model.safetensors", save(weights))
    points = curve(history.losses_SR[:, 0].cpu().numpy(), result.tokens_per_step)
    steps, tokens, bits = zip(*points, strict=True)
    table: Any = pa.table({"step": steps, "tokens": tokens, "bits_per_token": bits})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    folder.put(f"{path}/curve.parquet", sink.getvalue().to_pybytes())
    folder.put_json(f"{path}/result.json", {"format": 1, **asdict(result)})


def rows_per_step(plan: Plan, settings: TrainSettings, num_ranks: int) -> int:
    """Rows of the whole batch. Raises RequestError where they cannot be cut evenly."""
    length, parts = plan.sequence_length, num_ranks * (settings.num_micro_batches or 1)
    if settings.tokens_per_step is None:
        batch = max(1, round(step_law(plan.num_tokens) / (length * parts))) * parts
        return max(parts, min(batch, plan.num_rows // parts * parts))
    batch = settings.tokens_per_step // length
    if settings.tokens_per_step % length or batch % parts or not batch:
        raise RequestError(
            f"tokens_per_step: {settings.tokens_per_step} is no whole number of sequences of {length} for each of "
            f"{num_ranks} processes x {settings.num_micro_batches or 1} micro-batches. "
            f"Take a multiple of {length * parts}."
        )
    if plan.num_rows < batch:
        raise RequestError(f"tokens_per_step: {settings.tokens_per_step} is more than the plan's {plan.num_tokens}.")
    return batch


def step_law(num_tokens: int) -> float:
    """A good batch in tokens for a training of `num_tokens`: 0.58 D^0.571 (Li et al. 2025, Step Law, eq. 1)."""
    return 0.58 * math.pow(num_tokens, 0.571)
