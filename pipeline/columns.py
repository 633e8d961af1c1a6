"""Arrow columns to numpy and back: the few moves that phases and stages share, with their types."""

from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Column


def one_chunk(table: pa.Table | pa.RecordBatch, name: str) -> Column:
    """A table's column as one array."""
    column: Any = table.column(name)
    if not isinstance(column, pa.ChunkedArray):
        return cast("Column", column)
    if column.num_chunks == 1:
        return cast("Column", column.chunk(0))
    return cast("Column", pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type))


def take(column: Column, rows: npt.NDArray[Any]) -> Column:
    """The column's entries at `rows`; a negative row gives null."""
    indices = pa.array(rows, mask=rows < 0) if len(rows) and rows.min() < 0 else pa.array(rows)
    return column.take(cast("Any", indices))


def flags(column: Column, null: bool) -> npt.NDArray[np.bool_]:
    """A boolean column as numpy, with nulls as `null`."""
    filled = cast("Any", pc).fill_null(column, null)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.bool_)


def lengths(column: Column) -> npt.NDArray[np.int64]:
    """Bytes of each text, or items of each list; 0 for null. Text counts UTF-8 bytes."""
    measure = pc.list_value_length if pa.types.is_list(column.type) else pc.binary_length
    found = cast("Any", pc).fill_null(cast("Any", measure)(column), 0)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def integers(column: Column, dtype: Any = np.int64) -> npt.NDArray[Any]:
    """A column of whole numbers without nulls as numpy."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=dtype)


def concat_batches(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """One batch of all rows, in order."""
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches, schema=schema)
    return pa.RecordBatch.from_arrays([one_chunk(table, name) for name in schema.names], schema=schema)


Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


def take_rows(batch: Rows, rows: npt.NDArray[Any]) -> Rows:
    """The rows at these positions."""
    return batch.take(cast("Any", pa.array(rows)))


def nulls(count: int, kind: pa.DataType) -> Column:
    """A column without values."""
    return cast("Column", cast("Any", pa).nulls(count, kind))
