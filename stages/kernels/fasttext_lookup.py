"""What finds the rows of a fastText model: its words, and the n-grams that pruning kept."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Lookup(NamedTuple):
    """Letters: W words, S slots, B buckets."""

    word_bytes: npt.NDArray[np.uint8]  # all words, one after the other
    word_offsets: npt.NDArray[np.int64]  # W + 1
    word_hashes: npt.NDArray[np.uint32]  # W
    slots: npt.NDArray[np.int32]  # S, a power of two: a word's number at hash % S or after, -1 where empty
    kept_bits: npt.NDArray[np.uint64]  # a bit for each of B n-grams that pruning kept; empty without pruning
    kept_before: npt.NDArray[np.int32]  # how many bits are set before each 64
    kept_rows: npt.NDArray[np.int32]  # for each set bit, its row behind the words
    bucket: int  # B
    minn: int
    maxn: int
    word_ngrams: int
