"""Rows between rounds: what a range of keys reads, and how much of the file that is."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk, take_rows
from corpusmill.pipeline.phases import parquet_output
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.shuffle import DocumentRows, key_ranges, read_range, write_runs


def test_ranges_hold_every_row_once_and_little_else(tmp_path: Path) -> None:
    """Three runs of long lists: a range gets its rows in order, and no memory of its neighbours."""
    random = np.random.default_rng(0)
    tables = []
    for run in range(3):
        keys = random.integers(0, 1 << 64, size=4000, dtype=np.uint64)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(np.repeat(keys, 128)), 128).cast(pa.list_(pa.uint64()))
        tables.append(pa.table({"key": keys, "run": np.full(4000, run), "hashes": lists}))
    folder = RunFolder(str(tmp_path))
    with folder.create("rows.parquet") as output, parquet_output(output, tables[0].schema) as written:
        write_runs(written, tables)
    whole = pa.concat_tables(tables)
    order = np.argsort(integers(one_chunk(whole, "key"), np.uint64), kind="stable")
    found = [read_range(folder, ["rows.parquet"], start, stop) for start, stop in key_ranges(16)]
    assert pa.concat_tables([rows for rows in found if rows is not None]).equals(take_rows(whole, order))
    with folder.parquet("rows.parquet") as file:
        sizes = [file.metadata.row_group(index).total_byte_size for index in range(file.num_row_groups)]
    assert max(sizes) < 5 << 18
    held = [rows.get_total_buffer_size() for rows in found if rows is not None]
    assert max(held) < 2 * whole.nbytes / 16


def test_rows_of_documents_are_loaded_some_at_a_time(tmp_path: Path) -> None:
    """Batches of a part get their own rows of every file, in order; what is loaded stays near the memory given."""
    random = np.random.default_rng(1)
    folder, first, stop = RunFolder(str(tmp_path)), 5 << 24, 6 << 24
    tables, paths = [], []
    for number in range(4):
        keys = np.sort(random.integers(first - 200, first + 3000, size=40_000).astype(np.uint64))  # of other parts too
        tables.append(pa.table({"key": keys, "value": random.integers(0, 1 << 60, size=len(keys))}))
        paths.append(f"rows-{number}.parquet")
        with folder.create(paths[-1]) as output, parquet_output(output, tables[-1].schema) as written:
            write_runs(written, [tables[-1].slice(0, 25_000), tables[-1].slice(25_000)])
    whole = pa.concat_tables(tables)
    whole = take_rows(whole, np.argsort(integers(one_chunk(whole, "key"), np.uint64), kind="stable"))
    keys = integers(one_chunk(whole, "key"), np.uint64)
    memory = whole.nbytes // 8
    rows = DocumentRows(folder, paths, stop, memory)
    loads = set()
    for low in range(first, first + 3000, 70):
        batch = np.arange(low, min(low + 70, first + 3000), 3, dtype=np.uint64)  # some documents are gone
        found = rows.of(batch)
        assert found is not None
        assert rows.loaded is not None
        assert found.equals(whole.filter(pa.array((keys >= batch[0]) & (keys <= batch[-1]))))
        assert rows.loaded.nbytes < 1.5 * memory
        loads.add(rows.bounds)
    assert 6 <= len(loads) <= 16
    assert DocumentRows(folder, [], stop, memory).of(batch) is None


def test_small_tables_are_sorted_together(tmp_path: Path) -> None:
    """Many small tables make one run, ties in their order, so that a range reads few row groups."""
    random = np.random.default_rng(2)
    tables = [
        pa.table(
            {"key": random.integers(0, 1000, size=500).astype(np.uint64) << np.uint64(54), "turn": np.full(500, turn)}
        )
        for turn in range(300)
    ]
    folder = RunFolder(str(tmp_path))
    with folder.create("rows.parquet") as output, parquet_output(output, tables[0].schema) as written:
        write_runs(written, tables)
    whole = pa.concat_tables(tables)
    order = np.argsort(integers(one_chunk(whole, "key"), np.uint64), kind="stable")
    assert folder.read_table("rows.parquet").equals(take_rows(whole, order))
