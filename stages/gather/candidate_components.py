"""Connected components of near-duplicate candidates, with the union-find on disk.

Parents and sizes are sparse temporary files mapped into memory, 12 bytes per document of the corpus, of which the
system keeps what is in use: memory is bounded by what is free, whatever the corpus, and edges pass by a row group at a
time. Peers hold the same in a dictionary (about 150 bytes per candidate).
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.document import ROW_BITS
from corpusmill.pipeline.stage import RowStream
from corpusmill.stages.gather.decisions import schema_of

EDGES = schema_of(key=pa.uint64(), row=pa.uint64(), other=pa.uint64())
COMPONENTS = schema_of(key=pa.uint64(), component=pa.uint64(), minhash_num_candidates=pa.int64())

STEP = 1 << 20
"""Nodes looked through at once."""


def candidate_components(edges: RowStream | None) -> Iterator[pa.Table]:
    """COMPONENTS of every row that has an edge, ascending; a component is named by its least row."""
    from corpusmill.stages.kernels.components import count_members, join_edges, roots_of

    nodes = Nodes.of(edges)
    with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
        parents, sizes = mapped(first, nodes.total, np.int64), mapped(second, nodes.total, np.int32)
        for left, right in edge_arrays(edges):
            join_edges(parents, nodes.number(left), nodes.number(right))
        count_members(parents, sizes)
        yield COMPONENTS.empty_table()
        for start in range(0, nodes.total, STEP):
            found = start + np.flatnonzero(parents[start : start + STEP])
            roots = roots_of(parents, found)
            table = {
                "key": nodes.row(found),
                "component": nodes.row(roots),
                "minhash_num_candidates": sizes[roots].astype(np.int64),
            }
            yield pa.table(table, schema=COMPONENTS)


def edge_arrays(edges: RowStream | None) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]]:
    """The two rows of each edge, some at a time."""
    for table in edges.read("row", "other") if edges is not None else ():
        yield integers(one_chunk(table, "row"), np.uint64), integers(one_chunk(table, "other"), np.uint64)


@dataclass(frozen=True)
class Nodes:
    """Rows as consecutive numbers: the rows of each part that occurs, up to its last one with an edge."""

    parts: npt.NDArray[np.uint64]  # ascending
    firsts: npt.NDArray[np.int64]  # number of each part's first row, then the total

    @classmethod
    def of(cls, edges: RowStream | None) -> "Nodes":
        lengths: dict[int, int] = {}
        for pair in edge_arrays(edges):
            for rows in pair:
                parts, at = np.unique(rows >> np.uint64(ROW_BITS), return_inverse=True)
                last = np.zeros(len(parts), dtype=np.int64)
                np.maximum.at(last, at, (rows & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64))
                for part, row in zip(parts.tolist(), last.tolist(), strict=True):
                    lengths[part] = max(lengths.get(part, 0), row + 1)
        ordered = sorted(lengths)
        firsts = np.cumsum([0, *(lengths[part] for part in ordered)], dtype=np.int64)
        return cls(np.array(ordered, dtype=np.uint64), firsts)

    @property
    def total(self) -> int:
        return int(self.firsts[-1])

    def number(self, rows: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        within = (rows & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64)
        numbers: npt.NDArray[np.int64] = self.firsts[np.searchsorted(self.parts, rows >> np.uint64(ROW_BITS))] + within
        return numbers

    def row(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        at = np.searchsorted(self.firsts, numbers, side="right") - 1
        rows: npt.NDArray[np.uint64] = (self.parts[at] << np.uint64(ROW_BITS)) + (numbers - self.firsts[at]).astype(
            np.uint64
        )
        return rows


def mapped(file: Any, length: int, kind: Any) -> npt.NDArray[Any]:
    """An array of zeros over a new temporary file, which takes no space where it stays zero."""
    if length == 0:
        return np.zeros(0, dtype=kind)
    file.truncate(length * np.dtype(kind).itemsize)
    return np.asarray(np.memmap(file, dtype=kind, mode="r+", shape=(length,)))
