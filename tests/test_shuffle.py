"""Rows between rounds: what a range of keys reads, and how much of the file that is."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk, take_rows
from corpusmill.pipeline.phases import parquet_output
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.shuffle import key_ranges, read_range, write_runs


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
