"""The rows of every step of a stack: from tokens that lie on the device, or read from the shards as training goes.

*Resident*: all tokens that the stack's plans draw from are on the device, two bytes each where the vocabulary allows;
where each row starts is computed from the plans and sent ahead, 8 bytes for a row of a thousand tokens; the rows are
gathered there. No token crosses the bus during training. *Streamed*: rows are read from the memory-mapped shards some
steps at a time; for a GPU by a thread that is one block ahead, into pinned memory. Both give the same rows.

Shapes: R replicas, B sequences, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.proxy.device import free_bytes
from corpusmill.mixtures.proxy.optional import torch

BLOCK_BYTES = 1 << 26  # of rows, or of starts, made at a time
RESIDENT_SHARE = 0.25  # of free memory that tokens may take; the models take the rest

T = TypeVar("T")
Place = Literal["auto", "resident", "streamed"]


class Rows(Protocol):
    """What a proxy is trained on: rows [n, T + 1] of token ids at positions [start, stop)."""

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]: ...


def step_rows(
    loaders: Sequence[Rows], num_sequences: int, steps: range, device: str, place: Place = "auto"
) -> Iterator[torch.Tensor]:
    """Rows [R, B, T + 1] of each of the steps, in order, int64 on the device."""
    planned = [loader for loader in loaders if isinstance(loader, PlanLoader)]
    fits = len(planned) == len(loaders) and resident_bytes(planned) <= free_bytes(device) * RESIDENT_SHARE
    if place == "resident" or (place == "auto" and device != "cpu" and fits):
        return resident_rows(planned, num_sequences, steps, device)
    return streamed_rows(loaders, num_sequences, steps, device)


def streamed_rows(loaders: Sequence[Rows], num_sequences: int, steps: range, device: str) -> Iterator[torch.Tensor]:
    width = loaders[0].rows(0, 1).shape[1]

    def read(some: range) -> torch.Tensor:
        first, last = some.start * num_sequences, some.stop * num_sequences
        rows = torch.from_numpy(np.stack([loader.rows(first, last) for loader in loaders]))
        return rows if device == "cpu" else rows.pin_memory()

    for some, block in ahead(blocks(steps, len(loaders) * num_sequences * width * 8), read, device):
        for step in range(len(some)):
            rows = block[:, step * num_sequences : (step + 1) * num_sequences]
            yield rows if device == "cpu" else rows.to(device, non_blocking=True)


def resident_rows(
    loaders: Sequence[PlanLoader], num_sequences: int, steps: range, device: str
) -> Iterator[torch.Tensor]:
    tokens, bases = place_tokens(loaders, device)
    length = loaders[0].plan.sequence_length
    span = torch.arange(length + 1, device=device)

    def starts(some: range) -> torch.Tensor:
        positions = np.arange(some.start * num_sequences, some.stop * num_sequences)
        found = [row_starts(loader, bases, positions) for loader in loaders]
        return torch.from_numpy(np.stack(found)).to(device)

    for some, block in ahead(blocks(steps, len(loaders) * num_sequences * 8), starts, device):
        for step in range(len(some)):
            starts_RB = block[:, step * num_sequences : (step + 1) * num_sequences]
            rows = tokens[starts_RB[..., None] + span].to(torch.int64)
            yield rows & 0xFFFF if tokens.dtype == torch.int16 else rows


def place_tokens(loaders: Sequence[PlanLoader], device: str) -> tuple[torch.Tensor, dict[str, int]]:
    """The tokens of all sources end to end on the device, and where each source begins, by its fingerprint.

    Ids of two bytes are kept as int16, whose upper half is negative: torch gathers no uint16.
    """
    readers = {rows.reader.source.fingerprint: rows.reader for loader in loaders for rows in loader.sources}
    two_bytes = all(reader.dtype.itemsize == 2 for reader in readers.values())
    total = sum(reader.num_tokens for reader in readers.values())
    tokens = torch.empty(total, dtype=torch.int16 if two_bytes else torch.int32, device=device)
    bases, filled = {}, 0
    for fingerprint, reader in readers.items():
        bases[fingerprint] = filled
        ids = reader.read_all()
        tokens[filled : filled + len(ids)] = torch.from_numpy(ids.view("<i2" if two_bytes else "<i4")).to(device)
        filled += len(ids)
    return tokens, bases


def row_starts(loader: PlanLoader, bases: dict[str, int], positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where the rows at positions [n] start among the tokens that `place_tokens` laid end to end."""
    base_S = np.array([bases[rows.reader.source.fingerprint] for rows in loader.sources], dtype=np.int64)
    located = loader.locate(positions)
    starts: npt.NDArray[np.int64] = base_S[located.source] + located.row * loader.plan.sequence_length
    return starts


def resident_bytes(loaders: Sequence[PlanLoader]) -> int:
    readers = {rows.reader.source.fingerprint: rows.reader for loader in loaders for rows in loader.sources}
    return sum(reader.num_tokens * reader.dtype.itemsize for reader in readers.values())


def blocks(steps: range, bytes_a_step: int) -> list[range]:
    """Stretches of steps of about BLOCK_BYTES."""
    many = max(1, BLOCK_BYTES // bytes_a_step)
    return [range(start, min(steps.stop, start + many)) for start in range(steps.start, steps.stop, many)]


def ahead(some: Sequence[range], make: Callable[[range], T], device: str) -> Iterator[tuple[range, T]]:
    """Each with what is made of it; for a GPU the next is made while one is used."""
    if device == "cpu":
        for each in some:
            yield each, make(each)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="rows") as pool:
        waiting = pool.submit(make, some[0]) if some else None
        for index, each in enumerate(some):
            assert waiting is not None
            made = waiting.result()
            waiting = pool.submit(make, some[index + 1]) if index + 1 < len(some) else None
            yield each, made
