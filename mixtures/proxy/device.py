"""The device that trains: which one, what it has free, and what it can do: the yardsticks of a rate.

Rates are measured, not taken from a data sheet: a bare matrix product in the type that training uses, and a copy. Model
FLOPs utilisation (MFU, Chowdhery et al. 2022, section 4.1) here is the FLOPs of training against those of that product,
so a card that runs slower than its data sheet is not called the model's fault.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from corpusmill.mixtures.proxy.optional import torch

CPU_BYTES = 2 << 30  # of memory that proxies take on a CPU, which others use too
NARROW = 256  # width below which products are not split over a CPU's cores
GPU_SHARE = 0.7  # of free memory that is planned with; the rest is for what libraries take


def chosen_device(wanted: str, rank: int = 0) -> str:
    """`auto` is this process's GPU where there is one, else cpu; anything else is taken as it is."""
    if wanted != "auto":
        return wanted
    return f"cuda:{int(os.environ.get('LOCAL_RANK', rank))}" if torch.cuda.is_available() else "cpu"


def one_thread_if_narrow(device: str, width: int) -> None:
    """Lets this process train a small model on a CPU with one thread. Its products are too small to split, and threads
    that wait for each other on a shared machine made a step of width 32 take nine times as long."""
    if device == "cpu" and width < NARROW:
        torch.set_num_threads(1)


def free_bytes(device: str) -> int:
    """What training may take."""
    return CPU_BYTES if device == "cpu" else int(torch.cuda.mem_get_info(device)[0] * GPU_SHARE)


def matmul_flops_per_s(device: str) -> float:
    """FLOPs a second of one large matrix product, in bfloat16 on a GPU, float32 on a CPU."""
    size, dtype = (1024, torch.float32) if device == "cpu" else (8192, torch.bfloat16)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds_of(lambda: left @ right, device)


def copy_bytes_per_s(device: str) -> float:
    """Bytes read and written a second by a copy that no cache holds."""
    num_bytes = 1 << (28 if device == "cpu" else 32)
    source = torch.zeros(num_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / seconds_of(lambda: target.copy_(source), device)


def seconds_of(work: Callable[[], object], device: str, repetitions: int = 5, tries: int = 4) -> float:
    """Seconds of one call: the best of some tries of some repetitions, after one that is not counted."""
    work()

    def once() -> float:
        wait_for(device)
        started = time.perf_counter()
        for _ in range(repetitions):
            work()
        wait_for(device)
        return (time.perf_counter() - started) / repetitions

    return min(once() for _ in range(tries))


def wait_for(device: str) -> None:
    """Until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)


@contextmanager
def reproducible(wanted: bool) -> Iterator[None]:
    """Inside, CUDA kernels give the same bits each time; torch refuses those that have no such version. New memory is
    not filled, as torch would: nothing here is read before it is written, and it would be a pass over all activations.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic  # its stubs know no attribute
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = filled
        torch.use_deterministic_algorithms(before)
