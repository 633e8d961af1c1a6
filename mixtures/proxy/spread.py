"""Stacks trained side by side: in threads of this process, in processes of this machine, or by Ray.

Threads: a CPU's cores, a stack each with one thread of torch. Processes: several GPUs, each process with its own; or
cores, where stacks are so small that Python itself is what they wait for. Ray: any cluster whose machines see the run
folder. A stack's results do not depend on where it was trained (on one kind of device), and a stack that dies with its
process goes on from its checkpoint when the sweep is run again.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from corpusmill.mixtures.proxy.device import chosen_device
from corpusmill.mixtures.proxy.ledger import RunResult
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.swarm_settings import SwarmSettings
from corpusmill.mixtures.proxy.swarm_stack import Stack, train_stack
from corpusmill.pipeline.engine import end_with_driver
from corpusmill.pipeline.errors import CorpusmillError, RequestError

Progress = Callable[[int], None]
"""Called in this process with the tokens that were trained since the last call."""


def num_workers(settings: SwarmSettings) -> int:
    """On the CPU a stack per core, each with one thread: tiny products do not split well, and threads of OpenMP that
    wait for each other on a shared machine cost ten times more than they bring (measured with a load of 5 on 2 cores).
    On GPUs a stack each, where they are spread over processes; else one.
    """
    if settings.num_workers is not None:
        return max(1, settings.num_workers)
    if chosen_device(settings.device) == "cpu":
        return len(os.sched_getaffinity(0))
    return 1 if settings.spread == "threads" else max(1, torch.cuda.device_count())


def train_all(stacks: Sequence[Stack], settings: SwarmSettings, progress: Progress) -> Iterator[list[RunResult]]:
    """The results of each stack as it ends."""
    workers = min(num_workers(settings), len(stacks))
    if not stacks:
        return
    if settings.spread == "ray":
        yield from _by_ray(stacks, progress)
    elif settings.spread == "processes" and workers > 1:
        yield from _in_processes(stacks, workers, progress)
    else:
        with ThreadPoolExecutor(workers, initializer=one_thread) as pool:
            yield from pool.map(lambda stack: train_stack(stack, progress), stacks)


def one_thread() -> None:
    """OpenMP counts per thread: this worker computes alone, whatever the others do."""
    torch.set_num_threads(1)


def _in_processes(stacks: Sequence[Stack], workers: int, progress: Progress) -> Iterator[list[RunResult]]:
    """Each worker takes a device of its own; they end with this process."""
    context = get_context("spawn")
    devices: Any = context.Queue()
    tokens: Any = context.Queue()
    for index in range(workers):
        devices.put(index)
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(devices, tokens)) as pool:
        waiting = {pool.submit(_train, stack) for stack in stacks}
        try:
            while waiting:
                done = {future for future in waiting if future.done()}
                waiting -= done
                for future in done:
                    _drain(tokens, progress)
                    yield future.result()
                if not done:
                    _drain(tokens, progress, patience=0.2)
        except BrokenProcessPool as error:
            raise CorpusmillError(
                "sweep: a worker process died. Out of memory? Try fewer with num_workers, or a smaller max_stacked. "
                "Run the sweep again: it goes on from its checkpoints."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
        _drain(tokens, progress)


_mine: dict[str, Any] = {}
"""A worker process's device number and the queue to its driver."""


def _begin(devices: Any, tokens: Any) -> None:
    threading.Thread(target=end_with_driver, daemon=True).start()
    one_thread()
    _mine.update(device=devices.get(), tokens=tokens)


def _train(stack: Stack) -> list[RunResult]:
    settings = stack.settings
    if chosen_device(settings.device) != "cpu":
        device = f"cuda:{_mine['device'] % torch.cuda.device_count()}"
        torch.cuda.set_device(device)
        stack = replace(stack, settings=replace(settings, device=device))
    return train_stack(stack, _mine["tokens"].put)


def _drain(tokens: Any, progress: Progress, patience: float = 0.0) -> None:
    """Passes on what the workers have reported."""
    try:
        while True:
            progress(tokens.get(timeout=patience) if patience else tokens.get_nowait())
    except queue.Empty:
        pass


def _by_ray(stacks: Sequence[Stack], progress: Progress) -> Iterator[list[RunResult]]:
    """A task a stack; each asks for a GPU, or for a core. Progress is known when a stack ends."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RequestError("sweep.spread: ray is not installed: pip install ray, or spread by processes.") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    gpu = chosen_device(stacks[0].settings.device) != "cpu"
    train = ray.remote(num_gpus=1 if gpu else 0, num_cpus=1, max_retries=2)(_train_for_ray)
    waiting = {train.remote(stack): stack for stack in stacks}
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        del waiting[done]
        results, tokens = ray.get(done)
        progress(tokens)
        yield results


def _train_for_ray(stack: Stack) -> tuple[list[RunResult], int]:
    one_thread()
    reported: list[int] = []
    return train_stack(stack, reported.append), sum(reported)
