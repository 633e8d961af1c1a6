"""Shingle sets and texts of more documents than memory holds: in a temporary file mapped into memory.

The system keeps the pages in use and gives up the others, so comparing what is together far above `gather_memory`
slows down to the disk and goes on. What stays in memory is a line per document.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import one_chunk
from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.pipeline.stage import RowStream


@contextmanager
def spilled_values(
    rows: RowStream | None, schema: pa.Schema, column: str
) -> Iterator[tuple[pa.Table, npt.NDArray[Any], npt.NDArray[np.int64]]]:
    """The rows without their `column`, and its values and offsets [rows + 1].

    A large_list<uint32> has uint32 values, large_binary has bytes.
    """
    names = [name for name in schema.names if name != column]
    kind = np.uint8 if pa.types.is_large_binary(schema.field(column).type) else np.uint32
    kept = [schema.empty_table().select(names)]
    bounds = [np.zeros(1, dtype=np.int64)]
    with tempfile.TemporaryFile() as file:
        for table in rows.read() if rows is not None else ():
            values, offsets = value_buffers(one_chunk(table, column))
            file.write(values[offsets[0] : offsets[-1]].data)
            bounds.append(offsets[1:] - offsets[0] + bounds[-1][-1])
            kept.append(table.select(names))
            del table, values, offsets  # before the next ones are read
        file.flush()
        length = int(bounds[-1][-1])
        values = np.memmap(file, dtype=kind, mode="r+", shape=(length,)) if length else np.zeros(0, dtype=kind)
        yield pa.concat_tables(kept).combine_chunks(), np.asarray(values), np.concatenate(bounds)


def value_buffers(column: Column) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Values and offsets [rows + 1] of a large_list<uint32> or large_binary without nulls, zero-copy."""
    if pa.types.is_large_binary(column.type):
        return text_buffers(column)
    arrays = cast("Any", column)
    return arrays.values.to_numpy(), arrays.offsets.to_numpy()
