"""Batches of a plan for a trainer: contiguous inputs and targets, made ahead by threads, resumed from one number.

    stream = BatchStream(loader, batch_rows=512, rank=rank, num_ranks=world_size)
    stream.load_state_dict(checkpoint["data"])                    # {"position": 1048576}
    for batch in stream:                                          # batch.inputs, batch.targets: [rows, T]
        ...
        checkpoint["data"] = stream.state_dict()

`batch_rows` is global: each rank gets its slice, so at any step the number of ranks, threads or rows may change and the
plan goes on where it was. What is left at the end of the plan and fills no batch is not given out. In a phase with
shorter sequences a row of T tokens comes as several of them; a batch takes the length of the phase it starts in.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.loader import PlanLoader, rank_slice
from corpusmill.mixtures.provenance import Document
from corpusmill.mixtures.segments import cu_seqlens, document_numbers, document_positions, mask_across_documents


@dataclass(frozen=True)
class PlanBatch:
    """One rank's part of a global batch. `inputs` and `targets` are int64 [sequences, length], contiguous."""

    inputs: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]  # targets[i, j] follows inputs[i, j] in its source
    start: int  # position of the global batch's first row
    stop: int  # where the next global batch starts: the state to resume from
    first: int  # position of this rank's first row
    end_of_document: int

    def document_numbers(self) -> npt.NDArray[np.int32]:
        """Which document of its sequence each token belongs to, int32 [sequences, length]."""
        return document_numbers(self.inputs, self.end_of_document)

    def document_positions(self) -> npt.NDArray[np.int32]:
        """Place of each token in its document's part of the sequence, int32 [sequences, length]."""
        return document_positions(self.inputs, self.end_of_document)

    def cu_seqlens(self) -> npt.NDArray[np.int32]:
        """Bounds of the documents in the flattened batch, int32 [documents + 1], for variable-length attention."""
        return cu_seqlens(self.inputs, self.end_of_document)


class BatchStream:
    """The batches of one rank, in order. `state_dict` counts batches handed out, never those made ahead."""

    def __init__(
        self,
        loader: PlanLoader,
        batch_rows: int,
        *,
        rank: int = 0,
        num_ranks: int = 1,
        position: int = 0,
        num_threads: int = 1,
        num_ahead: int = 4,
        mask_documents: bool = False,
    ) -> None:
        """With `mask_documents` the first token of a document is no target: what went before says nothing about it."""
        if batch_rows < num_ranks:
            raise ValueError(f"batch_rows {batch_rows} is less than one row for each of {num_ranks} ranks")
        rank_slice(0, batch_rows, rank, num_ranks)
        self.loader = loader
        self.batch_rows = batch_rows
        self.rank = rank
        self.num_ranks = num_ranks
        self.position = position
        self.num_threads = num_threads
        self.num_ahead = num_ahead
        self.mask_documents = mask_documents

    def rows_drawn(self) -> dict[str, int]:
        """Rows drawn from each source, by all ranks, in the batches handed out: counters for a trainer's log."""
        return self.loader.rows_drawn(self.position)

    def __len__(self) -> int:
        """Whole batches left."""
        return max(0, len(self.loader) - self.position) // self.batch_rows

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch handed out, and the plan that it counts in."""
        return {"position": self.position, "plan": self.loader.plan.fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of this plan, or of one that it continues, up to where it continues it; raises
        ValueError for any other."""
        plan, position = self.loader.plan, int(state["position"])
        if not plan.knows(state.get("plan", plan.fingerprint), position):
            raise ValueError(
                f"the state is position {position} of plan {state['plan']}, this one is {plan.fingerprint}: load the "
                "plan it was saved with, or continue that one under a new mixture with corpusmill plan --continue-from"
            )
        if not 0 <= position <= plan.num_rows:
            raise ValueError(f"the state is position {position}, and the plan has rows 0 to {plan.num_rows}")
        self.position = position

    def locate(self, step: int, rank: int, row: int, token: int) -> Document | None:
        """The document of input `token` of sequence `row` of one rank's batch at `step`, counted in batches of this
        stream's size and number of ranks from the plan's start; None for padding."""
        start = step * self.batch_rows
        first, last = rank_slice(start, self.batch_rows, rank, self.num_ranks)
        length = self.loader.sequence_length_at(start)
        per_row = self.loader.plan.sequence_length // length
        if not 0 <= row < (last - first) * per_row or not 0 <= token < length:
            raise IndexError(f"row {row}, token {token} of a batch of {(last - first) * per_row} x {length}")
        return self.loader.document_at(first + row // per_row, row % per_row * length + token)

    def __iter__(self) -> Iterator[PlanBatch]:
        """Batches from `position` on. With `num_threads` 0 each is made when it is asked for."""
        if self.num_threads == 0:
            while len(self):
                yield self._hand_out(self.make(self.position))
            return
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="batches") as pool:
            ahead: deque[Future[PlanBatch]] = deque()
            next_start = self.position
            while True:
                while len(ahead) < self.num_ahead and next_start + self.batch_rows <= len(self.loader):
                    ahead.append(pool.submit(self.make, next_start))
                    next_start += self.batch_rows
                if not ahead:
                    return
                yield self._hand_out(ahead.popleft().result())

    def make(self, start: int) -> PlanBatch:
        """This rank's part of the global batch that starts at `start`."""
        first, last = rank_slice(start, self.batch_rows, self.rank, self.num_ranks)
        inputs, targets = self.loader.pairs(first, last)
        length, end = self.loader.sequence_length_at(start), self.loader.plan.end_of_document
        inputs, targets = inputs.reshape(-1, length), targets.reshape(-1, length)
        if self.mask_documents:
            mask_across_documents(inputs, targets, end)
        return PlanBatch(inputs, targets, start, start + self.batch_rows, first, end)

    def _hand_out(self, batch: PlanBatch) -> PlanBatch:
        self.position = batch.stop
        return batch
