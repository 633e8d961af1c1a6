"""fastText's supervised models over the Arrow buffer: the mean of the rows of words, subwords and word n-grams, then
the output layer.

The same steps in the same order as fastText 0.9.2 takes them (Joulin et al. 2016; checked against the library to
1e-5), so the rounding of its single-precision sums is repeated too. A line feed counts as a space. Letters: N
documents, D dimensions, L labels, M rows; `stages/models/fasttext_model.py` describes the arrays of a model.
"""

import numpy as np
import numpy.typing as npt
from numba import int32, int64, uint32, uint64

from corpusmill.stages.kernels.compile import inlined, kernel

SEEN_WORDS = 1 << 15  # slots for words of the batch whose rows are known; a power of two
SEEN_ROWS = 1 << 20
LONGEST_SEEN = 64  # bytes


@inlined
def hash_byte(value: np.uint32, byte: np.uint8) -> np.uint32:
    """One step of FNV-1a as fastText computes it: bytes above 127 are extended by their sign."""
    extended = uint32(byte) | uint32(0xFFFFFF00) if byte > 127 else uint32(byte)
    return uint32((value ^ extended) * uint32(16777619))


@inlined
def add_row(total_D: npt.NDArray[np.float32], rows_MD: npt.NDArray[np.float32], row: int) -> None:
    for d in range(total_D.shape[0]):
        total_D[d] += rows_MD[row, d]


