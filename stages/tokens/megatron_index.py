"""The `.idx` of Megatron's indexed datasets (version 1), to the byte, for documents of one sequence each.

    "MMIDIDX\\0\\0" | u64 version 1 | u8 dtype code | u64 S sequences | u64 D = documents + 1
    i32 lengths[S] tokens | i64 pointers[S] byte offsets in the .bin | i64 document_indices[D], from 0 to S

All little-endian. Codes: 4 is int32, 8 is uint16; there is none for uint32, and our ids stay below 2**31.
Source: megatron/core/datasets/indexed_dataset.py of megatron-core 0.16.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.errors import DamagedFileError

MAGIC = b"MMIDIDX\0\0"
HEADER = struct.Struct("<9sQBQQ")
CODES = {2: 8, 4: 4}
"""Bytes of an id to the code of its type."""
TYPES: dict[int, Any] = {
    code: np.dtype(name) for code, name in ((1, "u1"), (2, "i1"), (3, "<i2"), (4, "<i4"), (5, "<i8"), (8, "<u2"))
}
"""The codes of whole numbers; 6 and 7 are floats."""


def index_bytes(lengths: npt.NDArray[np.int64], token_bytes: int) -> bytes:
    """The `.idx` of documents of these `lengths` [documents] in tokens, laid end to end."""
    count = len(lengths)
    pointers = np.zeros(count, dtype="<i8")
    np.cumsum(lengths[:-1] * token_bytes, out=pointers[1:])
    return b"".join(
        [
            HEADER.pack(MAGIC, 1, CODES[token_bytes], count, count + 1),
            lengths.astype("<i4").tobytes(),
            pointers.tobytes(),
            np.arange(count + 1, dtype="<i8").tobytes(),
        ]
    )


@dataclass(frozen=True)
class MegatronIndex:
    """What an `.idx` says: sequences [S] and where documents begin among them [documents + 1]."""

    dtype: "np.dtype[Any]"
    lengths: npt.NDArray[np.int32]
    pointers: npt.NDArray[np.int64]
    document_indices: npt.NDArray[np.int64]


def read_index(data: bytes, place: str) -> MegatronIndex:
    """Parse an `.idx`; raises DamagedFileError where its head and size disagree. `place` names it in errors."""
    if len(data) < HEADER.size:
        raise DamagedFileError(f"{place}: {len(data)} bytes, an .idx has at least {HEADER.size}.")
    magic, version, code, sequences, documents = HEADER.unpack_from(data)
    if magic != MAGIC or version != 1 or code not in TYPES:
        raise DamagedFileError(f"{place}: head {magic!r}, version {version}, type {code}: not an .idx that we read.")
    if len(data) < HEADER.size + 12 * sequences + 8 * documents:
        raise DamagedFileError(f"{place}: {len(data)} bytes are too few for {sequences} sequences.")
    at = HEADER.size
    lengths = np.frombuffer(data, "<i4", sequences, at)
    pointers = np.frombuffer(data, "<i8", sequences, at + 4 * sequences)
    indices = np.frombuffer(data, "<i8", documents, at + 12 * sequences)
    return MegatronIndex(TYPES[code], lengths, pointers, indices)
