"""Rows on their way between the rounds of a gather: sorted by a uint64 key, read back by range of keys.

A file holds sorted runs as row groups of about 1 MiB; Parquet's statistics say which of them a range of keys needs.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.pipeline.allocators import give_back
from corpusmill.pipeline.columns import integers, one_chunk, take, take_rows
from corpusmill.pipeline.phases import TableOutput
from corpusmill.pipeline.run_folder import RunFolder

KEYS = 1 << 64
ROW_GROUP_ROWS = 1 << 16
ROW_GROUP_BYTES = 1 << 20
"""Rows with long lists fill a row group sooner: a range of keys reads little beside its own rows."""
RUN_BYTES = 8 << 20
"""Rows sorted together: the longer a run, the fewer of its row groups a range of keys has to read."""


def sorted_by_key(table: pa.Table) -> pa.Table:
    """The rows by key; rows of equal key stay in their order."""
    keys = integers(one_chunk(table, "key"), np.uint64)
    if len(keys) < 2 or bool((keys[1:] >= keys[:-1]).all()):
        return table
    return take_rows(table, np.argsort(keys, kind="stable"))


def write_runs(output: TableOutput, tables: Iterable[pa.Table]) -> None:
    """Append the tables as sorted runs of about RUN_BYTES."""
    waiting: list[pa.Table] = []
    num_bytes = 0
    for table in tables:
        waiting.append(table)
        num_bytes += table.nbytes
        del table
        if num_bytes >= RUN_BYTES:
            _write_run(output, waiting)
            num_bytes = 0
    if waiting:
        _write_run(output, waiting)


def _write_run(output: TableOutput, tables: list[pa.Table]) -> None:
    """Append the tables as one sorted run; leaves the list empty."""
    rows = pa.concat_tables(tables)
    tables.clear()
    rows = sorted_by_key(rows)
    step = max(1, min(ROW_GROUP_ROWS, rows.num_rows * ROW_GROUP_BYTES // max(1, rows.nbytes)))
    for start in range(0, rows.num_rows, step):
        output.write(rows.slice(start, step))
    num_bytes = rows.nbytes
    del rows
    give_back(num_bytes)


def read_range(run: RunFolder, paths: Iterable[str], start: int, stop: int, only: str | None = None) -> pa.Table | None:
    """The rows of all files with start <= key < stop, sorted by key, ties in the order of files and runs.

    `only` names a column that must be true. None when the files name no schema, that is when there are no files.
    """
    found, schema = [], None
    for path in paths:
        with run.parquet(path) as file:
            schema = schema or file.schema_arrow
            for table in _file_range(file, start, stop):
                found.append(table.filter(table.column(only)) if only else table)
    if schema is None:
        return None
    whole = pa.concat_tables(found) if found else schema.empty_table()
    found.clear()
    keys = integers(one_chunk(whole, "key"), np.uint64)
    order = None if bool((keys[1:] >= keys[:-1]).all()) else np.argsort(keys, kind="stable")
    made = {}
    for name in whole.column_names:  # rows are in memory once, and one column twice
        column = one_chunk(whole, name)
        made[name] = column if order is None else take(column, order)
        whole = whole.remove_column(0)
    return pa.table(made, schema=schema)


@dataclass(frozen=True)
class StoredRows:
    """The rows of files with start <= key < stop, read row group by row group."""

    run: RunFolder
    paths: Sequence[str]
    start: int
    stop: int

    def read(self, *columns: str) -> Iterator[pa.Table]:
        """These columns (none named: all), in the order of files and runs."""
        for path in self.paths:
            with self.run.parquet(path) as file:
                for table in _file_range(file, self.start, self.stop, columns):
                    yield table.select(list(columns)) if columns else table


@dataclass
class DocumentRows:
    """The rows of files that belong to documents of one part (`key` is their `row`), as its batches ask for them.

    Rows of as many documents as `memory` holds are loaded together, so that no file is opened for every batch.
    """

    run: RunFolder
    paths: Sequence[str]
    stop: int  # rows of the part are below
    memory: int  # bytes of rows
    loaded: pa.Table | None = None
    bounds: tuple[int, int] = (0, 0)  # documents whose rows are loaded: first <= row < end

    def of(self, rows: npt.NDArray[np.uint64], only: str | None = None) -> pa.Table | None:
        """The rows of these documents (ascending), sorted by key; None when the files name no schema."""
        if not self.paths:
            return None
        first, end = int(rows[0]), int(rows[-1]) + 1
        if not self.bounds[0] <= first <= end <= self.bounds[1]:
            self.loaded = None  # the old rows go before the new ones come
            self.bounds = (first, max(end, self._reach(first)))
            self.loaded = read_range(self.run, self.paths, *self.bounds, only)
            give_back(self.memory)  # what reading left: 40 MB in a part of 200
        assert self.loaded is not None
        keys = integers(one_chunk(self.loaded, "key"), np.uint64)
        low, high = np.searchsorted(keys, np.array([first, end], np.uint64))
        return self.loaded.slice(int(low), int(high - low))

    def _reach(self, first: int) -> int:
        """The row before which about `memory` of rows lie, if the largest file has its share of them everywhere."""
        num_bytes = sum(bytes_of_rows(self.run, path) for path in self.paths)
        with self.run.parquet(max(self.paths, key=lambda path: self.run.size(path) or 0)) as file:
            left = int(self.memory / max(1, num_bytes) * file.metadata.num_rows)
            for table in _file_range(file, first, self.stop, ("key",)):
                if left < table.num_rows:
                    return int(integers(one_chunk(table, "key"), np.uint64)[left])
                left -= table.num_rows
        return self.stop


def _file_range(file: pq.ParquetFile, start: int, stop: int, columns: Sequence[str] = ()) -> Iterator[pa.Table]:
    key = file.schema_arrow.get_field_index("key")
    for index in range(file.num_row_groups):
        statistics: Any = file.metadata.row_group(index).column(key).statistics
        if statistics is not None and (int(statistics.max) < start or int(statistics.min) >= stop):
            continue
        wanted = list(dict.fromkeys(["key", *columns])) if columns else None
        table = file.read_row_group(index, columns=wanted, use_threads=False)
        keys = integers(one_chunk(table, "key"), np.uint64)
        first = int(np.searchsorted(keys, np.uint64(start)))
        last = len(keys) if stop >= KEYS else int(np.searchsorted(keys, np.uint64(stop)))
        if last - first == len(keys):
            yield table
        elif last > first:  # a copy: a slice would keep the whole row group in memory
            yield take_rows(table, np.arange(first, last))


def bytes_of_rows(run: RunFolder, path: str) -> int:
    """Bytes of a file's rows before compression: repeated hashes compress to little, and take their room in memory."""
    with run.parquet(path) as file:
        return sum(file.metadata.row_group(index).total_byte_size for index in range(file.num_row_groups))


def key_ranges(count: int) -> list[tuple[int, int]]:
    """`count` equal ranges that cover all keys."""
    bounds = [KEYS * index // count for index in range(count + 1)]
    return list(itertools.pairwise(bounds))
