"""Trains a proxy for every mixture of a sweep, stacked, and writes what each lost on every held-out domain.

    sweeps/<name>/groups/<key>.safetensors   a stack in training: weights, moments, losses so far
    sweeps/<name>/groups/<key>.json          a finished stack: the results of its runs
    sweeps/<name>/ledger.parquet             a row per run: mixture, ratios, bits per byte by domain, FLOPs, seconds
    sweeps/<name>/curves.parquet             training loss over time: run, step, tokens, bits_per_token

A run's key is a hash of its plan, its settings and the code that trains it. Finished runs are not trained again, so a
sweep may be killed and started again, or be given more mixtures; a stack continues from its checkpoint bit for bit.
Runs use common random numbers: the same seed gives the same initial weights, and the same order of rows within each
source, so differences between mixtures are paired. Memory bounds how many are stacked; the rest follows in groups.

    ledger = run_swarm(run, SwarmSettings(tokens_per_run=100_000), mixtures, progress=bar)
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.proxy.checkpoint import load_stack, save_stack, stacked_runs
from corpusmill.mixtures.proxy.evaluate import bits_per_byte
from corpusmill.mixtures.proxy.held_out import Domain, read_held_out
from corpusmill.mixtures.proxy.ledger import RunResult, write_ledger
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.transformer import Shape, shape_of
from corpusmill.mixtures.sources import TokenManifest, read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.faults import fault_point
from corpusmill.pipeline.fingerprint import code_hash, hash_json, versions
from corpusmill.pipeline.run_folder import RunFolder

Progress = Callable[[int, int], None]
"""Called with (tokens trained, tokens in all); runs that were finished before count as trained."""

UNIGRAM_TOKENS = 1 << 20  # of a run's first tokens, counted for the head's bias
ROWS_BYTES = 1 << 26  # token rows held in memory at a time
CURVE_POINTS = 50
NUMERIC_MODULES = (
    "transformer",
    "rms_norm",
    "cross_entropy",
    "optimizer_schedule",
    "optimizers",
    "stacked_training",
    "evaluate",
)


class Rows(Protocol):
    """What a proxy is trained on: rows [n, T + 1] of token ids at positions [start, stop)."""

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, kw_only=True)
class SwarmSettings:
    """What all runs of a sweep share."""

    tokens_per_run: int
    name: str = "main"
    size: str = "30k"
    sequence_length: int = 128
    tokens_per_step: int = 512
    learning_rate: float = 0.01
    weight_decay: float = 0.1
    clip: float = 1.0
    schedule: LearningRateSchedule = field(default_factory=LearningRateSchedule)
    held_out_tokens: int = 20_000  # of each domain
    max_stacked: int | None = None  # models trained at once; None: as many as memory holds
    checkpoint_s: float = 60.0  # seconds of training that a kill may lose
    device: str = "auto"  # cuda where there is one, else cpu
    num_workers: int | None = None  # stacks trained side by side, a core each; None: one a core, or one on a GPU

    def __post_init__(self) -> None:
        if self.tokens_per_step % self.sequence_length:
            raise RequestError(
                f"sweep.tokens_per_step: {self.tokens_per_step} is no multiple of "
                f"sequence_length {self.sequence_length}."
            )
        if self.tokens_per_run < self.tokens_per_step:
            raise RequestError(
                f"sweep.tokens_per_run: {self.tokens_per_run} is less than one step of {self.tokens_per_step} tokens."
            )

    @property
    def num_steps(self) -> int:
        return -(-self.tokens_per_run // self.tokens_per_step)

    @property
    def num_sequences(self) -> int:
        return self.tokens_per_step // self.sequence_length

    @property
    def num_tokens(self) -> int:
        """Tokens of a run: whole steps."""
        return self.num_steps * self.tokens_per_step


@dataclass(frozen=True)
class SwarmRun:
    """One proxy to train."""

    name: str
    mixture: SwarmMixture
    replica: Replica
    plan: Plan
    key: str


def run_swarm(
    run: Path,
    settings: SwarmSettings,
    mixtures: Sequence[SwarmMixture],
    progress: Progress = lambda done, total: None,
) -> Path:
    """Trains what is not trained yet and returns the path of the ledger, which has a row per mixture, in order."""
    manifest = read_manifest(run)
    domains = read_held_out(manifest, settings.held_out_tokens)
    runs = swarm_runs(manifest, settings, mixtures)
    folder = RunFolder(str(run))
    results = finished_results(folder, settings.name)
    waiting = [each for each in runs if each.key not in results]
    counter = Counter(len(runs) * settings.num_tokens, (len(runs) - len(waiting)) * settings.num_tokens, progress)
    workers = num_workers(settings)
    most = max_stacked(settings, manifest, workers)

    def train(group: Sequence[SwarmRun]) -> list[RunResult]:
        loaders = [PlanLoader(each.plan, manifest) for each in group]
        return train_group(folder, settings, group, loaders, domains, manifest, counter.add)

    with ThreadPoolExecutor(workers, initializer=one_thread) as pool:
        for group_results in pool.map(train, stacks(folder, settings.name, waiting, most, workers)):
            results.update((result.key, result) for result in group_results)
    shape = shape_of(settings.size, manifest.tokenizer.vocab_size)
    return write_ledger(folder, f"sweeps/{settings.name}", [results[each.key] for each in runs], domains, shape)


def swarm_runs(manifest: TokenManifest, settings: SwarmSettings, mixtures: Sequence[SwarmMixture]) -> list[SwarmRun]:
    """A run for each mixture, with its plan and key. Raises RequestError where a mixture is impossible."""
    names = [mixture.name for mixture in mixtures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RequestError(f"sweep: mixture {twice[0]} is there twice; give each a name of its own.")
    runs = []
    for mixture in mixtures:
        weights = {name: ratio for name, ratio in mixture.ratios.items() if ratio > 0}
        length = settings.sequence_length
        wanted = Mixture(tokens=settings.num_tokens, sequence_length=length, weights=weights, seed=mixture.seed)
        plan = make_plan(manifest, wanted)
        replica = Replica(
            seed=mixture.seed,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            clip=settings.clip,
            schedule=settings.schedule,
        )
        facts = {
            "plan": plan.fingerprint,
            "replica": asdict(replica),
            "training": [settings.size, settings.num_steps, length, settings.tokens_per_step, settings.held_out_tokens],
            "held_out": {name: source.fingerprint for name, source in manifest.held_out.items()},
            "device": device_of(settings).split(":")[0],
            "code": code_hash(*(f"corpusmill.mixtures.proxy.{module}" for module in NUMERIC_MODULES)),
            "versions": versions(["torch", "numpy"]),
        }
        runs.append(SwarmRun(mixture.name, mixture, replica, plan, hash_json(facts)))
    return runs


def train_group(
    folder: RunFolder,
    settings: SwarmSettings,
    group: Sequence[SwarmRun],
    loaders: Sequence[Rows],
    domains: Sequence[Domain],
    manifest: TokenManifest,
    progress: Callable[[int], None],
) -> list[RunResult]:
    """Trains one stack from its checkpoint or its start, measures it, and commits the results of its runs."""
    key = hash_json([each.key for each in group])
    path = f"sweeps/{settings.name}/groups/{key}"
    shape = shape_of(settings.size, manifest.tokenizer.vocab_size)
    training = Training(
        shape=shape,
        num_steps=settings.num_steps,
        sequence_length=settings.sequence_length,
        num_sequences=settings.num_sequences,
        device=device_of(settings),
        autocast=device_of(settings) != "cpu",
    )
    stack = StackedTraining(training, [each.replica for each in group])
    losses_SR = np.full((settings.num_steps, len(group)), np.nan, dtype=np.float32)
    seconds = load_stack(folder, f"{path}.safetensors", stack, losses_SR)
    if stack.step == 0:
        stack.start_at_unigram(np.stack([first_counts(loader, settings, shape) for loader in loaders]))
    started = saved = time.monotonic()
    for step, rows_RBT in steps(loaders, settings, stack.step):
        losses_SR[step] = stack.train_step(rows_RBT).float().cpu().numpy()
        fault_point("sweep:step")
        progress(len(group) * settings.tokens_per_step)
        now = time.monotonic()
        if now - saved >= settings.checkpoint_s or step + 1 == settings.num_steps:
            keys = [each.key for each in group]
            save_stack(folder, f"{path}.safetensors", stack, keys, losses_SR, seconds + now - started)
            saved = now
            fault_point("sweep:checkpoint")
    seconds += time.monotonic() - started
    measured_RK = bits_per_byte(
        stack.parameters,
        shape,
        domains,
        sequence_length=settings.sequence_length,
        end_of_document=manifest.tokenizer.end_of_document,
        autocast=training.autocast,
    )
    results = [
        RunResult(
            key=each.key,
            run=each.name,
            mixture=each.mixture.name,
            seed=each.mixture.seed,
            learning_rate=each.replica.learning_rate,
            size=settings.size,
            plan=each.plan.fingerprint,
            tokens=settings.num_tokens,
            steps=settings.num_steps,
            flops=shape.flops_per_token(settings.sequence_length) * settings.num_tokens,
            seconds=seconds / len(group),
            ratios={name: rows / each.plan.num_rows for name, rows in each.plan.rows_by_source().items()},
            bits_per_byte={domain.name: float(bits) for domain, bits in zip(domains, bits_K, strict=True)},
            curve=curve(losses_S, settings.tokens_per_step),
        )
        for each, bits_K, losses_S in zip(group, measured_RK, losses_SR.T, strict=True)
    ]
    folder.put_json(f"{path}.json", [asdict(result) for result in results])
    fault_point("sweep:results")
    folder.remove(f"{path}.safetensors")
    return results


def finished_results(folder: RunFolder, name: str) -> dict[str, RunResult]:
    """The results of every finished stack of a sweep, by the key of the run."""
    found = [path for path in folder.names(f"sweeps/{name}/groups") if path.endswith(".json")]
    results = [RunResult.from_json(facts) for path in found for facts in folder.read_json(path)]
    return {result.key: result for result in results}


def stacks(
    folder: RunFolder, name: str, waiting: Sequence[SwarmRun], most: int, workers: int
) -> Iterator[Sequence[SwarmRun]]:
    """The stacks to train: those that have a checkpoint as they were, then all other runs in new ones."""
    left = {each.key: each for each in waiting}
    for path in folder.names(f"sweeps/{name}/groups"):
        keys = stacked_runs(folder, path) if path.endswith(".safetensors") else []
        if keys and all(key in left for key in keys):
            yield [left.pop(key) for key in keys]
    yield from groups(list(left.values()), most, workers)


def groups(runs: Sequence[SwarmRun], most: int, workers: int) -> Iterator[Sequence[SwarmRun]]:
    """Runs in order, in stacks of about equal size, at most `most` each, and no worker without one."""
    num_groups = max(-(-len(runs) // most), min(workers, len(runs)))
    for number in range(num_groups):
        yield runs[number * len(runs) // num_groups : (number + 1) * len(runs) // num_groups]


def steps(loaders: Sequence[Rows], settings: SwarmSettings, first: int) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """(step, rows [R, B, T + 1]) from step `first` on; rows are read many steps at a time."""
    batch = settings.num_sequences
    row_bytes = len(loaders) * batch * (settings.sequence_length + 1) * 8
    many = max(1, ROWS_BYTES // row_bytes)
    for start in range(first, settings.num_steps, many):
        stop = min(settings.num_steps, start + many)
        rows = np.stack([loader.rows(start * batch, stop * batch) for loader in loaders])
        for step in range(start, stop):
            yield step, rows[:, (step - start) * batch : (step - start + 1) * batch]


def first_counts(loader: Rows, settings: SwarmSettings, shape: Shape) -> npt.NDArray[np.int64]:
    """How often each token is a target in the first rows that the run trains on, [V]."""
    num_rows = min(settings.num_steps * settings.num_sequences, -(-UNIGRAM_TOKENS // settings.sequence_length))
    return np.bincount(loader.rows(0, num_rows)[:, 1:].ravel(), minlength=shape.vocab_size)


def curve(losses_S: npt.NDArray[np.float32], tokens_per_step: int) -> list[tuple[int, int, float]]:
    """(step, tokens, mean bits a token since the last point) at about 50 points."""
    edges = np.unique(np.linspace(0, len(losses_S), CURVE_POINTS + 1).astype(int))
    return [
        (stop, stop * tokens_per_step, float(losses_S[start:stop].mean(dtype=np.float64) / np.log(2)))
        for start, stop in pairwise(edges.tolist())
    ]


@dataclass
class Counter:
    """Adds up what the workers have trained."""

    total: int
    done: int
    progress: Progress
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.progress(self.done, self.total)

    def add(self, tokens: int) -> None:
        with self.lock:
            self.done += tokens
            self.progress(self.done, self.total)


def num_workers(settings: SwarmSettings) -> int:
    """On the CPU a stack per core, each with one thread: tiny products do not split well, and threads of OpenMP that
    wait for each other on a shared machine cost ten times more than they bring (measured with a load of 5 on 2 cores).
    """
    if settings.num_workers is not None:
        return max(1, settings.num_workers)
    return len(os.sched_getaffinity(0)) if device_of(settings) == "cpu" else 1


def one_thread() -> None:
    """OpenMP counts per thread: this worker computes alone, whatever the others do."""
    torch.set_num_threads(1)


def max_stacked(settings: SwarmSettings, manifest: TokenManifest, workers: int) -> int:
    """How many models fit: weights, gradients and moments, and the activations of one step."""
    if settings.max_stacked is not None:
        return max(1, settings.max_stacked)
    shape = shape_of(settings.size, manifest.tokenizer.vocab_size)
    a_token = shape.num_layers * (24 * shape.width + 8 * shape.ff_width) + 8 * shape.width
    each = 24 * shape.num_parameters + 4 * a_token * settings.tokens_per_step
    device = device_of(settings)
    free = CPU_BYTES if device == "cpu" else torch.cuda.mem_get_info(device)[0] * 7 // 10
    return int(max(1, free // each // workers))


CPU_BYTES = 2 << 30


def device_of(settings: SwarmSettings) -> str:
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"
