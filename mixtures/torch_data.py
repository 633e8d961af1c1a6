"""The plan as torch data: a map-style dataset by position, and a stream of batches. Needs the extra `proxy`.

`PlanDataset` goes with any sampler and any trainer that brings its own (Hugging Face's Trainer among them): item i is
position i of the plan, so the order of training is 0, 1, 2, … and a `SequentialSampler` gives it. `PlanStream` gives
the batches of one rank; under a DataLoader (`batch_size=None`) its workers share the steps round robin, which is the
order in which the DataLoader collects them.

Import this module by name; nothing else in corpusmill imports it, so the core runs without torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.batches import BatchStream, PlanBatch
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.segments import unshifted
from corpusmill.pipeline.errors import MissingExtraError

try:
    import torch
    from torch.utils.data import Dataset, IterableDataset, get_worker_info
except ImportError as error:
    raise MissingExtraError("reading a plan with torch", "proxy") from error

Item = dict[str, Any]


class PlanDataset(Dataset[Item]):
    """Position -> {"input_ids": int64 [T], "labels": int64 [T]}; `labels` are the next tokens, already shifted.

    With `shifted=False` label i is for input i, for models that shift them themselves (Hugging Face's do); the last
    target of the row is then left out.
    """

    def __init__(self, loader: PlanLoader, *, shifted: bool = True) -> None:
        self.loader = loader
        self.shifted = shifted

    def __len__(self) -> int:
        return len(self.loader)

    def __getitem__(self, position: int) -> Item:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Item]:
        """A batch at once, which torch's fetcher prefers."""
        inputs, targets = self.loader.pairs_at(np.array(positions, dtype=np.int64))
        labels = targets if self.shifted else unshifted(inputs, targets)
        return [{"input_ids": a, "labels": b} for a, b in zip(_tensor(inputs), _tensor(labels), strict=True)]


class PlanStream(IterableDataset[Item]):
    """Batches of one rank: {"input_ids", "labels": int64 [sequences, T], "position": int}.

    With `documents` also {"document_ids", "position_ids": int32 [sequences, T], "cu_seqlens": int32 [documents + 1]},
    and the first token of a document is no target. `position` is the state after the batch. In the training process
    `state_dict` gives it; with DataLoader workers, which run ahead, save the `position` of the last batch that was
    trained on, and load it as {"position": …}.
    """

    def __init__(
        self,
        loader: PlanLoader,
        batch_rows: int,
        *,
        rank: int = 0,
        num_ranks: int = 1,
        num_threads: int = 1,
        documents: bool = False,
    ) -> None:
        self.stream = BatchStream(
            loader, batch_rows, rank=rank, num_ranks=num_ranks, num_threads=num_threads, mask_documents=documents
        )

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        if worker is None:
            yield from (as_item(batch, self.stream.mask_documents) for batch in self.stream)
            return
        stream = self.stream
        for step in range(worker.id, len(stream), worker.num_workers):
            yield as_item(stream.make(stream.position + step * stream.batch_rows), stream.mask_documents)

    def state_dict(self) -> dict[str, Any]:
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.stream.load_state_dict(state)


def as_item(batch: PlanBatch, documents: bool = False) -> Item:
    """A batch as tensors, without a copy."""
    item = {"input_ids": _tensor(batch.inputs), "labels": _tensor(batch.targets), "position": batch.stop}
    if documents:
        item["document_ids"] = _tensor(batch.document_numbers())
        item["position_ids"] = _tensor(batch.document_positions())
        item["cu_seqlens"] = _tensor(batch.cu_seqlens())
    return item


def _tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(array)
