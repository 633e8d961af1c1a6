"""The text that ids stand for, all documents of a stretch at once."""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import kernel


@kernel
def spell(
    ids: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    piece_ends: npt.NDArray[np.int64],
    pieces: npt.NDArray[np.uint8],
    data: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
) -> None:
    """Bytes of every id into `data`, and where those of ids[offsets[i] : offsets[i + 1]] end into `ends` [documents].

    Id t is written as pieces[piece_ends[t] : piece_ends[t + 1]].
    """
    at = 0
    for row in range(len(ends)):
        for number in range(offsets[row], offsets[row + 1]):
            for position in range(piece_ends[ids[number]], piece_ends[ids[number] + 1]):
                data[at] = pieces[position]
                at += 1
        ends[row] = at


def warmup() -> None:
    """Compile for the types that are used."""
    ends = np.array([0, 1], np.int64)
    spell(np.zeros(1, np.int64), ends, ends, np.zeros(1, np.uint8), np.zeros(1, np.uint8), ends[:1])
