"""The rounds of a gather as phases: over parts, over ranges of keys, or whole.

The number of key ranges follows from the bytes that the round reads and the recipe's `gather_memory`, so a unit's
memory is bounded whatever the corpus is. It never follows from the number of workers.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.allocators import give_back
from corpusmill.pipeline.columns import flags, integers, nulls, one_chunk, take
from corpusmill.pipeline.document import ROW_BITS, Batch
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.fingerprint import code_hash, stage_fingerprint
from corpusmill.pipeline.opened import opened
from corpusmill.pipeline.parts import PartRef, part_inputs, parts_after, read_part, read_verdict
from corpusmill.pipeline.phases import Desk, Unit, receipts_of
from corpusmill.pipeline.receipts import Books, OutputFile
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.shuffle import DocumentRows, StoredRows, bytes_of_rows, key_ranges, read_range, write_runs
from corpusmill.pipeline.stage import DECISION_SCHEMA, PartView, Round, RowStream
from corpusmill.pipeline.stage_entry import StageEntry

EXPANSION = 4
"""Memory that rows need in a reduce unit, per byte before compression: they are read, put together and sorted."""

GATHER_BATCH_BYTES = 4 << 20
"""Text in a batch of a part: what a gather keeps of it goes into runs that many batches fill together."""

PIECE_BYTES = 8 << 20
"""Rows of earlier rounds that are in memory together while a part is gone through."""

SHARES, SHARE_BYTES = 16, 4 << 20
"""A round over ranges has up to 16 units of at least 4 MiB of rows, however much memory there is."""


@dataclass(frozen=True)
class GatherPhase:
    """One round of a gather."""

    entry: StageEntry
    round: Round
    earlier: tuple[str, ...]  # deciding phases before this gather
    memory: int  # bytes for a unit over ranges
    last: bool  # this round decides

    @property
    def name(self) -> str:
        return f"{self.entry.label}/{self.round.name}"

    def fingerprint(self) -> Any:
        return {
            "code": code_hash("corpusmill.pipeline.gathering"),
            "stage": stage_fingerprint(self.entry.stage),
            "only": self.entry.only,
        }

    def units(self, run: RunFolder) -> list[Unit]:
        inputs = tuple(
            (f"{name}/{receipt.unit}", receipt.require("rows"))
            for name in self.round.reads
            for receipt in receipts_of(run, f"{self.entry.label}/{name}")
        )
        identity = tuple((name, file.checksum) for name, file in inputs)
        if self.round.over == "parts":
            return [
                Unit(
                    name=part.name,
                    source=part.source,
                    inputs=(*part_inputs(part, text=self.round.text), *identity),
                    spec=(part, inputs),
                    num_bytes=part.num_bytes,
                )
                for part in parts_after(run, self.earlier)
                if self.entry.applies_to(part.source)
            ]
        num_bytes = sum(bytes_of_rows(run, file.path) for _, file in inputs)
        count = 1 if self.round.over == "whole" else num_ranges(num_bytes, self.memory)
        return [
            Unit(
                name=f"range-{index:05d}-of-{count:05d}" if self.round.over == "ranges" else "whole",
                inputs=identity,
                settings=[start, stop],
                spec=((start, stop), inputs),
                num_bytes=num_bytes // count,
            )
            for index, (start, stop) in enumerate(key_ranges(count))
        ]

    def work(self, unit: Unit, desk: Desk) -> Books:
        place, inputs = unit.spec
        method = getattr(opened(self.entry.stage), self.round.name)
        if self.round.over != "parts":
            found = self._streams if self.round.streamed else self._rows
            tables = _tables(method(found(desk.run, inputs, *place)))
            self._write_rows(desk, unit, tables)
            return Books()
        part: PartRef = place
        view = PartView(
            name=part.name,
            batches=self._batches(desk.run, part),
            first_row=part.first_row,
        )
        stop = part.first_row + (1 << ROW_BITS)
        rows: Any = (
            {name: DocumentRows(desk.run, self._paths(inputs, name), stop, self._piece) for name in self.round.reads}
            if self.round.streamed
            else self._rows(desk.run, inputs, part.first_row, stop)
        )
        tables = _tables(method(view, rows))
        if self.last:
            return self._write_decisions(desk, part, pa.concat_tables(tables))
        self._write_rows(desk, unit, tables)
        return Books()

    def _batches(self, run: RunFolder, part: PartRef) -> Iterator[Batch]:
        """What a view of the part shows; memory of a batch that is done with goes back to the system."""
        reads, text = self.entry.stage.reads(), self.round.text
        for batch in read_part(run, part, reads, text=text, batch_bytes=GATHER_BATCH_BYTES):
            num_bytes = batch.nbytes
            yield batch
            del batch
            give_back(num_bytes)

    @property
    def _piece(self) -> int:
        """Bytes of rows that a unit over parts, if streamed, has in memory at once."""
        return min(PIECE_BYTES, self.memory // EXPANSION)

    def _rows(
        self, run: RunFolder, inputs: tuple[tuple[str, OutputFile], ...], start: int, stop: int
    ) -> dict[str, pa.Table]:
        """The rows of each earlier round that lie in this unit's range of keys."""
        found: dict[str, pa.Table] = {}
        for name in self.round.reads:
            table = read_range(run, self._paths(inputs, name), start, stop)
            if table is not None:
                found[name] = table
        return found

    def _streams(
        self, run: RunFolder, inputs: tuple[tuple[str, OutputFile], ...], start: int, stop: int
    ) -> dict[str, RowStream]:
        """As `_rows`, to be read some at a time, unit by unit in the order of their names."""
        return {
            name: StoredRows(run, self._paths(tuple(sorted(inputs)), name), start, stop) for name in self.round.reads
        }

    def _paths(self, inputs: tuple[tuple[str, OutputFile], ...], name: str) -> list[str]:
        """The files of one earlier round."""
        return [file.path for unit, file in inputs if unit.startswith(f"{name}/")]

    def _write_rows(self, desk: Desk, unit: Unit, tables: Iterator[pa.Table]) -> None:
        first = next(tables, None)
        if first is None:
            raise CorpusmillError(f"{self.name}: gave no table; give an empty one where there are no rows")
        kept: list[pa.Table] = []

        def given() -> Iterator[pa.Table]:
            for table in itertools.chain([first], tables):
                if self.round.evidence:
                    kept.append(table)
                yield table

        folder = f"{self.entry.label}/{self.round.name}"
        with desk.parquet("rows", f"shuffle/{folder}/{unit.name}.parquet", first.schema) as output:
            write_runs(output, given())
        if self.round.evidence:
            with desk.parquet("evidence", f"evidence/{folder}/{unit.name}.parquet", first.schema) as output:
                for table in kept:
                    output.write(table)

    def _write_decisions(self, desk: Desk, part: PartRef, decided: pa.Table) -> Books:
        """Spread the decisions on kept rows over all rows of the part, and account for them."""
        verdict = read_verdict(desk.run, part)
        measures = desk.run.read_table(part.measures.path, ["row", "num_bytes"])
        rows = np.flatnonzero(verdict.kept)
        numbers = integers(one_chunk(measures, "row"), np.uint64)
        if not np.array_equal(integers(one_chunk(decided, "row"), np.uint64), numbers[rows]):
            raise CorpusmillError(f"{self.name}: decisions on {part.name} are not one per kept document, in order")
        keep = flags(one_chunk(decided, "keep"), null=True)
        sizes = integers(one_chunk(measures, "num_bytes"))[rows]
        books = Books(
            documents_in=len(rows),
            documents_kept=int(keep.sum()),
            bytes_in=int(sizes.sum()),
            bytes_kept=int(sizes[keep].sum()),
        )
        dropped_rules = take(one_chunk(decided, "rule"), np.flatnonzero(~keep)).to_pylist()
        for rule in dropped_rules:
            books.dropped[str(rule)] += 1
        place = np.full(measures.num_rows, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        added = self.entry.adds()
        schema = pa.schema([*DECISION_SCHEMA, *added.items()])
        columns = self.entry.renamed({name: one_chunk(decided, name) for name in decided.column_names})
        made = {
            name: take(columns[name], place) if name in columns else nulls(measures.num_rows, schema.field(name).type)
            for name in schema.names
        }
        made["row"] = one_chunk(measures, "row")
        with desk.parquet("decisions", f"decisions/{self.entry.label}/{part.name}.parquet", schema) as output:
            output.write(pa.Table.from_pydict(made, schema=schema))
        return books


def num_ranges(num_bytes: int, memory: int) -> int:
    """Units over ranges of keys, for so many bytes of rows.

    As many as memory asks for, and SHARES of them where there are rows enough: work for several workers, and memory
    well below the setting where the corpus is small.
    """
    return max(1, -(-num_bytes * EXPANSION // memory), min(SHARES, num_bytes // SHARE_BYTES))


def _tables(made: pa.Table | Iterable[pa.Table]) -> Iterator[pa.Table]:
    return iter([made]) if isinstance(made, pa.Table) else iter(made)


def gather_phases(entry: StageEntry, earlier: tuple[str, ...], memory: int) -> list[GatherPhase]:
    """The phases of one gather; the name of the last one is what later phases list as deciding."""
    gather: Any = entry.stage
    rounds: tuple[Round, ...] = gather.rounds()
    return [
        GatherPhase(entry, each, earlier, memory, last=index == len(rounds) - 1) for index, each in enumerate(rounds)
    ]
