"""The make phase: read, extract, change and measure, fused per work unit.

Writes `documents/` (text) and `measures/` (same rows, same row groups, no text), `refused/` (records that became no
document) and, where early rules or datatrove steps drop something, `decisions/make/`. Memory holds a few batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.chain import Chain, Slab
from corpusmill.pipeline.columns import concat_batches, lengths, nulls, take, take_rows
from corpusmill.pipeline.document import BATCH_BYTES, DOCUMENT_SCHEMA, ROW_BITS, Batch, schema_of
from corpusmill.pipeline.errors import BadRecordError, CorpusmillError
from corpusmill.pipeline.fingerprint import code_hash, stage_fingerprint
from corpusmill.pipeline.inputs import (
    FileGroup,
    FoundFile,
    find_files,
    group_files,
    name_hash,
    open_input,
    take_by_hash,
)
from corpusmill.pipeline.opened import opened
from corpusmill.pipeline.parts import MAKE, part_number
from corpusmill.pipeline.phases import Desk, TableOutput, Unit
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.recipe import Recipe, Source
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import DECISION_SCHEMA, InputFile, ReadContext, Refusal
from corpusmill.pipeline.stage_entry import StageEntry

REFUSED_SCHEMA = schema_of(
    file=pa.string(), record=pa.string(), reason=pa.string(), detail=pa.string(), failed=pa.bool_()
)

MEASURES_BASE = schema_of(
    row=pa.uint64(), id=pa.string(), source=pa.string(), url=pa.string(), lang=pa.string(), num_bytes=pa.int64()
)


@dataclass(frozen=True)
class MakePhase:
    """Settings of all sources and stages; units carry what concerns their own source."""

    sources: tuple[Source, ...]
    entries: tuple[StageEntry, ...]  # read-through stages only: change, measure, expand, datatrove
    on_bad_record: str = "skip"
    max_document_bytes: int = 16 << 20
    unit_bytes: int = 64 << 20
    keep_dropped_text: str = "sample"  # of early rules: all, sample (1 % by hash of id) or none
    sample: float = 1.0  # share of documents read, by hash of id
    limit: int | None = None  # documents per source: the first of its first unit

    name = MAKE

    @classmethod
    def of(cls, recipe: Recipe, **choices: Any) -> "MakePhase":
        return cls(
            sources=recipe.sources,
            entries=tuple(entry for entry in recipe.entries if entry.stage.kind != "gather"),
            on_bad_record=recipe.on_bad_record,
            max_document_bytes=recipe.max_document_bytes,
            unit_bytes=recipe.unit_bytes,
            keep_dropped_text=recipe.keep_dropped_text,
            **choices,
        )

    def fingerprint(self) -> Any:
        return {"code": code_hash("corpusmill.pipeline.make")}

    def entries_of(self, source: Source) -> tuple[StageEntry, ...]:
        return tuple(entry for entry in self.entries if entry.applies_to(source.name))

    def measured(self) -> dict[str, pa.DataType]:
        """The columns of `measures/` beside the base ones: the same for every source, null where not measured."""
        columns: dict[str, pa.DataType] = {}
        for entry in self.entries:
            columns |= entry.adds()
        return columns

    def units(self, run: RunFolder) -> list[Unit]:
        return self.listed

    @cached_property
    def listed(self) -> list[Unit]:
        """The units, listed once: `check` and the build that follows it look at the same files."""
        units: list[Unit] = []
        for source in self.sources:
            groups = group_files(source.name, self.files(source), self.unit_bytes)
            if self.limit is not None:
                groups = sorted(groups, key=lambda group: group.files[0].file.name)[:1]
            units += [self._unit(source, group) for group in groups]
        if len({unit.name for unit in units}) < len(units):
            raise CorpusmillError("two work units have the same name: rename one of the input files")
        return units

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # workers need no list of units

    def files(self, source: Source) -> list[FoundFile]:
        """The source's input files, cut to its `max_bytes`."""
        files = find_files(source.paths)
        return files if source.max_bytes is None else take_by_hash(files, source.max_bytes)

    def _unit(self, source: Source, group: FileGroup) -> Unit:
        stages = [stage_fingerprint(source.reader)]
        if source.extractor is not None:
            stages.append(stage_fingerprint(source.extractor))
        for entry in self.entries_of(source):
            stages.append(stage_fingerprint(entry.stage) | {"as": entry.label})
            if entry.early:
                stages.append({"early": [repr(rule) for rule in entry.rules(source.name)]})
        return Unit(
            name=group.name,
            source=source.name,
            inputs=tuple((file.file.name, file.identity) for file in group.files),
            settings={
                "stages": stages,
                "columns": {name: str(kind) for name, kind in self.measured().items()},
                "on_bad_record": self.on_bad_record,
                "max_document_bytes": self.max_document_bytes,
                "keep_dropped_text": self.keep_dropped_text,
                "sample": self.sample,
                "limit": self.limit,
            },
            spec=(source, tuple(file.file for file in group.files)),
            num_bytes=group.num_bytes,
        )

    def work(self, unit: Unit, desk: Desk) -> Books:
        source, files = unit.spec
        entries = self.entries_of(source)
        work = _MakeUnit(self, source, entries, desk)
        schema = schema_of(**{field.name: field.type for field in MEASURES_BASE} | self.measured())
        decides = any(entry.early or entry.stage.kind == "datatrove" for entry in entries)
        with (
            desk.parquet("documents", f"documents/{unit.name}.parquet", DOCUMENT_SCHEMA) as documents,
            desk.parquet("measures", f"measures/{unit.name}.parquet", schema) as measures,
        ):
            decisions: list[pa.Table] = []
            for slab in work.chain.run(work.slabs(files)):
                work.number(slab)
                documents.write(work.document_rows(slab))
                measures.write(work.measure_rows(slab, schema))
                decisions.append(slab.decisions())
        if decides:
            with desk.parquet("decisions", f"decisions/make/{unit.name}.parquet", DECISION_SCHEMA) as output:
                for table in decisions:
                    output.write(table)
        if work.refusals:
            with desk.parquet("refused", f"refused/{unit.name}.parquet", REFUSED_SCHEMA) as refused:
                write_refusals(refused, work.refusals)
        return work.books


