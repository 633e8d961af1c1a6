"""Trains a proxy for every mixture of a sweep, stacked, and writes what each lost on every held-out domain.

    sweeps/<name>/groups/<key>.safetensors   a stack in training: weights, moments, losses so far
    sweeps/<name>/groups/<key>.json          finished runs, or runs that halving stopped: their results
    sweeps/<name>/ledger.parquet             a row per run: mixture, ratios, bits per byte by domain, FLOPs, seconds
    sweeps/<name>/curves.parquet             training loss over time
    sweeps/<name>/evaluations.parquet        bits per byte by domain over time

A run's key is a hash of its plan, its settings and the code that trains it. Finished runs are not trained again, so a
sweep may be killed and started again, or be given more mixtures; a stack continues from its checkpoint bit for bit.
Runs use common random numbers: the same seed gives the same initial weights, and the n-th draw from a source is the
same row in every mixture, so differences between mixtures are paired. Memory bounds how many are stacked; the rest
follows in groups.

    ledger = run_swarm(run, SwarmSettings(tokens_per_run=100_000), mixtures, progress=bar)
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Rows
from corpusmill.mixtures.proxy.checkpoint import stacked_runs
from corpusmill.mixtures.proxy.device import chosen_device
from corpusmill.mixtures.proxy.held_out import read_held_out
from corpusmill.mixtures.proxy.ledger import RunResult, write_ledger
from corpusmill.mixtures.proxy.memory import num_replicas
from corpusmill.mixtures.proxy.spread import num_workers, train_all
from corpusmill.mixtures.proxy.stacked_training import Replica
from corpusmill.mixtures.proxy.swarm_settings import SwarmRun, SwarmSettings
from corpusmill.mixtures.proxy.swarm_stack import Stack
from corpusmill.mixtures.proxy.tasks import EncodedTask
from corpusmill.mixtures.sources import TokenManifest, read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import code_hash, hash_json, versions
from corpusmill.pipeline.run_folder import RunFolder

__all__ = ["SwarmRun", "SwarmSettings", "run_swarm"]

Progress = Callable[[int, int], None]
"""Called with (tokens trained, tokens in all); runs that were finished before count as trained."""

NUMERIC_MODULES = (
    *("transformer", "rms_norm", "attention", "cross_entropy", "optimizer_schedule", "optimizers", "stacked_training"),
    *("held_out", "evaluate", "tasks"),
)
"""The code that a run's result depends on."""

RESULT_SETTINGS = (
    *("size", "num_kv_heads", "tied", "sequence_length", "tokens_per_step", "optimizer", "document_masks"),
    *("held_out_tokens", "num_evaluations", "final_evaluations"),
)
"""What of the settings a run's result depends on, beside its plan and its replica."""


def run_swarm(
    run: Path,
    settings: SwarmSettings,
    mixtures: Sequence[SwarmMixture],
    progress: Progress = lambda done, total: None,
    tasks: Sequence[EncodedTask] = (),
) -> Path:
    """Trains what is not trained yet and returns the path of the ledger, which has a row per mixture, in order."""
    manifest = read_manifest(run)
    domains = read_held_out(manifest, settings.held_out_tokens)
    check_target(settings, [domain.name for domain in domains])
    swarm = Swarm(RunFolder(str(run)), settings, swarm_runs(manifest, settings, mixtures, tasks), tuple(tasks))
    swarm.train(progress, max_stacked(settings, manifest, num_workers(settings)))
    shape = settings.shape(manifest.tokenizer.vocab_size)
    results = [swarm.result(each) for each in swarm.runs]
    return write_ledger(swarm.folder, f"sweeps/{settings.name}", results, domains, shape)


