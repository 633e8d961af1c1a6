"""Writes a two-label linear model in the quantised format of fastText 0.9 (version 12), which fastText itself loads.

Two dimensions: a row's value, and 1 for every row, so that the mean of a text's rows holds the mean value and 1. The
output rows are (-1/2, -offset/2) for the negative label and (1/2, offset/2) for the positive: their difference is
value + offset, of which fastText's softmax takes the logistic.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpusmill.stages.models.model_file import MAGIC

VERSION, SUPERVISED, SOFTMAX = 12, 3, 3
WORD, LABEL = 0, 1
NUM_LEVELS = 256


@dataclass(frozen=True)
class PrunedModel:
    """W words come first, then K n-grams by their number below `bucket`, ascending."""

    words: Sequence[str]
    ngrams: npt.NDArray[np.int32]  # K
    labels: tuple[str, str]  # negative, positive
    codes: npt.NDArray[np.uint8]  # W + K, the level of each row
    levels: npt.NDArray[np.float32]  # 256
    offset: float
    minn: int
    maxn: int
    word_ngrams: int
    bucket: int


def write_pruned(model: PrunedModel, path: Path) -> None:
    """The whole file at once; a few MB."""
    dim = 2
    num_words, num_labels = len(model.words), len(model.labels)
    # dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate, t
    settings = (dim, 5, 1, 1, 5, model.word_ngrams, SOFTMAX, SUPERVISED, model.bucket, model.minn, model.maxn, 100)
    parts = [struct.pack("<ii", MAGIC, VERSION), struct.pack("<12id", *settings, 1e-4)]
    parts.append(struct.pack("<3i2q", num_words + num_labels, num_words, num_labels, num_words, len(model.ngrams)))
    for word, kind in [
        *((word, WORD) for word in model.words),
        *((f"__label__{each}", LABEL) for each in model.labels),
    ]:
        parts.append(word.encode() + b"\0" + struct.pack("<qb", 1, kind))
    pairs = np.stack([model.ngrams, np.arange(len(model.ngrams), dtype=np.int32)], axis=1)
    parts.append(pairs.astype("<i4").tobytes())
    centroids = np.stack([model.levels, np.ones(NUM_LEVELS, np.float32)], axis=1)
    parts.append(struct.pack("<??qqi", True, False, len(model.codes), dim, len(model.codes)))  # quantised, no norms
    parts.append(model.codes.tobytes())
    parts.append(struct.pack("<4i", dim, 1, dim, dim) + centroids.astype("<f4").tobytes())
    output = np.array([[-0.5, -model.offset / 2], [0.5, model.offset / 2]], dtype="<f4")
    parts.append(struct.pack("<?qq", False, num_labels, dim) + output.tobytes())
    path.write_bytes(b"".join(parts))
