"""A stack in training as one safetensors file, replaced in one step: its old content or its new, never a part."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.stacked_training import StackedTraining
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.pipeline.run_folder import RunFolder


@dataclass
class History:
    """What a stack has shown so far: losses_SR in nats a token, on the device; measured_ERK in bits per byte.

    `seconds_R` is each replica's share of the time so far.
    """

    losses_SR: torch.Tensor
    measured_ERK: npt.NDArray[np.float64]
    seconds_R: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, num_steps: int, num_evaluations: int, num_replicas: int, num_domains: int, device: str) -> "History":
        losses_SR = torch.full((num_steps, num_replicas), float("nan"), device=device)
        measured_ERK = np.full((num_evaluations, num_replicas, num_domains), np.nan)
        return cls(losses_SR, measured_ERK, np.zeros(num_replicas))


def save_stack(folder: RunFolder, path: str, stack: StackedTraining, runs: Sequence[str], history: History) -> None:
    """Everything from which training continues bit for bit: weights, moments, step; and the history.

    `runs` are the keys of the stacked runs, in order.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in stack.state().items()}
    tensors["losses"] = history.losses_SR.cpu()
    tensors["measured"] = torch.from_numpy(history.measured_ERK)
    tensors["seconds"] = torch.from_numpy(history.seconds_R)
    folder.put(path, save(tensors, {"step": str(stack.step), "runs": " ".join(runs)}))


def load_stack(
    folder: RunFolder, path: str, stack: StackedTraining, history: History, runs: Sequence[str] | None = None
) -> None:
    """Continues `stack` and its history from the file; nothing happens where there is none.

    `runs` are the keys of the stack's runs, some of the file's in any order; None where they are the file's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not folder.exists(path):
        return
    data = folder.read_bytes(path)
    try:
        tensors = load(data)
        facts = _metadata(io.BytesIO(data))
        if runs is not None:
            stored = facts["runs"].split()
            index = torch.tensor([stored.index(run) for run in runs])
            across = {"losses": 1, "measured": 1}  # where the replicas are not the first dimension
            tensors = {name: value.index_select(across.get(name, 0), index) for name, value in tensors.items()}
        stack.load_state(tensors, int(facts["step"]))
        history.losses_SR.copy_(tensors["losses"])
        history.measured_ERK[:] = tensors["measured"].numpy()
        history.seconds_R[:] = tensors["seconds"].numpy()
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedFileError(f"{folder.url}/{path}: {error!r}: delete it; its stack starts anew.") from error


def stacked_runs(folder: RunFolder, path: str) -> list[str]:
    """The keys of the runs in a checkpoint, in order; reads its head alone."""
    try:
        with folder.open(path) as file:
            return _metadata(file)["runs"].split()
    except (ValueError, KeyError) as error:
        raise DamagedFileError(f"{folder.url}/{path}: {error!r}: delete it; its stack starts anew.") from error


def _metadata(file: BinaryIO) -> dict[str, str]:
    """The strings beside the tensors: the file starts with the length of its JSON head (safetensors format)."""
    length = int.from_bytes(file.read(8), "little")
    facts: dict[str, str] = json.loads(file.read(length))["__metadata__"]
    return facts