class Swarm:
    """The runs of a sweep and the results that there are, by run key."""

    def __init__(
        self, folder: RunFolder, settings: SwarmSettings, runs: list[SwarmRun], tasks: tuple[EncodedTask, ...]
    ) -> None:
        self.folder, self.settings, self.runs, self.tasks = folder, settings, runs, tasks
        self.results = finished_results(folder, settings.name)

    def result(self, run: SwarmRun) -> RunResult:
        return self.results.get(run.key) or self.results[self.key_if_stopped(run)]

    def key_if_stopped(self, run: SwarmRun) -> str:
        """The key of its result where halving stops it: with other rounds it would have trained longer."""
        return hash_json([run.key, self.settings.halving])

    def waiting(self) -> list[SwarmRun]:
        known = self.results
        return [run for run in self.runs if run.key not in known and self.key_if_stopped(run) not in known]

    def train(self, progress: Progress, most: int) -> None:
        """All runs to their end, round by round where there is halving."""
        whole, runs = self.settings.num_tokens, self.waiting()
        counter = Counter(len(self.runs) * whole, (len(self.runs) - len(runs)) * whole, progress)
        done = counter.done
        for stop in [*self.settings.rounds(), self.settings.num_steps]:
            waiting, so_far = self.waiting(), []
            counter.restart(done + (len(runs) - len(waiting)) * whole)  # stacks report what their checkpoints hold
            for results in train_all(self.stacks(waiting, stop, most), self.settings, counter.add):
                so_far += results
            if stop == self.settings.num_steps:
                self.results.update((result.key, result) for result in so_far)
            else:
                self.stop_the_worse({result.key: result for result in so_far}, stop)
        mine = {run.key for run in self.runs}
        for path, keys in self.checkpoints().items():  # of stacks that were stopped as a whole
            if set(keys) <= mine:
                self.folder.remove(path)

    def stop_the_worse(self, so_far: dict[str, RunResult], stop: int) -> None:
        """Writes down the runs that a round stops. Those with a result from before are ranked with the others."""
        assert self.settings.halving is not None
        losses = {}
        for run in self.runs:
            found = so_far.get(run.key) or self.result(run)
            at = {step: bits for step, _, bits in found.evaluations}
            if stop in at:
                losses[run.key] = self.settings.halving.loss(at[stop])
        stopped = self.settings.halving.stopped(losses)
        gone = [(run, so_far[run.key]) for run in self.runs if run.key in stopped and run.key in so_far]
        facts = [asdict(result) | {"key": self.key_if_stopped(run)} for run, result in gone]
        if facts:
            name = hash_json([each["key"] for each in facts])
            self.folder.put_json(f"sweeps/{self.settings.name}/groups/{name}.json", facts)
        self.results.update((each["key"], RunResult.from_json(each)) for each in facts)

    def checkpoints(self) -> dict[str, list[str]]:
        """The stacks in training and the keys of their runs."""
        names = list(self.folder.names(f"sweeps/{self.settings.name}/groups"))
        return {path: stacked_runs(self.folder, path) for path in names if path.endswith(".safetensors")}

    def stacks(self, waiting: Sequence[SwarmRun], stop: int, most: int) -> list[Stack]:
        """The stacks to train: those that have a checkpoint, without runs that were stopped; all others in new ones."""
        left = {each.key: each for each in waiting}
        stored = self.checkpoints()
        made = []
        for path in sorted(stored, key=lambda path: len(stored[path])):  # a kill may leave a stack before and after
            runs = tuple(left.pop(key) for key in stored[path] if key in left)
            if runs:
                made.append(Stack(self.folder.url, self.settings, runs, stop, path, self.tasks))
        for group in groups(list(left.values()), most, num_workers(self.settings)):
            made.append(Stack(self.folder.url, self.settings, tuple(group), stop, None, self.tasks))
        return made


