"""Runs a gather in memory, as the engine does it on disk: rounds over parts, key ranges or all rows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import ROW_BITS, Batch, Column
from corpusmill.pipeline.stage import Gather, PartView


def documents(
    texts: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    first_row: int = 0,
    **columns: Column,
) -> Batch:
    """A part view's batch of these texts."""
    num = len(texts)
    return pa.RecordBatch.from_pydict(
        {
            "row": pa.array(np.arange(first_row, first_row + num), pa.uint64()),
            "id": pa.array(ids or [f"s/{first_row + i:08d}" for i in range(num)], pa.string()),
            "source": pa.array(sources or ["s"] * num, pa.string()),
            "url": pa.nulls(num, pa.string()),
            "lang": pa.nulls(num, pa.string()),
            "num_bytes": pa.array([len(text.encode()) for text in texts], pa.int64()),
            **columns,
            "text": pa.array(texts, pa.large_string()),
        }
    )


def split_parts(
    texts: Sequence[str], ids: Sequence[str], parts: Sequence[Sequence[int]], batch_rows: int = 3
) -> list[list[Batch]]:
    """The documents chosen for each part, cut into batches of `batch_rows`."""
    made = []
    for number, chosen in enumerate(parts):
        batches = []
        for start in range(0, len(chosen), batch_rows):
            some = chosen[start : start + batch_rows]
            batches.append(
                documents([texts[i] for i in some], ids=[ids[i] for i in some], first_row=(number << ROW_BITS) + start)
            )
        made.append(batches)
    return made


def run_gather(
    stage: Gather, parts: Sequence[Sequence[Batch]], num_ranges: int = 1
) -> tuple[list[pa.Table], dict[str, pa.Table]]:
    """The decisions of each part, and the rows of every round. Part p's rows begin at p << ROW_BITS."""
    worker = stage.open()
    stored: dict[str, pa.Table] = {}
    decisions: list[pa.Table] = []
    for round_ in stage.rounds():
        made: list[pa.Table] = []
        units: list[tuple[int, int, PartView | None]]
        if round_.over == "parts":
            units = [
                (number << ROW_BITS, (number + 1) << ROW_BITS, view(number, batches, round_.text))
                for number, batches in enumerate(parts)
            ]
        elif round_.over == "ranges":
            edges = [(1 << 64) * i // num_ranges for i in range(num_ranges + 1)]
            units = [(low, high, None) for low, high in pairwise(edges)]
        else:
            units = [(0, 1 << 64, None)]
        for low, high, part in units:
            rows: dict[str, Any] = {name: in_range(stored[name], low, high) for name in round_.reads}
            if round_.streamed and part is not None:
                rows = {name: OfDocuments(table) for name, table in rows.items()}
            elif round_.streamed:
                rows = {name: InMemory(table, backwards=False) for name, table in rows.items()}
            method: Any = getattr(worker, round_.name)
            result = method(part, rows) if part is not None else method(rows)
            made.append(result if isinstance(result, pa.Table) else pa.concat_tables(list(result)))
        if round_ == stage.rounds()[-1]:
            decisions = made
        else:
            stored[round_.name] = pa.concat_tables(made).sort_by("key")
    return decisions, stored


class InMemory:
    """A RowStream over a table, a few rows at a time; backwards where the reader must not count on their order."""

    def __init__(self, table: pa.Table, backwards: bool = True) -> None:
        self.table, self.step = table, -1 if backwards else 1

    def read(self, *columns: str) -> Iterator[pa.Table]:
        shown = self.table.select(list(columns)) if columns else self.table
        for start in range(0, shown.num_rows, 7)[:: self.step]:
            yield shown.slice(start, 7).combine_chunks()


class OfDocuments:
    """PartRows over a table."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def of(self, rows: npt.NDArray[np.uint64], only: str | None = None) -> pa.Table | None:
        found = in_range(self.table, int(rows[0]), int(rows[-1]) + 1)
        return found.filter(found.column(only)) if only else found


def view(number: int, batches: Sequence[Batch], text: bool) -> PartView:
    shown = [batch if text else batch.drop_columns(["text"]) for batch in batches]
    return PartView(name=f"part-{number:05d}", batches=shown, first_row=number << ROW_BITS)


def in_range(table: pa.Table, low: int, high: int) -> pa.Table:
    """Rows whose key is in [low, high), in several chunks, as row groups of a file give them."""
    keys = table.column("key").to_numpy()
    start = int(np.searchsorted(keys, np.uint64(low)))
    stop = len(keys) if high >= 1 << 64 else int(np.searchsorted(keys, np.uint64(high)))
    middle = (start + stop) // 2
    return pa.concat_tables([table.slice(start, middle - start), table.slice(middle, stop - middle)])


def dropped_ids(parts: Sequence[Sequence[Batch]], decisions: Sequence[pa.Table]) -> dict[str, tuple[str, str]]:
    """id -> (rule, id of the winner, '' without one) of every dropped document."""
    lines = [line for batches in parts for batch in batches for line in batch.select(["row", "id"]).to_pylist()]
    ids = {line["row"]: line["id"] for line in lines}
    lost = [line for table in decisions for line in table.to_pylist() if not line["keep"]]
    return {ids[line["row"]]: (line["rule"], ids.get(line["winner"], "")) for line in lost}


def run_without_parts(stage: Gather) -> None:
    """Its reducing rounds where no part exists, so that no earlier round left rows."""
    worker = stage.open()
    for round_ in stage.rounds():
        if round_.over != "parts":
            made = getattr(worker, round_.name)({})
            tables = [made] if isinstance(made, pa.Table) else list(made)
            assert sum(table.num_rows for table in tables) == 0