def write_refusals(output: TableOutput, refusals: list[Refusal]) -> None:
    columns = {name: [getattr(refusal, name) for refusal in refusals] for name in REFUSED_SCHEMA.names}
    output.write(pa.Table.from_pydict(columns, schema=REFUSED_SCHEMA))


@dataclass
class _MakeUnit:
    """The state of one unit: its books, its refusals, and how many rows it has given numbers."""

    phase: MakePhase
    source: Source
    entries: tuple[StageEntry, ...]
    desk: Desk
    books: Books = field(default_factory=Books)
    refusals: list[Refusal] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)  # files without a record
    num_read: int = 0
    num_rows: int = 0

    def __post_init__(self) -> None:
        self.chain = Chain(self.source.name, self.entries, self.phase.measured(), self.books, self.refuse)
        self.extractor = None if self.source.extractor is None else opened(self.source.extractor)

    def refuse(self, refusal: Refusal) -> None:
        """Count a record that became no document; stop if the recipe says so."""
        if refusal.failed and self.phase.on_bad_record == "stop":
            raise BadRecordError(
                f"{refusal.file}, record {refusal.record}: {refusal.reason}: {refusal.detail}. "
                "Set on_bad_record: skip, or mend the file and run again: finished units are kept."
            )
        self.books.documents_in += 1
        (self.books.failed if refusal.failed else self.books.dropped)[refusal.reason] += 1
        self.refusals.append(refusal)

    def slabs(self, files: tuple[InputFile, ...]) -> Iterator[Slab]:
        """Rows of all files as slabs of about BATCH_BYTES, so that many small files cost no more than one large."""
        waiting: list[Batch] = []
        num_bytes = 0
        for rows in self._read(files):
            waiting.append(rows)
            num_bytes += int(lengths(rows.column("text")).sum())
            del rows  # the slab alone is in memory while its stages work
            if num_bytes >= BATCH_BYTES:
                yield self._slab(waiting)
                num_bytes = 0
        if waiting:
            yield self._slab(waiting)

    def _slab(self, waiting: list[Batch]) -> Slab:
        """The rows that wait as one slab; leaves the list empty."""
        rows = concat_batches(waiting, DOCUMENT_SCHEMA)
        waiting.clear()
        return Slab.of(rows, self.phase.measured())

    def _read(self, files: tuple[InputFile, ...]) -> Iterator[Batch]:
        """The files' records, extracted, in DOCUMENT_SCHEMA."""
        reader = opened(self.source.reader)
        context = ReadContext(open_input, self.refuse, self.phase.max_document_bytes)
        for file in files:
            seen, refused = 0, len(self.refusals)
            for raw in reader.read(file, context):
                seen += raw.num_rows
                rows = self._rows(raw, file.name)
                del raw
                if rows.num_rows:
                    yield rows
                del rows
                if self.phase.limit is not None and self.num_read >= self.phase.limit:
                    return
            if not seen and len(self.refusals) == refused:
                self.empty.append(file.name)
        if self.empty:
            self.books.notes["empty_files"] = {"count": len(self.empty), "first": self.empty[0]}

    def _rows(self, raw: Batch, file: str) -> Batch:
        raw = self._sampled(raw)
        text = raw.column("text")
        self.books.bytes_in += int(lengths(text).sum() + lengths(raw.column("content")).sum())
        reasons: list[str | None] = [None] * raw.num_rows
        if self.extractor is not None and raw.column("content").null_count < raw.num_rows:
            text, failed = self.extractor.extract(raw)
            reasons = failed.to_pylist()
        sizes = lengths(text)
        good: npt.NDArray[np.bool_] = np.ones(raw.num_rows, dtype=np.bool_)
        ids = raw.column("id").to_pylist()
        for index in np.flatnonzero((sizes == 0) | (sizes > self.phase.max_document_bytes)):
            reason = reasons[index] or ("empty_document" if sizes[index] == 0 else "record_too_large")
            if reason == "empty_document" and self.extractor is None and text[int(index)].as_py() is None:
                reason = "unsupported_format"
            detail = f"{sizes[index]} bytes of text" if sizes[index] else "no text"
            self.refuse(Refusal(file, str(ids[index]), reason, detail))
            good[index] = False
        if self.phase.limit is not None:
            good &= np.cumsum(good) <= self.phase.limit - self.num_read
        chosen = np.flatnonzero(good)
        self.num_read += len(chosen)
        self.books.documents_in += len(chosen)
        return pa.RecordBatch.from_pydict(
            {
                "id": pa.array([f"{self.source.name}/{ids[i]}" for i in chosen], type=pa.string()),
                "row": nulls(len(chosen), pa.uint64()),
                "text": text if len(chosen) == len(text) else take(text, chosen),
                "source": pa.array([self.source.name] * len(chosen), type=pa.string()),
                **{name: take(raw.column(name), chosen) for name in ("url", "lang", "meta")},
            },
            schema=DOCUMENT_SCHEMA,
        )

    def _sampled(self, raw: Batch) -> Batch:
        if self.phase.sample >= 1:
            return raw
        bound = self.phase.sample * 2**64
        chosen = [i for i, name in enumerate(raw.column("id").to_pylist()) if name_hash("sample", str(name)) < bound]
        return take_rows(raw, np.asarray(chosen, dtype=np.int64))

    def number(self, slab: Slab) -> None:
        """Give the slab's rows their numbers: what leaves the chain is what is counted."""
        slab.number((part_number(self.desk.unit.name) << ROW_BITS) + self.num_rows)
        self.num_rows += slab.rows.num_rows
        if self.num_rows >= 1 << ROW_BITS:
            raise CorpusmillError(
                f"{self.desk.unit.name}: over {1 << ROW_BITS:,} documents in one unit: split the file"
            )

    def document_rows(self, slab: Slab) -> pa.RecordBatch:
        """The slab's documents; those dropped early keep their text as the recipe says."""
        rows = slab.rows
        self.books.documents_kept += len(slab.alive)
        if len(slab.alive) == rows.num_rows:
            return rows
        keeps = np.zeros(rows.num_rows, dtype=np.bool_)
        keeps[slab.alive] = True
        if self.phase.keep_dropped_text == "all":
            keeps[:] = True
        elif self.phase.keep_dropped_text == "sample":
            for index in np.flatnonzero(~keeps):
                keeps[index] = name_hash("dropped", rows.column("id")[int(index)].as_py()) % 100 == 0
        text = take(rows.column("text"), np.where(keeps, np.arange(rows.num_rows), -1))
        return rows.set_column(rows.schema.get_field_index("text"), "text", text)

    def measure_rows(self, slab: Slab, schema: pa.Schema) -> pa.RecordBatch:
        """The slab's measures; `lang` is the language stage's where there is one."""
        sizes = lengths(slab.rows.column("text"))
        self.books.bytes_kept += int(sizes[slab.alive].sum())
        arrays = {name: slab.rows.column(name) for name in ("row", "id", "source", "url", "lang")}
        arrays |= {"num_bytes": pa.array(sizes)} | slab.columns
        return pa.RecordBatch.from_arrays(
            [arrays[name].cast(schema.field(name).type) for name in schema.names], schema=schema
        )
