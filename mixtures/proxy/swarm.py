"""Trains a proxy for every mixture of a sweep, stacked, and writes what each lost on every held-out domain.

    sweeps/<name>/groups/<key>.safetensors   a stack in training: weights, moments, losses so far
    sweeps/<name>/groups/<key>.json          a finished stack: the results of its runs
    sweeps/<name>/ledger.parquet             a row per run: mixture, ratios, bits per byte by domain, FLOPs, seconds
    sweeps/<name>/curves.parquet             training loss over time
    sweeps/<name>/evaluations.parquet        bits per byte by domain over time

A run's key is a hash of its plan, its settings and the code that trains it. Finished runs are not trained again, so a
sweep may be killed and started again, or be given more mixtures; a stack continues from its checkpoint bit for bit.
Runs use common random numbers: the same seed gives the same initial weights, and the same order of rows within each
source, so differences between mixtures are paired. Memory bounds how many are stacked; the rest follows in groups.

    ledger = run_swarm(run, SwarmSettings(tokens_per_run=100_000), mixtures, progress=bar)
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.proxy.checkpoint import stacked_runs
from corpusmill.mixtures.proxy.held_out import read_held_out
from corpusmill.mixtures.proxy.ledger import RunResult, write_ledger
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.stacked_training import Replica
from corpusmill.mixtures.proxy.swarm_settings import SwarmRun, SwarmSettings, device_of
from corpusmill.mixtures.proxy.swarm_stack import finished_results, train_stack
from corpusmill.mixtures.proxy.transformer import shape_of
from corpusmill.mixtures.sources import TokenManifest, read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import code_hash, hash_json, versions
from corpusmill.pipeline.run_folder import RunFolder

__all__ = ["SwarmRun", "SwarmSettings", "run_swarm"]

Progress = Callable[[int, int], None]
"""Called with (tokens trained, tokens in all); runs that were finished before count as trained."""

NUMERIC_MODULES = (
    *("transformer", "rms_norm", "cross_entropy", "optimizer_schedule", "optimizers", "stacked_training"),
    *("held_out", "evaluate"),
)
"""The code that a run's result depends on."""

RESULT_SETTINGS = (
    *("size", "sequence_length", "tokens_per_step", "optimizer", "document_masks", "held_out_tokens"),
    *("num_evaluations",),
)
"""What of the settings a run's result depends on, beside its plan and its replica."""


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
        return train_stack(folder, settings, group, loaders, domains, manifest.tokenizer, counter.add)

    with ThreadPoolExecutor(workers, initializer=one_thread) as pool:
        for group_results in pool.map(train, stacks(folder, settings.name, waiting, most, workers)):
            results.update((result.key, result) for result in group_results)
    shape = shape_of(settings.size, manifest.tokenizer.vocab_size)
    return write_ledger(folder, f"sweeps/{settings.name}", [results[each.key] for each in runs], domains, shape)


def swarm_runs(manifest: TokenManifest, settings: SwarmSettings, mixtures: Sequence[SwarmMixture]) -> list[SwarmRun]:
    """A run for each mixture and learning rate, with its plan and key.

    With several learning rates a run is named `mixture@rate`; all train on the same rows in the same order. Raises
    RequestError where a mixture is impossible.
    """
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
        facts = {
            "plan": plan.fingerprint,
            "settings": {name: getattr(settings, name) for name in RESULT_SETTINGS} | {"steps": settings.num_steps},
            "held_out": {name: source.fingerprint for name, source in manifest.held_out.items()},
            "device": device_of(settings).split(":")[0],
            "code": code_hash(*(f"corpusmill.mixtures.proxy.{module}" for module in NUMERIC_MODULES)),
            "versions": versions(["torch", "numpy"]),
        }
        for rate in settings.learning_rates or (settings.learning_rate,):
            replica = Replica(
                seed=mixture.seed,
                learning_rate=rate,
                weight_decay=settings.weight_decay,
                clip=settings.clip,
                schedule=settings.schedule,
            )
            name = f"{mixture.name}@{rate:g}" if settings.learning_rates else mixture.name
            runs.append(SwarmRun(name, mixture, replica, plan, hash_json(facts | {"replica": asdict(replica)})))
    return runs


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