@inlined
def place(
    kept_bits: npt.NDArray[np.uint64],
    kept_before: npt.NDArray[np.int32],
    kept_rows: npt.NDArray[np.int32],
    number: int,
) -> int:
    """Where n-gram `number` lies behind the words, -1 where pruning dropped it.

    A bit per n-gram, and the number of bits before each 64: half a MB for 2 million n-grams stays in the second-level
    cache, where a plain table (8 MB) does not.
    """
    if kept_bits.shape[0] == 0:
        return number
    block = kept_bits[number >> 6]
    bit = uint64(1) << uint64(number & 63)
    if block & bit == 0:
        return -1
    below = block & (bit - uint64(1))
    below -= (below >> uint64(1)) & uint64(0x5555555555555555)
    below = (below & uint64(0x3333333333333333)) + ((below >> uint64(2)) & uint64(0x3333333333333333))
    below = (below + (below >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    count = (below * uint64(0x0101010101010101)) >> uint64(56)
    return int(kept_rows[kept_before[number >> 6] + int64(count)])


@inlined
def remainder(value: np.uint32, divisor: int, inverse: float) -> int:
    """value % divisor by a multiplication: a 64-bit division takes ten times as long."""
    rest = int(value) - int(value * inverse) * divisor
    return rest + divisor if rest < 0 else rest - divisor if rest >= divisor else rest


@kernel
def mean_rows(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    word_bytes: npt.NDArray[np.uint8],
    word_offsets: npt.NDArray[np.int64],
    word_hashes: npt.NDArray[np.uint32],
    slots: npt.NDArray[np.int32],
    kept_bits: npt.NDArray[np.uint64],
    kept_before: npt.NDArray[np.int32],
    kept_rows: npt.NDArray[np.int32],
    bucket: int,
    minn: int,
    maxn: int,
    word_ngrams: int,
    rows_MD: npt.NDArray[np.float32],
    num_tokens: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """float32 [N, D]: the mean of each document's rows. `num_tokens` gets its words, 0 where the mean is of nothing."""
    num_documents = offsets.shape[0] - 1
    num_words = word_offsets.shape[0] - 1
    inverse = 1.0 / bucket if bucket > 0 else 0.0
    longest = 0
    for document in range(num_documents):
        longest = max(longest, offsets[document + 1] - offsets[document])
    token = np.empty(longest + 8, dtype=np.uint8)  # < and > around it; the end of the sentence has four bytes
    found = np.empty(max(1, maxn) * (longest + 8) + 1, dtype=np.int32)  # rows of one word
    hashes = np.empty(longest // 2 + 2 if word_ngrams > 1 else 1, dtype=np.int32)
    # Words seen before, by hash: where they stood, and their rows in `seen_rows`.
    seen_at = np.full(SEEN_WORDS, -1, dtype=np.int64)
    seen_length = np.zeros(SEEN_WORDS, dtype=np.int32)
    seen_start = np.zeros(SEEN_WORDS, dtype=np.int32)
    seen_count = np.zeros(SEEN_WORDS, dtype=np.int32)
    seen_rows = np.empty(SEEN_ROWS, dtype=np.int32)
    num_seen_rows = 0
    mean_ND = np.zeros((num_documents, rows_MD.shape[1]), dtype=np.float32)
    for document in range(num_documents):
        total_D = mean_ND[document]
        num_rows = int64(0)
        num_hashes = 0
        at, end = offsets[document], offsets[document + 1]
        ended = False
        while not ended:
            while at < end and is_blank(data[at]):
                at += 1
            start = at
            value = uint32(2166136261)
            while at < end and not is_blank(data[at]):
                value = hash_byte(value, data[at])
                at += 1
            length = at - start
            if length > 0:
                num_tokens[document] += 1
                seen = int64(value) & (SEEN_WORDS - 1)
                if length == seen_length[seen] and equal_bytes(data, start, seen_at[seen], length):
                    for i in range(seen_start[seen], seen_start[seen] + seen_count[seen]):
                        add_row(total_D, rows_MD, seen_rows[i])
                    num_rows += seen_count[seen]
                    if word_ngrams > 1:
                        hashes[num_hashes] = int32(value)
                        num_hashes += 1
                    continue
                token[1 : length + 1] = data[start:at]
            else:  # the line ends with a word of its own, </s>
                token[1], token[2], token[3], token[4] = 60, 47, 115, 62
                length = 4
                for i in range(1, 5):
                    value = hash_byte(value, token[i])
            ended = length == 4 and token[1] == 60 and token[2] == 47 and token[3] == 115 and token[4] == 62
            if is_label(token, length):
                continue
            if word_ngrams > 1:
                hashes[num_hashes] = int32(value)
                num_hashes += 1
            num_found = 0
            word = find_word(token, length, value, word_bytes, word_offsets, word_hashes, slots)
            if word >= 0:
                found[0] = word
                num_found = 1
            if maxn > 0 and not ended:
                token[0], token[length + 1] = 60, 62
                num_found = find_subwords(
                    token,
                    length + 2,
                    kept_bits,
                    kept_before,
                    kept_rows,
                    bucket,
                    inverse,
                    minn,
                    maxn,
                    num_words,
                    found,
                    num_found,
                )
            for i in range(num_found):
                add_row(total_D, rows_MD, found[i])
            num_rows += num_found
            if not ended and length <= LONGEST_SEEN and num_seen_rows + num_found <= SEEN_ROWS:
                seen = int64(value) & (SEEN_WORDS - 1)
                seen_at[seen], seen_length[seen] = start, length
                seen_start[seen], seen_count[seen] = num_seen_rows, num_found
                seen_rows[num_seen_rows : num_seen_rows + num_found] = found[:num_found]
                num_seen_rows += num_found
        for first in range(num_hashes):
            joined = uint64(int64(hashes[first]))
            for second in range(first + 1, min(num_hashes, first + word_ngrams)):
                joined = joined * uint64(116049371) + uint64(int64(hashes[second]))
                row = place(kept_bits, kept_before, kept_rows, int64(joined % uint64(bucket)))
                if row >= 0:
                    add_row(total_D, rows_MD, num_words + row)
                    num_rows += 1
        if num_rows > 0:
            share = np.float32(1.0 / num_rows)
            for d in range(total_D.shape[0]):
                total_D[d] *= share
        else:
            num_tokens[document] = 0
    return mean_ND


@inlined
def is_blank(byte: np.uint8) -> bool:
    """What fastText splits at: space, tab, line feed, vertical tab, form feed, carriage return, the null character."""
    return bool(byte <= 32 and (byte == 32 or byte == 0 or 9 <= byte <= 13))


@kernel
def equal_bytes(data: npt.NDArray[np.uint8], first: int, second: int, length: int) -> bool:
    for i in range(length):  # noqa: SIM110  Numba compiles no all()
        if data[first + i] != data[second + i]:
            return False
    return True


@kernel
def find_subwords(
    token: npt.NDArray[np.uint8],
    size: int,
    kept_bits: npt.NDArray[np.uint64],
    kept_before: npt.NDArray[np.int32],
    kept_rows: npt.NDArray[np.int32],
    bucket: int,
    inverse: float,
    minn: int,
    maxn: int,
    num_words: int,
    found: npt.NDArray[np.int32],
    num_found: int,
) -> int:
    """Appends the rows of the character n-grams of <word>, and gives the number of rows found so far."""
    for start in range(size):
        if token[start] & 0xC0 == 0x80:
            continue
        value = uint32(2166136261)
        stop = start
        n = 0
        while stop < size and n < maxn:
            value = hash_byte(value, token[stop])
            stop += 1
            while stop < size and token[stop] & 0xC0 == 0x80:
                value = hash_byte(value, token[stop])
                stop += 1
            n += 1
            if n >= minn and not (n == 1 and (start == 0 or stop == size)):
                row = place(kept_bits, kept_before, kept_rows, remainder(value, bucket, inverse))
                if row >= 0:
                    found[num_found] = num_words + row
                    num_found += 1
    return num_found


@kernel
def find_word(
    token: npt.NDArray[np.uint8],
    length: int,
    value: np.uint32,
    word_bytes: npt.NDArray[np.uint8],
    word_offsets: npt.NDArray[np.int64],
    word_hashes: npt.NDArray[np.uint32],
    slots: npt.NDArray[np.int32],
) -> int:
    """The number of the word from byte 1 of `token`, whose hash is `value`; -1 if the model does not know it."""
    slot = int64(value) & (slots.shape[0] - 1)
    while slots[slot] >= 0:
        word = slots[slot]
        start = word_offsets[word]
        if word_hashes[word] == value and word_offsets[word + 1] - start == length:
            same = True
            for i in range(length):
                if token[i + 1] != word_bytes[start + i]:
                    same = False
                    break
            if same:
                return int(word)
        slot = (slot + 1) & (slots.shape[0] - 1)
    return -1


@kernel
def is_label(token: npt.NDArray[np.uint8], length: int) -> bool:
    """Whether the token from byte 1 begins with __label__, which fastText leaves out."""
    if length < 9 or token[1] != 95 or token[2] != 95 or token[8] != 95 or token[9] != 95:
        return False
    return bool(token[3] == 108 and token[4] == 97 and token[5] == 98 and token[6] == 101 and token[7] == 108)


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
    kept = (bits, numbers, numbers)
    mean = mean_rows(empty, offsets, empty, offsets, hashes, slots, *kept, 1, 0, 0, 1, rows, counts)
    softmax(mean, rows)
    one_vs_all(mean, rows)
    children = np.zeros(1, dtype=np.int32)
    hierarchical_softmax(mean, rows, children, children + np.int32(1), True)
