"""fastText's supervised models over the Arrow buffer: the mean of the rows of words, subwords and word n-grams, then
the output layer.

The same steps in the same order as fastText 0.9.2 takes them (Joulin et al. 2016; checked against the library to
1e-5), so the rounding of its single-precision sums is repeated too. Letters: N documents, D dimensions, L labels,
M rows; `fasttext_words.py` finds the rows.
"""

import numpy as np
import numpy.typing as npt
from numba import int32, int64

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.fasttext_lookup import Lookup
from corpusmill.stages.kernels.fasttext_words import (
    buffers,
    find_phrases,
    find_rows,
    is_label,
    next_word,
    put_word,
)

SEEN_WORDS = 1 << 15  # slots for words of the batch whose rows are known; a power of two
SEEN_ROWS = 1 << 20
LONGEST_SEEN = 64  # bytes


@kernel
def mean_rows(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    lookup: Lookup,
    rows_MD: npt.NDArray[np.float32],
    num_tokens: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """float32 [N, D]: the mean of each document's rows. `num_tokens` gets its words, 0 where the mean is of nothing."""
    token, hashes, found = buffers(offsets, lookup)
    seen_at = np.zeros(SEEN_WORDS, dtype=np.int64)  # words of the batch by hash: where they stood
    seen_length = np.zeros(SEEN_WORDS, dtype=np.int32)
    seen_first = np.zeros(SEEN_WORDS, dtype=np.int32)  # of their rows in `seen_rows`
    seen_last = np.zeros(SEEN_WORDS, dtype=np.int32)
    seen_rows = np.empty(SEEN_ROWS, dtype=np.int32)
    num_seen = 0
    mean_ND = np.zeros((offsets.shape[0] - 1, rows_MD.shape[1]), dtype=np.float32)
    for document in range(offsets.shape[0] - 1):
        total_D = mean_ND[document]
        at, end = offsets[document], offsets[document + 1]
        num_rows, num_hashes, ended = int64(0), 0, False
        while not ended:
            start, at, value = next_word(data, at, end)
            num_tokens[document] += at > start
            slot = int64(value) & (SEEN_WORDS - 1)
            length = at - start
            if length > 0 and length == seen_length[slot] and equal_bytes(data, start, seen_at[slot], length):
                add_rows(total_D, rows_MD, seen_rows, seen_first[slot], seen_last[slot])
                num_found = seen_last[slot] - seen_first[slot]
            else:
                length, value, ended = put_word(data, start, at, value, token)
                if is_label(token, length):
                    continue
                num_found = find_rows(token, length, value, ended, lookup, found)
                add_rows(total_D, rows_MD, found, 0, num_found)
                if not ended and length <= LONGEST_SEEN and num_seen + num_found <= SEEN_ROWS:
                    seen_at[slot], seen_length[slot] = start, length
                    seen_first[slot], seen_last[slot] = num_seen, num_seen + num_found
                    seen_rows[num_seen : num_seen + num_found] = found[:num_found]
                    num_seen += num_found
            num_rows += num_found
            hashes[num_hashes] = int32(value)
            num_hashes += 1
        num_found = find_phrases(hashes, num_hashes, lookup, found)
        add_rows(total_D, rows_MD, found, 0, num_found)
        num_rows += num_found
        if num_rows > 0:
            share = np.float32(1.0 / num_rows)
            for d in range(total_D.shape[0]):
                total_D[d] *= share
        else:
            num_tokens[document] = 0
    return mean_ND


@inlined
def add_rows(
    total_D: npt.NDArray[np.float32],
    rows_MD: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.int32],
    first: int,
    last: int,
) -> None:
    """Adds the rows numbers[first:last]."""
    for i in range(first, last):
        row = numbers[i]
        for d in range(total_D.shape[0]):
            total_D[d] += rows_MD[row, d]


@kernel
def equal_bytes(data: npt.NDArray[np.uint8], first: int, second: int, length: int) -> bool:
    for i in range(length):  # noqa: SIM110  Numba compiles no all()
        if data[first + i] != data[second + i]:
            return False
    return True


