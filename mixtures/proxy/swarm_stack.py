"""Trains one stack of a swarm from its checkpoint or its start, measures it, and commits the results of its runs."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy.checkpoint import History, load_stack, save_stack
from corpusmill.mixtures.proxy.evaluate import bits_per_byte
from corpusmill.mixtures.proxy.held_out import Domain
from corpusmill.mixtures.proxy.ledger import RunResult
from corpusmill.mixtures.proxy.stacked_training import StackedTraining, Training
from corpusmill.mixtures.proxy.swarm_settings import SwarmRun, SwarmSettings, device_of
from corpusmill.mixtures.proxy.transformer import Shape, shape_of
from corpusmill.mixtures.sources import Tokenizer
from corpusmill.pipeline.faults import fault_point
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.pipeline.run_folder import RunFolder

UNIGRAM_TOKENS = 1 << 20  # of a run's first tokens, counted for the head's bias
ROWS_BYTES = 1 << 26  # token rows held in memory at a time
CURVE_POINTS = 50


class Rows(Protocol):
    """What a proxy is trained on: rows [n, T + 1] of token ids at positions [start, stop)."""

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]: ...


def train_stack(
    folder: RunFolder,
    settings: SwarmSettings,
    group: Sequence[SwarmRun],
    loaders: Sequence[Rows],
    domains: Sequence[Domain],
    tokenizer: Tokenizer,
    progress: Callable[[int], None],
) -> list[RunResult]:
    """The results of the runs, in order. `progress` is called with the tokens of each step."""
    keys = [each.key for each in group]
    path = f"sweeps/{settings.name}/groups/{hash_json(keys)}"
    training = training_of(settings, tokenizer)
    shape = training.shape
    stack = StackedTraining(training, [each.replica for each in group])
    history = History.empty(settings.num_steps, settings.num_evaluations, len(group), len(domains), training.device)
    load_stack(folder, f"{path}.safetensors", stack, history)
    if stack.step == 0:
        stack.start_at_unigram(np.stack([first_counts(loader, settings, shape) for loader in loaders]))
    progress(stack.step * len(group) * settings.tokens_per_step)
    evaluations = {evaluation_step(settings, index): index for index in range(settings.num_evaluations - 1)}
    before, started = history.seconds, time.monotonic()
    saved = started
    for step, rows_RBT in steps(loaders, settings, stack.step):
        history.losses_SR[step] = stack.train_step(rows_RBT)
        fault_point("sweep:step")
        if stack.step in evaluations:
            history.measured_ERK[evaluations[stack.step]] = measure(stack, domains, tokenizer)
        progress(len(group) * settings.tokens_per_step)
        now = time.monotonic()
        if now - saved >= settings.checkpoint_s or stack.step == settings.num_steps:
            history.seconds = before + now - started
            save_stack(folder, f"{path}.safetensors", stack, keys, history)
            saved = now
            fault_point("sweep:checkpoint")
    history.seconds = before + time.monotonic() - started
    history.measured_ERK[-1] = measure(stack, domains, tokenizer)
    results = [run_result(settings, each, number, history, domains, shape) for number, each in enumerate(group)]
    folder.put_json(f"{path}.json", [asdict(result) for result in results])
    fault_point("sweep:results")
    folder.remove(f"{path}.safetensors")
    return results


def training_of(settings: SwarmSettings, tokenizer: Tokenizer) -> Training:
    device = device_of(settings)
    return Training(
        shape=shape_of(settings.size, tokenizer.vocab_size),
        num_steps=settings.num_steps,
        sequence_length=settings.sequence_length,
        num_sequences=settings.num_sequences,
        optimizer=settings.optimizer,
        end_of_document=tokenizer.end_of_document if settings.document_masks else None,
        device=device,
        bfloat16=device != "cpu",
        fuse=device != "cpu",
        cuda_graph=settings.cuda_graph and device != "cpu",
    )


def evaluation_step(settings: SwarmSettings, index: int) -> int:
    """After how many steps evaluation `index` (from 0) is done; the last is at the end."""
    return -(-settings.num_steps * (index + 1) // settings.num_evaluations)


def measure(stack: StackedTraining, domains: Sequence[Domain], tokenizer: Tokenizer) -> npt.NDArray[np.float64]:
    """Bits per byte [R, K] of every model on every domain, as they are now."""
    return bits_per_byte(
        stack.parameters,
        stack.training.shape,
        domains,
        sequence_length=stack.training.sequence_length,
        end_of_document=tokenizer.end_of_document,
        bfloat16=stack.training.bfloat16,
    )


def run_result(
    settings: SwarmSettings, run: SwarmRun, number: int, history: History, domains: Sequence[Domain], shape: Shape
) -> RunResult:
    """What is written down of replica `number`."""
    names = [domain.name for domain in domains]
    measured_EK = history.measured_ERK[:, number]
    evaluations = []
    for index, bits_K in enumerate(measured_EK.tolist()):
        step = evaluation_step(settings, index)
        evaluations.append((step, step * settings.tokens_per_step, dict(zip(names, bits_K, strict=True))))
    return RunResult(
        key=run.key,
        run=run.name,
        mixture=run.mixture.name,
        seed=run.mixture.seed,
        learning_rate=run.replica.learning_rate,
        size=settings.size,
        plan=run.plan.fingerprint,
        tokens=settings.num_tokens,
        steps=settings.num_steps,
        flops=shape.flops_per_token(settings.sequence_length) * settings.num_tokens,
        seconds=history.seconds / history.measured_ERK.shape[1],
        ratios={name: rows / run.plan.num_rows for name, rows in run.plan.rows_by_source().items()},
        evaluations=evaluations,
        curve=curve(history.losses_SR[:, number].cpu().numpy(), settings.tokens_per_step),
    )


def finished_results(folder: RunFolder, name: str) -> dict[str, RunResult]:
    """The results of every finished stack of a sweep, by the key of the run."""
    found = [path for path in folder.names(f"sweeps/{name}/groups") if path.endswith(".json")]
    results = [RunResult.from_json(facts) for path in found for facts in folder.read_json(path)]
    return {result.key: result for result in results}


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
