"""The decide phase: all rules between two gathers, from stored columns only. It opens no text.

A changed threshold repeats this phase and what follows, and nothing before it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.columns import integers, nulls, one_chunk, take, take_rows
from corpusmill.pipeline.document import schema_of
from corpusmill.pipeline.fingerprint import code_hash, versions
from corpusmill.pipeline.parts import PartRef, part_inputs, parts_after, read_verdict
from corpusmill.pipeline.phases import Desk, Unit
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import Rule
from corpusmill.pipeline.stage_entry import StageEntry

DECIDED_SCHEMA = schema_of(
    row=pa.uint64(),
    keep=pa.bool_(),  # null where the row did not reach this phase
    rule=pa.string(),
    value=pa.string(),
    threshold=pa.string(),
    fired=pa.binary(),  # bit i of byte i // 8: the phase's rule i, whether or not it was the first
)


@dataclass(frozen=True)
class DecidePhase:
    """Rules of the stages between two gathers, in the recipe's order."""

    index: int  # from 1
    entries: tuple[StageEntry, ...]
    earlier: tuple[str, ...]  # names of the deciding phases before this one

    @property
    def name(self) -> str:
        return f"decide-{self.index}"

    def rules_of(self, source: str) -> tuple[Rule, ...]:
        return tuple(rule for entry in self.entries if entry.applies_to(source) for rule in entry.rules(source))

    def fingerprint(self) -> Any:
        return {"code": code_hash("corpusmill.pipeline.decide"), "versions": versions(["duckdb"])}

    def units(self, run: RunFolder) -> list[Unit]:
        return [
            Unit(
                name=part.name,
                source=part.source,
                inputs=part_inputs(part, text=False),
                settings=[repr(rule) for rule in self.rules_of(part.source)],
                spec=part,
                num_bytes=part.measures.num_bytes,
            )
            for part in parts_after(run, self.earlier)
        ]

    def work(self, unit: Unit, desk: Desk) -> Books:
        part: PartRef = unit.spec
        rules = self.rules_of(part.source)
        verdict = read_verdict(desk.run, part)
        needed = {name for rule in rules for name in rule.needs()}
        stored = [name for name in desk.run.parquet(part.measures.path).schema_arrow.names if name in needed]
        table = desk.run.read_table(part.measures.path, sorted({"row", "num_bytes", *stored}))
        for name in needed & verdict.columns.keys():
            table = table.append_column(name, verdict.columns[name])
        rows = np.flatnonzero(verdict.kept)
        reached = take_rows(table, rows)
        sizes = integers(one_chunk(reached, "num_bytes"))
        books = Books(documents_in=len(rows), bytes_in=int(sizes.sum()))
        books.notes["rules"] = [asdict(rule) for rule in rules]  # for the report, which knows no stage
        first = np.full(len(rows), -1, dtype=np.int32)
        columns: dict[str, Any] = {}
        if rules:
            verdicts = evaluate(rules, reached)
            first, books.not_measured = verdicts.first, verdicts.not_measured
            columns = {
                "value": verdicts.value,
                "threshold": verdicts.threshold,
                "fired": verdicts.fired.cast(pa.binary()),
            }
        names = pa.array([rules[index].name if index >= 0 else None for index in first], type=pa.string())
        for index, count in zip(*np.unique(first, return_counts=True), strict=True):
            if index >= 0:
                books.dropped[rules[index].name] += int(count)
        books.documents_kept = int((first < 0).sum())
        books.bytes_kept = int(sizes[first < 0].sum())
        place = np.full(table.num_rows, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        columns |= {"keep": pa.array(first < 0), "rule": names}
        made = {
            name: take(columns[name], place)
            if name in columns
            else nulls(table.num_rows, DECIDED_SCHEMA.field(name).type)
            for name in DECIDED_SCHEMA.names
            if name != "row"
        }
        with desk.parquet("decisions", f"decisions/{self.name}/{part.name}.parquet", DECIDED_SCHEMA) as output:
            output.write(pa.Table.from_pydict({"row": one_chunk(table, "row"), **made}, schema=DECIDED_SCHEMA))
        return books