@kernel
def softmax(mean_ND: npt.NDArray[np.float32], output_LD: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [N, L]: probabilities plus the 1e-5 that fastText adds inside its logarithm."""
    num_documents, num_labels = mean_ND.shape[0], output_LD.shape[0]
    scores_NL = np.empty((num_documents, num_labels), dtype=np.float32)
    exponents = np.empty(num_labels, dtype=np.float64)
    for document in range(num_documents):
        highest = -np.inf
        for label in range(num_labels):
            exponents[label] = dot(mean_ND, document, output_LD, label)
            highest = max(highest, exponents[label])
        total = 0.0
        for label in range(num_labels):
            exponents[label] = np.exp(exponents[label] - highest)
            total += exponents[label]
        for label in range(num_labels):
            scores_NL[document, label] = exponents[label] / total + 1e-5
    return scores_NL


@kernel
def one_vs_all(mean_ND: npt.NDArray[np.float32], output_LD: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [N, L]: a logistic per label, read from fastText's table of 512 steps between -8 and 8, plus 1e-5."""
    num_documents, num_labels = mean_ND.shape[0], output_LD.shape[0]
    scores_NL = np.empty((num_documents, num_labels), dtype=np.float32)
    for document in range(num_documents):
        for label in range(num_labels):
            x = dot(mean_ND, document, output_LD, label)
            step = int((min(max(x, -8.0), 8.0) + 8.0) * 512 / 16)
            logistic = 1.0 / (1.0 + np.exp(8.0 - step * 16 / 512))
            scores_NL[document, label] = (0.0 if x < -8.0 else 1.0 if x > 8.0 else logistic) + 1e-5
    return scores_NL


@kernel
def hierarchical_softmax(
    mean_ND: npt.NDArray[np.float32],
    output_LD: npt.NDArray[np.float32],
    left: npt.NDArray[np.int32],
    right: npt.NDArray[np.int32],
    only_best: bool,
) -> npt.NDArray[np.float32]:
    """float32 [N, L]: the product of the decisions on the way to each leaf, each plus 1e-5 as fastText takes them.

    Inner node i of the tree is output row i - L, its children are left[i - L] and right[i - L], the root is the last.
    With `only_best` branches below the best leaf of the greedy descent are left at 0.
    """
    num_documents, num_labels = mean_ND.shape[0], output_LD.shape[0]
    scores_NL = np.zeros((num_documents, num_labels), dtype=np.float32)
    logs = np.empty(2 * num_labels - 1, dtype=np.float64)
    logistic = np.empty(num_labels, dtype=np.float64)
    for document in range(num_documents):
        root = 2 * num_labels - 2
        logs[:] = -np.inf
        logs[root] = 0.0
        logistic[:] = -1.0
        best = -np.inf
        if only_best:
            node, best = root, 0.0
            while node >= num_labels:
                x = 1.0 / (1.0 + np.exp(-dot(mean_ND, document, output_LD, node - num_labels)))
                logistic[node - num_labels] = x
                best += np.log(max(x, 1.0 - x) + 1e-5)
                node = right[node - num_labels] if x >= 0.5 else left[node - num_labels]
            best -= 1e-3  # a step adds up to 1e-5: a node may lie below its best leaf by as many as there are steps
        for node in range(root, num_labels - 1, -1):
            if logs[node] < best or logs[node] == -np.inf:
                continue
            x = logistic[node - num_labels]
            if x < 0.0:
                x = 1.0 / (1.0 + np.exp(-dot(mean_ND, document, output_LD, node - num_labels)))
            logs[left[node - num_labels]] = logs[node] + np.log(1.0 - x + 1e-5)
            logs[right[node - num_labels]] = logs[node] + np.log(x + 1e-5)
        for label in range(num_labels):
            if logs[label] >= best and logs[label] > -np.inf:
                scores_NL[document, label] = np.exp(logs[label])
    return scores_NL


@kernel
def dot(mean_ND: npt.NDArray[np.float32], document: int, output_LD: npt.NDArray[np.float32], row: int) -> float:
    total = np.float32(0.0)
    for d in range(mean_ND.shape[1]):
        total += mean_ND[document, d] * output_LD[row, d]
    return float(total)


def warmup() -> None:
    """Compiles for the types in use: a model of one word and two labels over one empty document."""
    empty, offsets = np.zeros(0, dtype=np.uint8), np.zeros(2, dtype=np.int64)
    slots, bits = np.full(2, -1, dtype=np.int32), np.zeros(0, dtype=np.uint64)
    hashes, numbers = np.zeros(1, dtype=np.uint32), np.zeros(0, dtype=np.int32)
    rows, counts = np.zeros((2, 2), dtype=np.float32), np.zeros(1, dtype=np.int64)
    lookup = Lookup(empty, offsets, hashes, slots, bits, numbers, numbers, 1, 0, 0, 1)
    mean = mean_rows(empty, offsets, lookup, rows, counts)
    softmax(mean, rows)
    one_vs_all(mean, rows)
    children = np.zeros(1, dtype=np.int32)
    hierarchical_softmax(mean, rows, children, children + np.int32(1), True)
