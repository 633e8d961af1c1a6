"""The stages of one work unit as a stream of slabs: change, expand, measure, early rules, datatrove steps.

A slab is one batch on its way. Its rows stay together until it is written; `alive` says which of them no early rule
has dropped, and only those are shown to the stages that follow.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import lengths, nulls, take, take_rows
from corpusmill.pipeline.document import DOCUMENT_SCHEMA, Batch, Column, with_column
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.opened import opened
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import DECISION_SCHEMA, Refusal, Scratch
from corpusmill.pipeline.stage_entry import StageEntry


@dataclass
class Slab:
    """Rows of DOCUMENT_SCHEMA with what was measured and decided of them, all of the same length."""

    rows: Batch
    alive: npt.NDArray[np.int64]  # positions of the rows that are not dropped, ascending
    columns: dict[str, Column]  # measured; null for rows that were gone before
    rule: list[str | None]
    value: list[str | None]  # JSON
    threshold: list[str | None]  # JSON

    @classmethod
    def of(cls, rows: Batch, measured: dict[str, pa.DataType]) -> "Slab":
        """A slab of which nothing is measured yet."""
        count = rows.num_rows
        known = set(rows.schema.names)  # `lang` is the record's own until a language stage says otherwise
        columns = {name: rows.column(name) if name in known else nulls(count, kind) for name, kind in measured.items()}
        return cls(rows, np.arange(count), columns, [None] * count, [None] * count, [None] * count)

    def live(self) -> Batch:
        """The rows that are not dropped, with their measured columns."""
        whole = self.rows
        for name, column in self.columns.items():
            whole = with_column(whole, name, column)
        return whole if len(self.alive) == whole.num_rows else take_rows(whole, self.alive)

    def spread(self, column: Column) -> Column:
        """A column over the live rows as one over all rows, null elsewhere."""
        if len(self.alive) == self.rows.num_rows:
            return column
        place = np.full(self.rows.num_rows, -1, dtype=np.int64)
        place[self.alive] = np.arange(len(self.alive))
        return take(column, place)

    def add(self, measured: dict[str, Column]) -> None:
        for name, column in measured.items():
            self.columns[name] = self.spread(column)

    def drop(self, at: npt.NDArray[Any], rule: str, value: str | None, threshold: str | None) -> None:
        """Drop the rows at these positions."""
        for index in at:
            self.rule[index], self.value[index], self.threshold[index] = rule, value, threshold
        self.alive = np.setdiff1d(self.alive, at, assume_unique=True)

    def select(self, positions: npt.NDArray[np.int64]) -> "Slab":
        """The rows at these positions alone."""
        place = np.full(self.rows.num_rows, -1, dtype=np.int64)
        place[positions] = np.arange(len(positions))
        alive = place[self.alive]
        return Slab(
            rows=take_rows(self.rows, positions),
            alive=alive[alive >= 0],
            columns={name: take(column, positions) for name, column in self.columns.items()},
            rule=[self.rule[i] for i in positions],
            value=[self.value[i] for i in positions],
            threshold=[self.threshold[i] for i in positions],
        )

    def number(self, first: int) -> None:
        """Let `row` count from `first`."""
        numbers = np.arange(first, first + self.rows.num_rows, dtype=np.uint64)
        self.rows = with_column(self.rows, "row", pa.array(numbers))

    def decisions(self) -> pa.Table:
        """Lines of DECISION_SCHEMA for all rows."""
        keep = np.zeros(self.rows.num_rows, dtype=np.bool_)
        keep[self.alive] = True
        made: dict[str, Any] = {
            "row": self.rows.column("row"),
            "keep": pa.array(keep),
            "rule": pa.array(self.rule, type=pa.string()),
            "value": pa.array(self.value, type=pa.string()),
            "threshold": pa.array(self.threshold, type=pa.string()),
        }
        for name in DECISION_SCHEMA.names[len(made) :]:
            made[name] = nulls(self.rows.num_rows, DECISION_SCHEMA.field(name).type)
        return pa.Table.from_pydict(made, schema=DECISION_SCHEMA)


@dataclass
class Chain:
    """Runs a source's stages over its slabs."""

    source: str
    entries: tuple[StageEntry, ...]
    measured: dict[str, pa.DataType]
    books: Books
    refuse: Callable[[Refusal], None]

    def run(self, slabs: Iterator[Slab]) -> Iterator[Slab]:
        """Every slab through every stage, in order."""
        for is_datatrove, group in itertools.groupby(self.entries, lambda entry: entry.stage.kind == "datatrove"):
            steps = tuple(group)
            if is_datatrove:
                from corpusmill.pipeline.datatrove_step import run_datatrove

                for entry in steps:
                    slabs = run_datatrove(entry, slabs, self.books)
            else:
                slabs = self._plain(steps, slabs)
        return slabs

    def _plain(self, entries: tuple[StageEntry, ...], slabs: Iterable[Slab]) -> Iterator[Slab]:
        for slab in slabs:
            scratch, passing = Scratch(), slab
            for entry in entries:
                worker = opened(entry.stage)
                kind = entry.stage.kind
                if kind == "measure":
                    passing.add(entry.renamed(worker.measure(passing.live(), scratch)))
                elif kind == "change":
                    passing, scratch = self._change(passing, entry, worker), Scratch()
                elif kind == "expand":
                    passing, scratch = self._expand(passing, entry, worker), Scratch()
                if entry.early and self._decide(passing, entry):
                    scratch = Scratch()
            if passing.rows.num_rows:
                yield passing

    def _change(self, slab: Slab, entry: StageEntry, worker: Any) -> Slab:
        """Changed text, in place of the old; rows whose text became empty are refused."""
        live = slab.live().select(DOCUMENT_SCHEMA.names)
        changed, measured = worker.change(live)
        if len(slab.alive) == slab.rows.num_rows:
            slab.rows = changed
        else:
            place = np.arange(slab.rows.num_rows)
            place[slab.alive] = slab.rows.num_rows + np.arange(len(slab.alive))
            both = pa.concat_arrays([slab.rows.column("text"), changed.column("text")])
            slab.rows = with_column(slab.rows, "text", take(both, place))
        slab.add(entry.renamed(measured))
        sizes = lengths(slab.rows.column("text"))
        empty = slab.alive[sizes[slab.alive] == 0]
        if not len(empty):
            return slab
        for index in empty:
            self._refuse(slab.rows, int(index), "empty_document", f"nothing left after {entry.label}")
        return slab.select(np.setdiff1d(np.arange(slab.rows.num_rows), empty))

    def _refuse(self, rows: Batch, index: int, reason: str, detail: str) -> None:
        """Turn a document that was counted already into a failed record."""
        record = rows.column("id")[index].as_py().partition("/")[2]
        self.books.documents_in -= 1  # refuse counts it again
        self.refuse(Refusal("", record, reason, detail))

    def _expand(self, slab: Slab, entry: StageEntry, worker: Any) -> Slab:
        """Live rows replaced by the documents in them; the books count those, and in a note their parents."""
        live = slab.live().select(DOCUMENT_SCHEMA.names)
        rows, parents, reasons = worker.expand(live)
        came_from = np.asarray(parents.to_numpy())
        if len(np.unique(came_from)) < live.num_rows:
            raise CorpusmillError(
                f"{entry.label}: a document gave neither documents nor a reason: a defect of the stage"
            )
        self.books.documents_in += rows.num_rows - live.num_rows
        note = self.books.notes.setdefault("expanded", {}).setdefault(entry.label, {"parents": 0, "documents": 0})
        note["parents"] += live.num_rows
        note["documents"] += rows.num_rows
        for index in np.flatnonzero(lengths(rows.column("text")) == 0):
            self._refuse(rows, int(index), reasons[int(index)].as_py() or "empty_document", f"in {entry.label}")
        good = np.flatnonzero(lengths(rows.column("text")))
        rows, came_from = take_rows(rows, good), came_from[good]
        came = Slab.of(rows, self.measured)
        came.columns = {name: take(column, slab.alive[came_from]) for name, column in slab.columns.items()}
        parent = f"{entry.stage.name}_parent"
        if parent in entry.stage.adds():
            came.add(entry.renamed({parent: take(live.column("id"), came_from)}))
        gone = slab.select(np.setdiff1d(np.arange(slab.rows.num_rows), slab.alive))
        return joined(gone, came) if gone.rows.num_rows else came

    def _decide(self, slab: Slab, entry: StageEntry) -> bool:
        """Early rules; true if they dropped something."""
        rules = entry.rules(self.source)
        if not rules or not len(slab.alive):
            return False
        live = slab.live()
        verdicts = evaluate(rules, with_column(live, "num_bytes", pa.array(lengths(live.column("text")))))
        self.books.not_measured += verdicts.not_measured
        alive = slab.alive
        hits = np.flatnonzero(verdicts.first >= 0)
        for hit in hits:
            rule = rules[verdicts.first[hit]].name
            self.books.dropped[rule] += 1
            at = alive[hit : hit + 1]
            slab.drop(at, rule, verdicts.value[int(hit)].as_py(), verdicts.threshold[int(hit)].as_py())
        return len(hits) > 0


def joined(first: Slab, second: Slab) -> Slab:
    """The rows of two slabs, in order."""
    count = first.rows.num_rows
    both = pa.Table.from_batches([first.rows, second.rows]).combine_chunks()
    return Slab(
        rows=both.to_batches()[0],
        alive=np.concatenate([first.alive, second.alive + count]),
        columns={name: pa.concat_arrays([column, second.columns[name]]) for name, column in first.columns.items()},
        rule=first.rule + second.rule,
        value=first.value + second.value,
        threshold=first.threshold + second.threshold,
    )
