"""Columns of more rows than memory holds: in temporary files mapped into memory.

The system keeps the pages in use and gives up the others, so comparing what is together far above `gather_memory`
slows down to the disk and goes on.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.pipeline.stage import RowStream


@dataclass(frozen=True)
class Spilled:
    """Columns by name: values, and offsets int64 [rows + 1] into the values where they are lists or bytes."""

    values: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    offsets: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)


@contextmanager
def spilled_values(
    rows: RowStream | None, schema: pa.Schema, columns: Sequence[str]
) -> Iterator[tuple[pa.Table, Spilled]]:
    """The rows without their `columns`, and these: whole numbers, large_list<uint32> or large_binary."""
    names = [name for name in schema.names if name not in columns]
    kept = [schema.empty_table().select(names)]
    with ExitStack() as stack:
        files = {name: stack.enter_context(tempfile.TemporaryFile()) for name in columns}
        bounds = {name: stack.enter_context(tempfile.TemporaryFile()) for name in columns if kind_of(schema, name)[1]}
        ends = dict.fromkeys(bounds, 0)
        for file in bounds.values():
            file.write(np.zeros(1, dtype=np.int64).data)
        for table in rows.read() if rows is not None else ():
            for name in columns:
                column, (kind, long) = one_chunk(table, name), kind_of(schema, name)
                if long:
                    values, offsets = value_buffers(column)
                    files[name].write(values[offsets[0] : offsets[-1]].data)
                    bounds[name].write((offsets[1:] - offsets[0] + ends[name]).data)
                    ends[name] += int(offsets[-1] - offsets[0])
                else:
                    files[name].write(integers(column, kind).data)
            kept.append(table.select(names))
            del table  # before the next one is read
        yield (
            pa.concat_tables(kept).combine_chunks(),
            Spilled(
                {name: mapped(file, kind_of(schema, name)[0]) for name, file in files.items()},
                {name: mapped(file, np.int64) for name, file in bounds.items()},
            ),
        )


def kind_of(schema: pa.Schema, name: str) -> tuple[Any, bool]:
    """Type of a column's values, and whether an entry has several."""
    kind = schema.field(name).type
    if pa.types.is_large_binary(kind):
        return np.uint8, True
    if pa.types.is_large_list(kind):
        return np.uint32, True
    return cast("Any", kind.to_pandas_dtype()), False


def mapped(file: Any, kind: Any) -> npt.NDArray[Any]:
    """The file as an array."""
    file.flush()
    if file.tell() == 0:
        return np.zeros(0, dtype=kind)
    return np.asarray(np.memmap(file, dtype=kind, mode="r+"))


def value_buffers(column: Column) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Values and offsets [rows + 1] of a large_list<uint32> or large_binary without nulls, zero-copy."""
    if pa.types.is_large_binary(column.type):
        return text_buffers(column)
    arrays = cast("Any", column)
    return arrays.values.to_numpy(), arrays.offsets.to_numpy()
