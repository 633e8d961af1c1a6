"""What keeps ids from decoding to a text: a character that the tokenizer takes for another, and ids of the unknown."""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.unaligned import load8


@kernel
def texts_with_mark(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], found: npt.NDArray[np.bool_]) -> None:
    """Set `found` [texts] of those with sentencepiece's space mark U+2581, E2 96 81 in UTF-8."""
    for row in range(len(found)):
        at, end = offsets[row], offsets[row + 1]
        while at < end and not found[row]:
            if at + 8 <= end:  # the high bit of each byte that is 0xE2; a borrow can only add bits after one
                other = load8(data, at) ^ uint64(0xE2E2E2E2E2E2E2E2)
                if (other - uint64(0x0101010101010101)) & ~other & uint64(0x8080808080808080) == uint64(0):
                    at += 8
                    continue
            stop = min(at + 8, end)
            while at < stop:
                found[row] |= data[at] == 0xE2 and data[at + 1] == 0x96 and data[at + 2] == 0x81
                at += 1


@kernel
def texts_with_id(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], token: int, found: npt.NDArray[np.bool_]
) -> None:
    """Set `found` [texts] of those whose ids, ids[offsets[i] : offsets[i + 1]], hold `token`."""
    for row in range(len(found)):
        some = False
        for at in range(offsets[row], offsets[row + 1]):
            some |= ids[at] == token
        found[row] |= some


def warmup() -> None:
    """Compile for the types that encoding uses."""
    offsets, found = np.array([0, 1], np.int64), np.zeros(1, np.bool_)
    texts_with_mark(np.frombuffer(b"a", dtype=np.uint8), offsets, found)
    texts_with_id(np.zeros(1, np.int32), offsets, 0, found)
