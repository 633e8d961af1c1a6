"""Parts: the documents of one make unit, seen through every decision made on them so far.

`documents/` and `measures/` of a part have the same rows in the same row groups; a decision file has one line for
every row, `keep` null where the row did not reach that phase. A row is kept when no decision says false.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.pipeline.columns import flags, lengths, nulls, one_chunk, take
from corpusmill.pipeline.document import ROW_BITS, Column, text_buffers, with_column
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.receipts import OutputFile
from corpusmill.pipeline.run_folder import RunFolder

MAKE = "make"
PART_COLUMNS = ("row", "id", "source", "url", "lang", "num_bytes")
"""What every part view has beside measures; all of it is stored in `measures/`."""


@dataclass(frozen=True)
class PartRef:
    """One part and the decision files on it, in the order in which they were made."""

    name: str
    source: str
    documents: OutputFile
    measures: OutputFile
    decisions: tuple[OutputFile, ...]
    num_bytes: int  # text bytes that make kept

    @property
    def first_row(self) -> int:
        return part_number(self.name) << ROW_BITS


def part_number(unit: str) -> int:
    """The 40-bit number at the end of a make unit's name."""
    return int(unit.rsplit("-", 1)[1], 16)


def parts_after(run: RunFolder, phases: Sequence[str]) -> list[PartRef]:
    """Every part, sorted by name, with the decisions of make and of these phases."""
    made = receipts_of(run, MAKE)
    decisions: dict[str, list[OutputFile]] = {receipt.unit: [] for receipt in made}
    for phase in (MAKE, *phases):
        for receipt in made if phase == MAKE else receipts_of(run, phase):
            decided = receipt.output("decisions")
            if decided is not None:
                decisions[receipt.unit].append(decided)
    return sorted(
        (
            PartRef(
                name=receipt.unit,
                source=receipt.source or "",
                documents=receipt.require("documents"),
                measures=receipt.require("measures"),
                decisions=tuple(decisions[receipt.unit]),
                num_bytes=receipt.books.bytes_kept,
            )
            for receipt in made
        ),
        key=lambda part: part.name,
    )


def deciding_phases(run: RunFolder) -> list[str]:
    """The phases planned so far whose units write decisions, in order, without make."""
    return [entry["name"] for entry in run.read_json("phases.json") or [] if entry["decides"] and entry["name"] != MAKE]


def final_parts(run: RunFolder) -> list[PartRef]:
    """Every part with every decision made so far."""
    return parts_after(run, deciding_phases(run))


def part_inputs(part: PartRef, *, text: bool = True) -> tuple[tuple[str, str], ...]:
    """What a unit that reads the part depends on: checksums of its files."""
    files = [("measures", part.measures.checksum)]
    if text:
        files.append(("documents", part.documents.checksum))
    files += [(f"decisions-{index:03d}", decided.checksum) for index, decided in enumerate(part.decisions)]
    return tuple((f"{part.name}/{kind}", checksum) for kind, checksum in files)


@dataclass(frozen=True)
class Verdict:
    """All decisions on a part together, one entry per row."""

    kept: npt.NDArray[np.bool_]
    group: Column  # uint64, null where no gather grouped the row
    cuts: list[tuple[npt.NDArray[np.int64], Column]]  # per gather that cut: rows cut, their span lists
    columns: dict[str, Column]  # measured by gathers


def read_verdict(run: RunFolder, part: PartRef) -> Verdict:
    """Fold the part's decision files."""
    num_rows = part.measures.num_rows
    kept = np.ones(num_rows, dtype=np.bool_)
    group: Column = nulls(num_rows, pa.uint64())
    cuts: list[tuple[npt.NDArray[np.int64], Column]] = []
    columns: dict[str, Column] = {}
    for file in part.decisions:
        table = run.read_table(file.path).combine_chunks()
        if table.num_rows != num_rows:
            raise CorpusmillError(f"{file.path}: {table.num_rows} decisions for {num_rows} rows of {part.name}")
        kept &= flags(one_chunk(table, "keep"), null=True)
        for name in table.column_names:
            if name == "group":
                group = cast("Any", pc).coalesce(one_chunk(table, name), group)
            elif name == "cut":
                spans = one_chunk(table, name)
                rows = np.flatnonzero(lengths(spans)).astype(np.int64)
                if len(rows):
                    cuts.append((rows, take(spans, rows)))
            elif name not in ("row", "keep", "rule", "value", "threshold", "winner", "weight", "fired"):
                columns[name] = one_chunk(table, name)
    return Verdict(kept, group, cuts, columns)


