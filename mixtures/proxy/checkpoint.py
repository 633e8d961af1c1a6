"""A stack in training as one safetensors file, replaced in one step: its old content or its new, never a part."""

import io
import json
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.stacked_training import StackedTraining
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.pipeline.run_folder import RunFolder


def save_stack(
    folder: RunFolder,
    path: str,
    stack: StackedTraining,
    runs: Sequence[str],
    losses_SR: npt.NDArray[np.float32],
    seconds: float,
) -> None:
    """Everything from which training continues bit for bit: weights, moments, step; and the losses so far.

    `runs` are the keys of the stacked runs, in order.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in stack.state().items()}
    tensors["losses"] = torch.from_numpy(losses_SR[: stack.step].copy())
    folder.put(path, save(tensors, {"step": str(stack.step), "seconds": repr(seconds), "runs": " ".join(runs)}))


def load_stack(folder: RunFolder, path: str, stack: StackedTraining, losses_SR: npt.NDArray[np.float32]) -> float:
    """Continues `stack` and fills its losses from the file; gives the seconds trained, 0 where there is no file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not folder.exists(path):
        return 0.0
    data = folder.read_bytes(path)
    try:
        tensors = load(data)
        facts = _metadata(io.BytesIO(data))
        stack.load_state(tensors, int(facts["step"]))
        losses_SR[: stack.step] = tensors["losses"].numpy()
        return float(facts["seconds"])
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedFileError(f"{folder.url}/{path}: {error!r}: delete it; its stack starts anew.") from error


def stacked_runs(folder: RunFolder, path: str) -> list[str]:
    """The keys of the runs in a checkpoint, in order; reads its head alone."""
    with folder.open(path) as file:
        return _metadata(file)["runs"].split()


def _metadata(file: BinaryIO) -> dict[str, str]:
    """The strings beside the tensors: the file starts with the length of its JSON head (safetensors format)."""
    length = int.from_bytes(file.read(8), "little")
    facts: dict[str, str] = json.loads(file.read(length))["__metadata__"]
    return facts
