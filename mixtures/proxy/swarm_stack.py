"""Trains one stack of a swarm, from its checkpoint or its start to its end or the end of a round of halving.

A stack is told by what it is made of, so that any process can train it: this one, another, or one on another machine
that sees the run folder.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.proxy.checkpoint import History, load_stack, save_stack
from corpusmill.mixtures.proxy.evaluate import bits_per_byte
from corpusmill.mixtures.proxy.held_out import Domain, read_held_out
from corpusmill.mixtures.proxy.ledger import RunResult
from corpusmill.mixtures.proxy.stacked_training import StackedTraining
from corpusmill.mixtures.proxy.step_rows import Rows, step_rows
from corpusmill.mixtures.proxy.swarm_settings import SwarmRun, SwarmSettings
from corpusmill.mixtures.proxy.tasks import EncodedTask, score_task
from corpusmill.mixtures.sources import Tokenizer, read_manifest
from corpusmill.pipeline.faults import fault_point
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.pipeline.run_folder import RunFolder

UNIGRAM_TOKENS = 1 << 20  # of a run's first tokens, counted for the head's bias
CURVE_POINTS = 50


@dataclass(frozen=True)
class Stack:
    """Runs to train together until `stop` steps, on from `checkpoint` where there is one (with these runs or more)."""

    run: str
    settings: SwarmSettings
    runs: tuple[SwarmRun, ...]
    stop: int
    checkpoint: str | None
    tasks: tuple[EncodedTask, ...] = ()

    @property
    def keys(self) -> list[str]:
        return [each.key for each in self.runs]

    @property
    def path(self) -> str:
        """Of its files, without an ending."""
        return f"sweeps/{self.settings.name}/groups/{hash_json(self.keys)}"


def train_stack(stack: Stack, progress: Callable[[int], None]) -> list[RunResult]:
    """The results of the runs, in order, as they are at `stop`. `progress` is called with the tokens of each step."""
    settings, folder = stack.settings, RunFolder(stack.run)
    manifest = read_manifest(Path(stack.run))
    domains = read_held_out(manifest, settings.held_out_tokens)
    loaders = [PlanLoader(each.plan, manifest) for each in stack.runs]
    at = settings.evaluation_steps()
    training = settings.training(manifest.tokenizer)
    models = StackedTraining(training, [each.replica for each in stack.runs])
    history = History.empty(settings.num_steps, len(at), len(stack.runs), len(domains), training.device)
    if stack.checkpoint:
        load_stack(folder, stack.checkpoint, models, history, stack.keys)
    if models.step == 0:
        counts = [first_counts(loader, settings, manifest.tokenizer.vocab_size) for loader in loaders]
        models.start_at_unigram(np.stack(counts))
    tokens_a_step = len(stack.runs) * settings.tokens_per_step
    progress(models.step * tokens_a_step)
    saved = counted = time.monotonic()
    old = stack.checkpoint
    steps = range(models.step, max(models.step, stack.stop))
    for step, rows_RBT in zip(
        steps, step_rows(loaders, settings.num_sequences, steps, training.device, settings.tokens_in), strict=True
    ):
        history.losses_SR[step] = models.train_step(rows_RBT)
        fault_point("sweep:step")
        if models.step in at:
            history.measured_ERK[at.index(models.step)] = measure(models, domains, manifest.tokenizer)
        progress(tokens_a_step)
        now = time.monotonic()
        if now - saved >= settings.checkpoint_s or models.step == stack.stop:
            history.seconds_R += (now - counted) / len(stack.runs)
            save_stack(folder, f"{stack.path}.safetensors", models, stack.keys, history)
            saved = counted = now
            fault_point("sweep:checkpoint")
            if old not in (None, f"{stack.path}.safetensors"):  # its other runs were stopped
                folder.remove(str(old))
                old = None
    results = [run_result(stack, number, history, domains, models) for number in range(len(stack.runs))]
    if models.step < settings.num_steps:
        return results
    folder.put_json(f"{stack.path}.json", [asdict(result) for result in results])
    fault_point("sweep:results")
    folder.remove(f"{stack.path}.safetensors")
    return results


def measure(models: StackedTraining, domains: Sequence[Domain], tokenizer: Tokenizer) -> npt.NDArray[np.float64]:
    """Bits per byte [R, K] of every model on every domain, as they are now."""
    return bits_per_byte(
        models.parameters,
        models.training.shape,
        domains,
        sequence_length=models.training.sequence_length,
        end_of_document=tokenizer.end_of_document,
        bfloat16=models.training.bfloat16,
    )


def run_result(
    stack: Stack, number: int, history: History, domains: Sequence[Domain], models: StackedTraining
) -> RunResult:
    """What is written down of replica `number`, at the step where the models are."""
    settings, run, training = stack.settings, stack.runs[number], models.training
    names = [domain.name for domain in domains]
    evaluations = []
    for step, bits_K in zip(settings.evaluation_steps(), history.measured_ERK[:, number].tolist(), strict=True):
        if step <= models.step:
            evaluations.append((step, step * settings.tokens_per_step, dict(zip(names, bits_K, strict=True))))
    scores = {}
    if stack.tasks and models.step == settings.num_steps:
        one = {name: value[number : number + 1] for name, value in models.parameters.items()}
        for task in stack.tasks:
            (score,) = score_task(one, training.shape, task, bfloat16=training.bfloat16)
            scores[task.name] = asdict(score)
    tokens = models.step * settings.tokens_per_step
    return RunResult(
        key=run.key,
        run=run.name,
        mixture=run.mixture.name,
        seed=run.mixture.seed,
        learning_rate=run.replica.learning_rate,
        size=settings.size,
        plan=run.plan.fingerprint,
        tokens=tokens,
        steps=models.step,
        flops=training.shape.flops_per_token(settings.sequence_length) * tokens,
        seconds=float(history.seconds_R[number]),
        stopped=models.step < settings.num_steps,
        ratios={name: rows / run.plan.num_rows for name, rows in run.plan.rows_by_source().items()},
        evaluations=evaluations,
        curve=curve(history.losses_SR[: models.step, number].cpu().numpy(), settings.tokens_per_step),
        tasks=scores,
    )


def first_counts(loader: Rows, settings: SwarmSettings, vocab_size: int) -> npt.NDArray[np.int64]:
    """How often each token is a target in the first rows that the run trains on, [V]."""
    num_rows = min(settings.num_steps * settings.num_sequences, -(-UNIGRAM_TOKENS // settings.sequence_length))
    return np.bincount(loader.rows(0, num_rows)[:, 1:].ravel(), minlength=vocab_size)


def curve(losses_S: npt.NDArray[np.float32], tokens_per_step: int) -> list[tuple[int, int, float]]:
    """(step, tokens, mean bits a token since the last point) at about 50 points."""
    edges = np.unique(np.linspace(0, len(losses_S), CURVE_POINTS + 1).astype(int))
    return [
        (stop, stop * tokens_per_step, float(losses_S[start:stop].mean(dtype=np.float64) / np.log(2)))
        for start, stop in pairwise(edges.tolist())
    ]
