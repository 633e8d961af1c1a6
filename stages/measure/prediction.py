"""Applies a fastText model to a column of prepared texts: fastText's own scores, without a Python string per text.

Language id runs seven to nine times as fast as in the library (benchmarks/classifiers.py).
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.stages.models.fasttext_model import (
    HIERARCHICAL_SOFTMAX,
    NEGATIVE_SAMPLING,
    ONE_VS_ALL,
    SOFTMAX,
    read_model,
)


class Predictor:
    """Holds one model. `labels` are in the model's order, which is that of the scores."""

    def __init__(self, path: Path) -> None:
        self.model = read_model(path)
        self.labels = self.model.labels
        if self.model.loss not in (HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL):
            raise DamagedFileError(
                f"{path}: loss is {self.model.loss}, expected 1 to 4. Fetch or train the model again."
            )
        self.left, self.right = huffman_tree(self.model.label_counts)

    def scores(
        self, lines: Column, *, only_best: bool = False
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """float32 [rows, labels], and int64 [rows] the words of each line; without any the scores mean nothing.

        With `only_best`, labels other than the best may be left at 0, which is faster with many of them.
        """
        from corpusmill.stages.kernels import text_classifier as kernels

        model = self.model
        data, offsets = text_buffers(lines)
        num_tokens = np.zeros(len(lines), dtype=np.int64)
        mean = kernels.mean_rows(data, offsets, model.lookup, model.rows, num_tokens)
        if model.loss == SOFTMAX:
            return kernels.softmax(mean, model.output), num_tokens
        if model.loss == HIERARCHICAL_SOFTMAX:
            best = kernels.hierarchical_softmax(mean, model.output, self.left, self.right, only_best)
            return best, num_tokens
        return kernels.one_vs_all(mean, model.output), num_tokens


def huffman_tree(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Left and right children of the inner nodes of fastText's tree over labels, which come by falling count.

    Leaf i is label i; inner node i, from the number of labels on, joins the two rarest nodes without a parent, leaves
    first only where they are strictly rarer.
    """
    num_labels = len(counts)
    weight = [*counts.tolist()] + [10**15] * (num_labels - 1)
    left, right = np.zeros((2, max(num_labels - 1, 0)), dtype=np.int32)
    leaf, inner = num_labels - 1, num_labels
    for node in range(num_labels, 2 * num_labels - 1):
        chosen = []
        for _ in range(2):
            if leaf >= 0 and weight[leaf] < weight[inner]:
                chosen.append(leaf)
                leaf -= 1
            else:
                chosen.append(inner)
                inner += 1
        left[node - num_labels], right[node - num_labels] = chosen
        weight[node] = weight[chosen[0]] + weight[chosen[1]]
    return left, right
