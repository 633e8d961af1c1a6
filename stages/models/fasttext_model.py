"""A fastText model as arrays, read from its .bin or .ftz file: what the kernels of `text_classifier` compute with.

The format is fastText's own (versions 11 and 12, little-endian): settings, dictionary, the n-grams that pruning kept,
input matrix (dense, or product-quantised with a norm per row), output matrix. A quantised input is expanded once:
lid.176.ftz takes 5 MB in memory. Every length in the file is checked against what is left of it, so a cut or
corrupt file is refused by name before anything is allocated for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.stages.kernels.fasttext_lookup import Lookup
from corpusmill.stages.models.model_file import check_model

HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
SUPERVISED = 3

Number = TypeVar("Number", bound=np.generic)
LABEL = "__label__"


@dataclass(frozen=True)
class FastTextModel:
    """Letters: L labels, M rows of the input, D dimensions."""

    labels: tuple[str, ...]  # L, without __label__
    label_counts: npt.NDArray[np.int64]  # L
    lookup: Lookup
    loss: int
    rows: npt.NDArray[np.float32]  # [M, D], first the words, then the n-grams
    output: npt.NDArray[np.float32]  # [L, D]; with hierarchical softmax the inner nodes of the tree


def find_lookup(
    words: Iterable[bytes | str],
    kept: npt.NDArray[np.int32] | None,
    *,
    bucket: int,
    minn: int,
    maxn: int,
    word_ngrams: int,
) -> Lookup:
    """The words in their order, with what finds them again; `kept`, after pruning, has pairs of n-gram and row."""
    encoded = [word.encode() if isinstance(word, str) else word for word in words]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(word) for word in encoded], out=offsets[1:])
    word_bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    hashes = _hashes(word_bytes, offsets)
    ngrams = _kept_ngrams(np.zeros((0, 2), np.int32) if kept is None else kept, 0 if kept is None else bucket)
    return Lookup(word_bytes, offsets, hashes, _slots(hashes), *ngrams, bucket, minn, maxn, word_ngrams)


def read_model(path: Path) -> FastTextModel:
    """The supervised model in `path`, after `check_model`."""
    digest = check_model(path)
    file = _Reader(path, digest, np.fromfile(path, dtype=np.uint8))
    _, version = file.integers(2)
    _, _, _, _, _, word_ngrams, loss, model, bucket, minn, maxn, _ = file.integers(12)  # dim, ws, epoch, minCount, neg
    file.array(np.float64, 1)  # t
    if model != SUPERVISED:
        raise file.damaged("is no classifier but a model of word vectors")
    if version == 11:
        maxn = 0  # supervised models of that version never used subwords
    num_entries, num_words, num_labels = file.integers(3)
    _, num_kept = (int(value) for value in file.array(np.int64, 2))
    words, counts = file.entries(num_entries)
    kept = file.array(np.int32, 2 * max(num_kept, 0)).reshape(-1, 2)
    if len(kept) and not (kept.min() >= 0 and kept[:, 0].max() < bucket):
        raise file.damaged(f"keeps n-grams {kept.min()} to {kept[:, 0].max()} of {bucket}")
    quantised = file.flag()
    rows = file.quantised() if quantised else file.dense()
    output = file.quantised() if file.flag() and quantised else file.dense()
    if num_words + num_labels != num_entries or num_labels < 1 or len(output) != num_labels:
        raise file.damaged(f"says {num_entries} entries, {num_words} words, {num_labels} labels, {len(output)} outputs")
    if output.shape[1] != rows.shape[1]:
        raise file.damaged(f"has an input of {rows.shape} and an output of {output.shape}")
    num_ngrams = int(kept[:, 1].max(initial=-1)) + 1 if num_kept >= 0 else bucket * (maxn > 0 or word_ngrams > 1)
    if len(rows) < num_words + num_ngrams or not -1 <= maxn <= 1000 or (num_ngrams > 0 and bucket < 1):
        raise file.damaged(f"has {len(rows)} rows for {num_words} words and {num_ngrams} n-grams of up to {maxn}")
    lookup = find_lookup(
        words[:num_words],
        kept if num_kept >= 0 else None,
        bucket=bucket,
        minn=minn,
        maxn=maxn,
        word_ngrams=word_ngrams,
    )
    return FastTextModel(
        labels=tuple(word.decode().removeprefix(LABEL) for word in words[num_words:]),
        label_counts=np.array(counts[num_words:], dtype=np.int64),
        lookup=lookup,
        loss=loss,
        rows=rows,
        output=output,
    )


def fnv_1a(word: bytes) -> int:
    """fastText's 32-bit FNV-1a, which takes bytes as signed: those above 127 set the upper 24 bits."""
    value = 2166136261
    for byte in word:
        value = ((value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619) & 0xFFFFFFFF
    return value


def _hashes(word_bytes: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """`fnv_1a` of all words, byte by byte over those that are long enough."""
    hashes = np.full(len(offsets) - 1, 2166136261, dtype=np.uint32)
    extended = word_bytes.view(np.int8).astype(np.int32).view(np.uint32)
    lengths = np.diff(offsets)
    for position in range(int(lengths.max(initial=0))):
        words = np.flatnonzero(lengths > position)
        hashes[words] = (hashes[words] ^ extended[offsets[words] + position]) * np.uint32(16777619)
    return hashes


def _slots(hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    """Open addressing with at most half of the slots taken: all words try their place at once, who fails goes on."""
    size = 1 << max(4, (2 * len(hashes)).bit_length())
    slots = np.full(size, -1, dtype=np.int32)
    words = np.arange(len(hashes), dtype=np.int32)
    place = hashes.astype(np.int64) % size
    while len(words):
        free = slots[place] < 0
        slots[place[free][::-1]] = words[free][::-1]  # of several, the first word stays
        failed = slots[place] != words
        words, place = words[failed], (place[failed] + 1) % size
    return slots


def _kept_ngrams(
    kept: npt.NDArray[np.int32], bucket: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Pairs of n-gram and row as bits, counts and rows; see `Lookup`."""
    ordered = kept[np.argsort(kept[:, 0], kind="stable")]
    bits = np.zeros((bucket + 63) // 64, dtype=np.uint64)
    np.bitwise_or.at(bits, ordered[:, 0] >> 6, np.uint64(1) << (ordered[:, 0] & 63).astype(np.uint64))
    before = np.searchsorted(ordered[:, 0], np.arange(len(bits)) * 64).astype(np.int32)
    return bits, before, np.ascontiguousarray(ordered[:, 1])


class _Reader:
    """Takes numbers from the file one after the other."""

    def __init__(self, path: Path, digest: str, content: npt.NDArray[np.uint8]) -> None:
        self.path, self.digest, self.content, self.at = path, digest, content, 0

    def damaged(self, what: str) -> DamagedFileError:
        return DamagedFileError(f"{self.path}: {what}; SHA-256 {self.digest}. Fetch or train the model again.")

    def array(self, kind: type[Number], count: int) -> npt.NDArray[Number]:
        size = np.dtype(kind).itemsize * count
        if count < 0 or size > len(self.content) - self.at:
            raise self.damaged(f"ends at byte {len(self.content)}, {size} more are expected from byte {self.at}")
        taken = self.content[self.at : self.at + size].copy().view(kind)
        self.at += size
        return taken

    def integers(self, count: int) -> list[int]:
        return [int(value) for value in self.array(np.int32, count)]

    def flag(self) -> bool:
        return bool(self.array(np.uint8, 1)[0])

    def entries(self, count: int) -> tuple[list[bytes], list[int]]:
        """Words and how often each was seen; after each its end, 8 bytes of count and 1 of type."""
        content = self.content.tobytes()
        words: list[bytes] = []
        counts: list[int] = []
        while len(words) < count:
            end = content.find(0, self.at)
            if end < 0 or end + 10 > len(content):
                raise self.damaged(f"ends in word {len(words)} of {count}")
            words.append(content[self.at : end])
            counts.append(int.from_bytes(content[end + 1 : end + 9], "little", signed=True))
            self.at = end + 10
        return words, counts

    def dense(self) -> npt.NDArray[np.float32]:
        num_rows, dim = (int(value) for value in self.array(np.int64, 2))
        return self.array(np.float32, num_rows * dim).reshape(num_rows, dim)

    def quantised(self) -> npt.NDArray[np.float32]:
        """[rows, dim]: the centroid of each code, times the row's norm where norms are quantised apart."""
        has_norms = self.flag()
        num_rows, dim = (int(value) for value in self.array(np.int64, 2))
        (num_codes,) = self.integers(1)
        codes = self.array(np.uint8, num_codes).reshape(num_rows, -1)
        rows = self._centroids(codes, dim)
        if has_norms:
            rows *= self._centroids(self.array(np.uint8, num_rows).reshape(num_rows, 1), 1)
        return rows

    def _centroids(self, codes: npt.NDArray[np.uint8], dim: int) -> npt.NDArray[np.float32]:
        """256 centroids for each group of `size` dimensions; the last group may be smaller."""
        own_dim, num_groups, size, last_size = self.integers(4)
        if own_dim != dim or codes.shape[1] != num_groups or (num_groups - 1) * size + last_size != dim:
            raise self.damaged(f"quantises {dim} dimensions as {num_groups} groups of {size} and {last_size}")
        centroids = self.array(np.float32, 256 * dim)
        rows = np.empty((len(codes), dim), dtype=np.float32)
        for group in range(num_groups):
            width = last_size if group == num_groups - 1 else size
            table = centroids[256 * size * group : 256 * (size * group + width)].reshape(256, width)
            rows[:, size * group : size * group + width] = table[codes[:, group]]
        return rows
