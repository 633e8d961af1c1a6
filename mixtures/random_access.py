"""The plan for loaders that ask by position: Grain's `RandomAccessDataSource`, and an iterable of plain dictionaries.

Neither needs anything but numpy. Grain: `grain.MapDataset.source(PlanSource(loader))`, without a shuffle, since the
plan is one; torchtitan and MaxText read through it. Hugging Face: `datasets.IterableDataset.from_generator(plan_items,
gen_kwargs={"run": …, "plan": …})`, or any loop; `Trainer` takes `torch_data.PlanDataset(loader, shifted=False)`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.plan import Plan

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


def plan_items(run: str, plan: str, position: int = 0) -> Iterator[dict[str, list[int]]]:
    """{"input_ids", "labels"} of each position from `position` on; labels equal inputs, for models that shift them."""
    loader = PlanLoader.open(Path(run), Plan.load(Path(plan)))
    for place in range(position, len(loader)):
        inputs, _ = loader.pairs(place, place + 1)
        ids = inputs[0].tolist()
        yield {"input_ids": ids, "labels": ids}