def swarm_runs(
    manifest: TokenManifest,
    settings: SwarmSettings,
    mixtures: Sequence[SwarmMixture],
    tasks: Sequence[EncodedTask] = (),
) -> list[SwarmRun]:
    """A run for each mixture and learning rate, with its plan and key.

    With several learning rates a run is named `mixture@rate`; all train on the same rows in the same order. Raises
    RequestError where a mixture is impossible.
    """
    names = [mixture.name for mixture in mixtures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RequestError(f"sweep: mixture {twice[0]} is there twice; give each a name of its own.")
    shared = {
        "settings": {name: getattr(settings, name) for name in RESULT_SETTINGS} | {"steps": settings.num_steps},
        "held_out": {name: source.fingerprint for name, source in manifest.held_out.items()},
        "tasks": hash_json(tasks),
        "device": chosen_device(settings.device).split(":")[0],
        "code": code_hash(*(f"corpusmill.mixtures.proxy.{module}" for module in NUMERIC_MODULES)),
        "versions": versions(["torch", "numpy"]),
    }
    runs = []
    for mixture in mixtures:
        weights = {name: ratio for name, ratio in mixture.ratios.items() if ratio > 0}
        length = settings.sequence_length
        wanted = Mixture(tokens=settings.num_tokens, sequence_length=length, weights=weights, seed=mixture.seed)
        plan = make_plan(manifest, wanted, matched_rows(manifest, settings, weights))
        for rate in settings.learning_rates or (settings.learning_rate,):
            replica = Replica(
                seed=mixture.seed,
                learning_rate=rate,
                weight_decay=settings.weight_decay,
                clip=settings.clip,
                schedule=settings.schedule,
            )
            name = f"{mixture.name}@{rate:g}" if settings.learning_rates else mixture.name
            key = hash_json(shared | {"plan": plan.fingerprint, "replica": asdict(replica)})
            runs.append(SwarmRun(name, mixture, replica, plan, key))
    return runs


def matched_rows(manifest: TokenManifest, settings: SwarmSettings, weights: dict[str, float]) -> dict[str, Rows]:
    """How many rows of each source proxies draw from: so few that they see it as often as the target run will.

    A source of n tokens that the target run of B tokens draws with ratio r is seen r B / n times; a proxy of b tokens
    sees the first n b / B of its tokens r b / (n b / B) times, which is the same. The first rows are a fair sample:
    shards are in the order of a hash. Raises RequestError for a source of which less than a row would be left.
    """
    if settings.target_tokens is None:
        return {}
    rows = {}
    for name in weights:
        whole = manifest.sources[name].num_rows(settings.sequence_length)
        kept = whole * settings.num_tokens // settings.target_tokens
        if not kept:
            least = -(-settings.target_tokens // max(whole, 1))
            raise RequestError(
                f"sweep.target_tokens: of {name}, with {manifest.sources[name].num_tokens} tokens, proxies of "
                f"{settings.tokens_per_run} tokens would see less than a sequence. Give them at least {least} tokens "
                "each, or leave target_tokens out."
            )
        rows[name] = Rows(kept, kept * settings.sequence_length)
    return rows


def check_target(settings: SwarmSettings, domains: Sequence[str]) -> None:
    """Raises RequestError where halving ranks by a domain that there is not."""
    for name in settings.halving.target if settings.halving else ():
        if name not in domains:
            known = ", ".join(domains)
            raise RequestError(f"sweep.halving.target.{name}: no such held-out domain. There are: {known}.")


def finished_results(folder: RunFolder, name: str) -> dict[str, RunResult]:
    """The results of every finished or stopped run of a sweep, by their key."""
    found = [path for path in folder.names(f"sweeps/{name}/groups") if path.endswith(".json")]
    results = [RunResult.from_json(facts) for path in found for facts in folder.read_json(path)]
    return {result.key: result for result in results}


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

    def restart(self, done: int) -> None:
        self.done = done

    def add(self, tokens: int) -> None:
        with self.lock:
            self.done += tokens
            self.progress(self.done, self.total)


def max_stacked(settings: SwarmSettings, manifest: TokenManifest, workers: int) -> int:
    """How many models fit at once: weights, gradients and moments, and the activations of one step."""
    if settings.max_stacked is not None:
        return max(1, settings.max_stacked)
    shape, device = settings.shape(manifest.tokenizer.vocab_size), chosen_device(settings.device)
    most = num_replicas(shape, settings.tokens_per_step, device, settings.replicas_at_once)
    return max(1, most // workers) if device == "cpu" else most
