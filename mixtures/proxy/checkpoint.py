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
    """What a stack has shown so far: losses_SR in nats a token, on the device; measured_ERK in bits per byte."""

    losses_SR: torch.Tensor
    measured_ERK: npt.NDArray[np.float64]
    seconds: float = 0.0

    @classmethod
    def empty(cls, num_steps: int, num_evaluations: int, num_replicas: int, num_domains: int, device: str) -> "History":
        losses_SR = torch.full((num_steps, num_replicas), float("nan"), device=device)
        return cls(losses_SR, np.full((num_evaluations, num_replicas, num_domains), np.nan))


def save_stack(folder: RunFolder, path: str, stack: StackedTraining, runs: Sequence[str], history: History) -> None:
    """Everything from which training continues bit for bit: weights, moments, step; and the history.

    `runs` are the keys of the stacked runs, in order.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in stack.state().items()}
    tensors["losses"] = history.losses_SR.cpu()
    tensors["measured"] = torch.from_numpy(history.measured_ERK)
    facts = {"step": str(stack.step), "seconds": repr(history.seconds), "runs": " ".join(runs)}
    folder.put(path, save(tensors, facts))


def load_stack(folder: RunFolder, path: str, stack: StackedTraining, history: History) -> None:
    """Continues `stack` and its history from the file; nothing happens where there is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not folder.exists(path):
        return
    data = folder.read_bytes(path)
    try:
        tensors = load(data)
        facts = _metadata(io.BytesIO(data))
        stack.load_state(tensors, int(facts["step"]))
        history.losses_SR.copy_(tensors["losses"])
        history.measured_ERK[:] = tensors["measured"].numpy()
        history.seconds = float(facts["seconds"])
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
