"""Token files whose blocks are compared with their checksums when they are first read.

`.sums` beside a `.bin` holds BLAKE3-128 of every MiB. A reader that was asked to check reads the whole block of the
first token that it needs of it, once, and remembers: about 1 GB/s, then nothing. On an object store it fetches the MiB.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.block_cache import StoredTokens
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.pipeline.run_folder import CHECKSUM_BYTES, Checksum, RunFolder

BLOCK_BYTES = 1 << 20


class CheckedTokens:
    """The tokens of one file; a slice raises DamagedFileError where a block under it is not what was written."""

    def __init__(self, tokens: npt.NDArray[Any] | StoredTokens, run: RunFolder, path: str) -> None:
        """`path` is without suffix."""
        self.tokens, self.dtype, self.run, self.path = tokens, tokens.dtype, run, path
        self._sums = run.read_bytes(f"{path}.sums")
        self._width = BLOCK_BYTES // tokens.dtype.itemsize
        count = -(-len(tokens) // self._width)
        if len(self._sums) != count * CHECKSUM_BYTES:
            raise DamagedFileError(f"{run.url}/{path}.sums: {len(self._sums)} bytes for {count} blocks. Build again.")
        self._checked = np.zeros(count, dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, tokens: slice) -> npt.NDArray[Any]:
        start, stop, _ = tokens.indices(len(self.tokens))
        for block in range(start // self._width, -(-stop // self._width) if start < stop else 0):
            if not self._checked[block]:
                self._check(block)
        return self.tokens[start:stop]

    def _check(self, block: int) -> None:
        digest = Checksum()
        digest.update(np.ascontiguousarray(self.tokens[block * self._width : (block + 1) * self._width]).data)
        if digest.digest() != self._sums[block * CHECKSUM_BYTES : (block + 1) * CHECKSUM_BYTES]:
            raise DamagedFileError(
                f"{self.run.url}/{self.path}.bin, MiB {block}: its checksum is not the one in .sums. "
                "Delete the file and build again."
            )
        self._checked[block] = True
