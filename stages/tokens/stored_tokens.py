"""Token files of other programs as documents of ids: Megatron `.bin` with `.idx`, and nanotron `.ds` with `.ds.index`.

A document ends where its index says and after every end id; the end ids themselves are left out, so what follows is
the same whether a file has them or not. Formats: megatron_index.py, export/nanotron.py. Memory: one document.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.stages.tokens.megatron_index import read_index

Opener = Callable[[str], BinaryIO]
"""Opens a path for reading; raises OSError where it is missing."""


@dataclass(frozen=True)
class StoredTokens:
    """One token file: `bounds` [documents + 1] in tokens."""

    path: str
    dtype: "np.dtype[Any]"
    bounds: npt.NDArray[np.int64]

    def documents(self, open_file: Opener, end: int) -> Iterator[npt.NDArray[np.int64]]:
        """The ids of each document without end ids; of an empty one too."""
        with open_file(self.path) as body:
            for start, stop in zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True):
                size = (stop - start) * self.dtype.itemsize
                data = body.read(size)
                if len(data) != size:
                    raise DamagedFileError(f"{self.path}: ends before token {stop} of its index.")
                ids = np.frombuffer(data, self.dtype).astype(np.int64)
                pieces = np.split(ids, np.flatnonzero(ids == end) + 1)
                if len(pieces) > 1 and not len(pieces[-1]):
                    pieces.pop()
                for piece in pieces:
                    yield piece[:-1] if len(piece) and piece[-1] == end else piece


def stored_tokens(path: str, open_file: Opener) -> StoredTokens:
    """The file at `path`, `.bin` or `.ds`, with its index; DamagedFileError where they do not belong together."""
    if path.endswith(".bin"):
        return megatron_tokens(path, open_file)
    if path.endswith(".ds"):
        return nanotron_tokens(path, open_file)
    raise RequestError(f"{path}: neither a Megatron .bin nor a nanotron .ds file.")


def megatron_tokens(path: str, open_file: Opener) -> StoredTokens:
    index = read_index(read(path.removesuffix(".bin") + ".idx", open_file), path)
    ends = np.cumsum(index.lengths, dtype=np.int64)
    starts = ends - index.lengths
    if not np.array_equal(index.pointers, starts * index.dtype.itemsize):
        raise DamagedFileError(f"{path}: its index does not lay sequences end to end. Write it again in order.")
    bounds = np.r_[0, ends][index.document_indices]
    return StoredTokens(path, index.dtype, bounds)


def nanotron_tokens(path: str, open_file: Opener) -> StoredTokens:
    """The width of an id follows from the sizes: 2 bytes or 4."""
    ends = np.frombuffer(read(f"{path}.index", open_file), "<u8").astype(np.int64)
    with open_file(path) as body:
        size = body.seek(0, 2)
    total = int(ends[-1]) if len(ends) else 0
    if size not in (2 * total, 4 * total) or (np.diff(ends) < 0).any():
        raise DamagedFileError(f"{path}: {size} bytes for {total} tokens by its index, neither 2 nor 4 a token.")
    return StoredTokens(path, np.dtype("<u4" if total and size == 4 * total else "<u2"), np.r_[0, ends])


def read(path: str, open_file: Opener) -> bytes:
    try:
        with open_file(path) as file:
            return file.read()
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path}: missing; it must lie beside the tokens that it describes.") from error