def read_part(
    run: RunFolder, part: PartRef, columns: Iterable[str] = (), *, text: bool, batch_bytes: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The kept documents of a part in order, as batches of about a row group, or of `batch_bytes` of text.

    Columns: PART_COLUMNS, the measured `columns` asked for (null where a part lacks one), `group`, and `text` with
    cut spans applied. Without `text` the documents file is not opened, and `num_bytes` counts the cuts as cut.
    """
    verdict = read_verdict(run, part)
    wanted = [*PART_COLUMNS, *(name for name in columns if name not in PART_COLUMNS)]
    with run.parquet(part.measures.path) as measures:
        stored = [name for name in wanted if name in measures.schema_arrow.names]
        documents = run.parquet(part.documents.path) if text else None
        start = 0
        for index in range(measures.num_row_groups):
            group = measures.read_row_group(index, columns=stored, use_threads=False).combine_chunks()
            first = start
            for texts in _texts(documents, index, batch_bytes) if documents is not None else [None]:
                stop = first + group.num_rows if texts is None else start + len(texts)
                rows = group.slice(start - first, stop - start)
                chosen = np.flatnonzero(verdict.kept[start:stop])
                arrays = {
                    name: _chosen(one_chunk(rows, name), chosen) for name in stored if name not in verdict.columns
                }
                for name in wanted:
                    if name in verdict.columns:
                        arrays[name] = take(verdict.columns[name], start + chosen)
                arrays["group"] = take(verdict.group, start + chosen)
                if texts is not None:
                    arrays["text"] = _chosen(texts, chosen)
                batch = pa.RecordBatch.from_pydict(arrays)
                for rows_cut, spans in verdict.cuts:
                    batch = _cut(batch, np.searchsorted(rows_cut, start + chosen), start + chosen, rows_cut, spans)
                start = stop
                if batch.num_rows:
                    yield batch
                del texts, arrays, batch  # one text in memory while the next is read
        if documents is not None:
            documents.close()


def _texts(documents: pq.ParquetFile, index: int, batch_bytes: int | None) -> Iterator[Column]:
    """The texts of a row group: all of them, or about `batch_bytes` at a time."""
    group = documents.metadata.row_group(index)
    size = group.column(documents.schema_arrow.get_field_index("text")).total_uncompressed_size
    step = group.num_rows if batch_bytes is None else max(1, group.num_rows * batch_bytes // max(1, size))
    for texts in documents.iter_batches(step, row_groups=[index], columns=["text"], use_threads=False):
        yield one_chunk(texts, "text")
        del texts


def _chosen(column: Column, rows: npt.NDArray[np.intp]) -> Column:
    """The column's entries at ascending `rows`; itself where these are all."""
    return column if len(rows) == len(column) else take(column, rows)


def _cut(
    batch: pa.RecordBatch,
    at: npt.NDArray[np.intp],
    rows: npt.NDArray[np.int64],
    rows_cut: npt.NDArray[np.int64],
    spans: Column,
) -> pa.RecordBatch:
    """Apply one gather's spans to the rows of a batch that have some."""
    hit = np.flatnonzero((at < len(rows_cut)) & (rows_cut[np.minimum(at, len(rows_cut) - 1)] == rows))
    if not len(hit):
        return batch
    num_bytes = batch.column("num_bytes").to_numpy().copy()
    texts: list[bytes | None] | None = None
    if "text" in batch.schema.names:
        data, offsets = text_buffers(batch.column("text"))
        texts = [data[offsets[i] : offsets[i + 1]].tobytes() for i in range(batch.num_rows)]
    for i in hit:
        row_spans = spans[int(at[i])].as_py()
        if texts is None:
            num_bytes[i] -= sum(s["end"] - s["start"] for s in row_spans if s["how"] == "cut")
        else:
            texts[i] = cut_text(texts[i] or b"", row_spans)
            num_bytes[i] = len(texts[i] or b"")
    batch = with_column(batch, "num_bytes", pa.array(num_bytes))
    if texts is not None:
        batch = with_column(batch, "text", pa.array(texts, type=pa.large_binary()).cast(pa.large_string()))
    return batch


def cut_text(text: bytes, spans: Sequence[dict[str, Any]]) -> bytes:
    """UTF-8 `text` without its `cut` spans; `mask` puts spaces of the same length, `mark` changes nothing."""
    pieces, last = [], 0
    for span in spans:
        start, end = span["start"], span["end"]
        if span["how"] == "mark":
            continue
        pieces.append(text[last:start])
        if span["how"] == "mask":
            pieces.append(b" " * (end - start))
        last = end
    return b"".join([*pieces, text[last:]])
