"""Ids of documents as they are stored: in the type of the token files, the end id behind each document."""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import kernel


@kernel
def put_end_ids(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], end: int, stored: npt.NDArray[np.uint16]
) -> None:
    """Fill `stored` [ids + documents], of 2 or 4 bytes: document i is ids[offsets[i] : offsets[i + 1]]."""
    for number in range(len(offsets) - 1):
        start, count = offsets[number], offsets[number + 1] - offsets[number]
        source, target = ids[start : start + count], stored[start + number : start + number + count]
        for at in range(count):
            target[at] = source[at]
        stored[start + number + count] = end


def warmup() -> None:
    """Compile for both types of stored ids."""
    ids, offsets = np.zeros(1, np.int32), np.array([0, 1], np.int64)
    put_end_ids(ids, offsets, 0, np.zeros(2, np.uint16))
    put_end_ids(ids, offsets, 0, np.zeros(2, np.uint32))
