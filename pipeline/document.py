"""A batch of documents: one Arrow table slice, about 8 MiB of text.

No Python object per document on the hot path: kernels work on the UTF-8 buffer and the offsets of the
`text` column. A batch is bounded by bytes, not rows, so memory is bounded whatever the documents are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BATCH_BYTES = 8 << 20
"""Text bytes after which a reader closes a batch."""

ROW_BITS = 24
"""Low bits of `row` that count rows in a part; the high 40 bits are the part's number."""

Batch = pa.RecordBatch
Column: TypeAlias = "pa.Array[Any]"
"""One column of a batch."""


def schema_of(**columns: pa.DataType) -> pa.Schema:
    """An Arrow schema, a keyword per column."""
    return pa.schema(list(columns.items()))


DOCUMENT_SCHEMA = schema_of(
    id=pa.string(),  # stable: <source>/<record id>, or <source>/<path under its root>#<record>
    row=pa.uint64(),  # part number << ROW_BITS | row in part; what gathers join on, never the id
    text=pa.large_string(),  # null where an early rule dropped the document and its text was not kept
    source=pa.string(),  # the recipe's key: the name mixtures use
    url=pa.string(),  # null where unknown
    lang=pa.string(),  # as the record says, null where unknown; a language stage overrides it
    meta=pa.string(),  # JSON of everything else that the record said, licence included
)
"""Columns of `documents/` and of every batch after extraction."""

RAW_SCHEMA = schema_of(
    id=pa.string(),
    text=pa.large_string(),  # null where the text is still to be extracted
    content=pa.large_binary(),  # null where the reader gives text
    content_type=pa.string(),  # MIME type with charset as the record states it; null with text
    url=pa.string(),
    lang=pa.string(),
    meta=pa.string(),
)
"""Columns of the batches that readers give. Readers know no source and no row: the phase adds them."""


@dataclass
class RawBatch:
    """Collects records until a batch is full. Readers fill one and yield what `take` gives."""

    rows: list[tuple[str, str | None, bytes | None, str | None, str | None, str | None, str | None]] = field(
        default_factory=list
    )
    num_bytes: int = 0

    def add(
        self,
        record_id: str,
        text: str | None = None,
        *,
        content: bytes | None = None,
        content_type: str | None = None,
        url: str | None = None,
        lang: str | None = None,
        meta: str | None = None,
    ) -> None:
        """One record; `record_id` without the source. Exactly one of `text` and `content` is given."""
        self.rows.append((record_id, text, content, content_type, url, lang, meta))
        if content is not None:
            self.num_bytes += len(content)
        elif text is not None:
            self.num_bytes += len(text) if text.isascii() else len(text.encode())

    @property
    def full(self) -> bool:
        return self.num_bytes >= BATCH_BYTES

    def take(self) -> Batch:
        """The records so far as one batch of RAW_SCHEMA; leaves this one empty."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(RAW_SCHEMA)
        arrays = [pa.array(column, type=f.type) for column, f in zip(columns, RAW_SCHEMA, strict=True)]
        self.rows, self.num_bytes = [], 0
        return pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA)


def text_buffers(text: Column) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The UTF-8 bytes [num_bytes] and offsets [rows + 1] of a large_string array, zero-copy.

    The offsets index the bytes directly, also when the array is a slice: the first one need not be 0.
    A null document has equal offsets, as an empty one.
    """
    _, offsets_buffer, data_buffer = text.buffers()
    if len(text) == 0:
        offsets = np.zeros(1, dtype=np.int64)
    else:
        every_offset = np.frombuffer(cast("Any", offsets_buffer), dtype=np.int64)
        offsets = every_offset[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(cast("Any", data_buffer) if data_buffer is not None else b"", dtype=np.uint8)
    data.setflags(write=False)  # Numba compiles for writable and read-only arrays apart: one kind, one compilation
    offsets.setflags(write=False)
    return data, offsets


def with_column(batch: Batch, name: str, values: Column) -> Batch:
    """`batch` with one column replaced, or added at the end."""
    index = batch.schema.get_field_index(name)
    if index < 0:
        return batch.append_column(name, values)
    return batch.set_column(index, name, values)


def split_batch(batch: Batch, max_bytes: int = BATCH_BYTES) -> Iterator[Batch]:
    """Slices of `batch`, each at most `max_bytes` of text or one document, in order."""
    _, offsets = text_buffers(batch.column("text"))
    start = 0
    while start < batch.num_rows:
        stop = int(np.searchsorted(offsets, offsets[start] + max_bytes, side="right")) - 1
        stop = min(max(stop, start + 1), batch.num_rows)
        yield batch.slice(start, stop - start)
        start = stop
