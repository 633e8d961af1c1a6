"""Several processes that train one model together, each on its slice of every batch (torchrun)."""

import os
from collections.abc import Sequence

from corpusmill.mixtures.proxy.device import chosen_device
from corpusmill.mixtures.proxy.optional import torch


def join_processes(device: str) -> tuple[int, int]:
    """(rank, processes) under torchrun; (0, 1) without. Speaks gloo between CPUs, NCCL between GPUs."""
    num_ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if num_ranks == 1:
        return 0, 1
    mine = chosen_device(device)
    if mine != "cpu":
        torch.cuda.set_device(mine)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo" if mine == "cpu" else "nccl")
    return torch.distributed.get_rank(), num_ranks


def average(tensors: Sequence[torch.Tensor]) -> None:
    """Each tensor's mean over all processes, in place. A layer's weights are one tensor for all layers, so there are
    about ten, large enough that putting them together in buckets would gain nothing."""
    for tensor in tensors:
        torch.distributed.all_reduce(tensor)
        tensor /= torch.distributed.get_world_size()


def leave_processes() -> int:
    """Ends what `join_processes` began, so that no process waits for one that is gone; gives this process's rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return int(os.environ.get("RANK", "0"))
    rank: int = torch.distributed.get_rank()
    torch.distributed.destroy_process_group()
    return rank
