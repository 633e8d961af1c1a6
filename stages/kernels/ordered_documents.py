"""Documents in another order: their ids copied end to end, in the type in which they are stored."""

from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import kernel


@kernel
def put_documents(
    ids: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    stored: npt.NDArray[Any],
) -> None:
    """Fill `stored` with ids[starts[i] : starts[i] + lengths[i]] of every i; types may differ, values must fit."""
    at = 0
    for number in range(len(starts)):
        count = lengths[number]
        source, target = ids[starts[number] : starts[number] + count], stored[at : at + count]
        for position in range(count):
            target[position] = source[position]
        at += count


def warmup() -> None:
    """Compile for ids as they are encoded and as they are stored."""
    starts, lengths = np.zeros(1, np.int64), np.ones(1, np.int64)
    for dtype in (np.uint16, np.uint32):
        put_documents(np.zeros(1, np.int32), starts, lengths, np.zeros(1, dtype))
        put_documents(np.zeros(1, dtype), starts, lengths, np.zeros(1, dtype))
