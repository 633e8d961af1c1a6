"""Where documents begin and end in a batch: for attention that stays inside a document, and losses that skip its edge.

Every document of a shard ends with exactly one end-of-document id, which text never contains, so the ids alone tell:
a document's segment starts at the row's start or behind an end id. All functions take `inputs` [rows, T] (or one row
[T]) of one batch; padding is a run of end ids, each a segment of its own.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

IGNORED = -100
"""Target that has no loss: the default of torch's cross entropy."""

TokenArray = npt.NDArray[Any]


def starts_segment(inputs: TokenArray, end_of_document: int) -> npt.NDArray[np.bool_]:
    """True where a token is the first of its document in its row; same shape as `inputs`."""
    starts = np.ones(inputs.shape, dtype=bool)
    starts[..., 1:] = inputs[..., :-1] == end_of_document
    return starts


def document_numbers(inputs: TokenArray, end_of_document: int) -> npt.NDArray[np.int32]:
    """Which document of its row each token belongs to, from 0; same shape as `inputs`."""
    numbers: npt.NDArray[np.int32] = np.cumsum(starts_segment(inputs, end_of_document), axis=-1, dtype=np.int32) - 1
    return numbers


def document_positions(inputs: TokenArray, end_of_document: int) -> npt.NDArray[np.int32]:
    """Place of each token in its document's part of the row, from 0; same shape as `inputs`."""
    place = np.broadcast_to(np.arange(inputs.shape[-1], dtype=np.int32), inputs.shape)
    first = np.where(starts_segment(inputs, end_of_document), place, 0)
    positions: npt.NDArray[np.int32] = place - np.maximum.accumulate(first, axis=-1)
    return positions


def cu_seqlens(inputs: TokenArray, end_of_document: int) -> npt.NDArray[np.int32]:
    """Segment bounds in the flattened batch, int32 [segments + 1], as variable-length attention kernels take them."""
    starts = np.flatnonzero(starts_segment(inputs, end_of_document))
    return np.append(starts, inputs.size).astype(np.int32)


def mask_across_documents(inputs: TokenArray, targets: TokenArray, end_of_document: int) -> None:
    """Takes the loss from targets that begin a document: what went before says nothing about them. In place."""
    targets[inputs == end_of_document] = IGNORED


def unshifted(inputs: TokenArray, targets: TokenArray) -> TokenArray:
    """Labels for models that shift them: label i is what input i - 1 must predict, `IGNORED` where it has no loss. The
    first label, which such a model never uses, is the input. Same shape as `inputs` [..., T]."""
    return np.concatenate([inputs[..., :1], targets[..., :-1]], axis=-1)
