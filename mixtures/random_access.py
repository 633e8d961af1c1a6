"""The plan for loaders that ask by position: Grain's `RandomAccessDataSource`, and an iterable of plain dictionaries.

Neither needs anything but numpy. Grain: `grain.MapDataset.source(PlanSource(loader))`, without a shuffle, since the
plan is one; torchtitan and MaxText read through it. Hugging Face: `datasets.IterableDataset.from_generator(plan_items,
gen_kwargs={"run": …, "plan": …})`, or any loop; `Trainer` takes `torch_data.PlanDataset(loader, shifted=False)`.
"""

from collections.abc import Iterator, Mapping
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.segments import unshifted

Item = dict[str, npt.NDArray[np.int64]]


class PlanSource:
    """Position -> {"inputs": int64 [T], "targets": int64 [T]}. May be pickled: workers open the shards themselves."""

    def __init__(self, loader: PlanLoader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __getitem__(self, position: SupportsIndex) -> Item:
        inputs, targets = self.loader.pairs_at(np.array([position.__index__()], dtype=np.int64))
        return {"inputs": inputs[0], "targets": targets[0]}

    def __repr__(self) -> str:
        """Grain stores this with its checkpoints and refuses another at resume."""
        return f"PlanSource({self.loader.plan.fingerprint})"


class PlanItems:
    """An iterable of {"input_ids", "labels"} from a position on, with its state: for Hugging Face and any plain loop.

    Label i is for input i, for models that shift them. In `datasets.IterableDataset.from_generator` give `plan_items`.
    """

    def __init__(self, loader: PlanLoader, position: int = 0) -> None:
        self.loader = loader
        self.position = position

    def __len__(self) -> int:
        return len(self.loader) - self.position

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        while self.position < len(self.loader):
            inputs, targets = self.loader.pairs(self.position, self.position + 1)
            self.position += 1
            yield {"input_ids": inputs[0].tolist(), "labels": unshifted(inputs, targets)[0].tolist()}

    def state_dict(self) -> dict[str, int]:
        """The position after the last item given out."""
        return {"position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.position = state["position"]


def plan_items(run: str, plan: str, position: int = 0) -> Iterator[dict[str, list[int]]]:
    """The same by the places of a run and a plan, which can be sent to workers and hashed."""
    yield from PlanItems(PlanLoader.open(run, Plan.load(plan)), position)
