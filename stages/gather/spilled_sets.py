"""Shingle sets of more documents than memory holds: values in a temporary file mapped into memory.

The system keeps the pages in use and gives up the others, so verification of a component far above `gather_memory`
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
from corpusmill.pipeline.document import Column
from corpusmill.pipeline.stage import RowStream


@contextmanager
def spilled_sets(
    rows: RowStream | None, schema: pa.Schema, column: str
) -> Iterator[tuple[pa.Table, npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
    """The rows without their `column` of large_list<uint32>, and its values and offsets [rows + 1]."""
    names = [name for name in schema.names if name != column]
    kept = [schema.empty_table().select(names)]
    bounds = [np.zeros(1, dtype=np.int64)]
    with tempfile.TemporaryFile() as file:
        for table in rows.read() if rows is not None else ():
            values, offsets = list_buffers(one_chunk(table, column))
            file.write(values[offsets[0] : offsets[-1]].data)
            bounds.append(offsets[1:] - offsets[0] + bounds[-1][-1])
            kept.append(table.select(names))
        file.flush()
        length = int(bounds[-1][-1])
        sets = np.memmap(file, dtype=np.uint32, mode="r+", shape=(length,)) if length else np.zeros(0, dtype=np.uint32)
        yield pa.concat_tables(kept).combine_chunks(), np.asarray(sets), np.concatenate(bounds)


def list_buffers(lists: Column) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Values and offsets [rows + 1] of a large_list<uint32> without nulls, zero-copy."""
    arrays = cast("Any", lists)
    return arrays.values.to_numpy(), arrays.offsets.to_numpy()
