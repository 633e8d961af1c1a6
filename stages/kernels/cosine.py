"""Nearest vectors by cosine, added up in one order: the same bits whatever the batch, which a BLAS does not promise."""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import kernel


@kernel
def unit_rows(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rows brought to length 1; a row of zeros stays one."""
    scaled = np.empty_like(matrix)
    for row in range(len(matrix)):
        length = np.sqrt(dot(matrix[row], matrix[row]))
        for i in range(matrix.shape[1]):
            scaled[row, i] = matrix[row, i] / length if length > 0 else 0.0
    return scaled


@kernel
def dot(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> float:
    total = 0.0
    for i in range(len(left)):
        total += left[i] * right[i]
    return total


@kernel
def nearest(vectors: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The centre with the greatest product for each vector, the first of equals."""
    found = np.zeros(len(vectors), dtype=np.int64)
    for row in range(len(vectors)):
        best = -np.inf
        for centre in range(len(centres)):
            product = dot(vectors[row], centres[centre])
            if product > best:
                best, found[row] = product, centre
    return found


@kernel
def winners(
    vectors: npt.NDArray[np.float32], min_cosine: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """For each vector of length 1, best first: the nearest of those that stay before it, where near enough, else -1."""
    winner = np.full(len(vectors), -1, dtype=np.int64)
    cosine = np.zeros(len(vectors), dtype=np.float64)
    kept = np.empty(len(vectors), dtype=np.int64)
    num_kept = 0
    for i in range(len(vectors)):
        for k in range(num_kept):
            product = dot(vectors[i], vectors[kept[k]])
            if product >= min_cosine and product > cosine[i]:
                winner[i], cosine[i] = kept[k], product
        if winner[i] < 0:
            kept[num_kept] = i
            num_kept += 1
    return winner, cosine


def warmup() -> None:
    """Compile for the types that `semantic` uses."""
    one = np.ones((1, 1), dtype=np.float32)
    unit_rows(one)
    nearest(one, one)
    winners(one, 0.5)
