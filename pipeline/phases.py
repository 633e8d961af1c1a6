"""Phases and units: what is done, in which pieces, and under which keys.

A phase is a list of units and one function that does a unit. A unit's key is a hash of the phase's settings and
code and of the identity of the unit's inputs. A unit with a receipt of the same key is not run again.
"""

import os
import posixpath
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.pipeline.allocators import give_back, keep_little
from corpusmill.pipeline.errors import DamagedFileError, OtherFormatError
from corpusmill.pipeline.faults import fault_point
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.pipeline.peak_memory import peak_memory
from corpusmill.pipeline.receipts import Books, OutputFile, Receipt, read_receipt, receipt_path, write_receipt
from corpusmill.pipeline.run_folder import Output, RunFolder

Compression = Literal["zstd", "lz4"]


@dataclass(frozen=True)
class Unit:
    """One piece of a phase. Everything that changes its result is in `inputs` or `settings`.

    `spec` is what the function needs to find its inputs (paths); it is not part of the key.
    """

    name: str  # a file name without suffix, unique in the phase, the same whatever else is in the run
    source: str | None = None  # the source whose books it belongs to; None for work across sources
    inputs: tuple[tuple[str, str], ...] = ()  # (name, identity): checksum of a file of ours, size and time of others
    settings: Any = None  # JSON: what of the settings concerns this unit only
    spec: Any = None  # picklable
    num_bytes: int = 0  # of the inputs, for progress and for the order of work (largest first)

    def key(self, phase_key: str) -> str:
        return hash_json([phase_key, sorted(self.inputs), self.settings])


class Phase(Protocol):
    """A frozen, picklable dataclass. `units` is called in the driver after every earlier phase is complete."""

    @property
    def name(self) -> str:
        """Its folder under receipts/, such as `make`, `minhash/signatures` or `tokens/encode`."""

    def fingerprint(self) -> Any:
        """JSON of all that its units' results depend on beside their inputs: settings, code, models, versions."""

    def units(self, run: RunFolder) -> list[Unit]:
        """The units, planned from the receipts of earlier phases; any order."""

    def work(self, unit: Unit, desk: "Desk") -> Books:
        """Do one unit: read, write through the desk, and account for every document. May run twice at once."""


def key_of(phase: Phase) -> str:
    """The phase's key."""
    return hash_json([phase.name, phase.fingerprint()])


@dataclass
class Desk:
    """What a unit's work is given: the run folder to read from, and files to write into."""

    run: RunFolder
    unit: Unit
    key: str
    attempt: str
    outputs: list[OutputFile] = field(default_factory=list)
    moves: list[tuple[str, str]] = field(default_factory=list)

    def _attempt_name(self, name: str) -> str:
        stem, suffix = posixpath.splitext(name)
        return f"{stem}.{self.key[:8]}.{self.attempt}{suffix}"

    @contextmanager
    def create(self, kind: str, name: str, *, fixed: bool = False) -> Iterator[Output]:
        """A new binary file of the run. It is named for this attempt, or gets its `fixed` name when committed."""
        path = self._attempt_name(name)
        with self.run.create(path) as output:
            yield output
        self._finish(kind, name, path, output, -1, fixed)

    @contextmanager
    def parquet(
        self,
        kind: str,
        name: str,
        schema: pa.Schema,
        *,
        fixed: bool = False,
        row_group_rows: int = 1 << 16,
        compression: Compression = "zstd",
    ) -> Iterator["TableOutput"]:
        """A new Parquet file of the run; lz4 is for what is read once, at half the time to write and more bytes."""
        path = self._attempt_name(name)
        with self.run.create(path) as output, parquet_output(output, schema, row_group_rows, compression) as table:
            yield table
        self._finish(kind, name, path, output, table.num_rows, fixed)

    def _finish(self, kind: str, name: str, path: str, output: Output, num_rows: int, fixed: bool) -> None:
        final = name if fixed else path
        if fixed:
            self.moves.append((path, final))
        self.outputs.append(OutputFile(kind, final, output.num_bytes, output.checksum, num_rows))


@dataclass
class TableOutput:
    """A Parquet file being written."""

    writer: pq.ParquetWriter
    row_group_rows: int
    num_rows: int = 0

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Append rows as row groups of their own."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        if table.num_rows:
            self.writer.write_table(table, row_group_size=self.row_group_rows)
            self.num_rows += table.num_rows


@contextmanager
def parquet_output(
    output: Output, schema: pa.Schema, row_group_rows: int = 1 << 16, compression: Compression = "zstd"
) -> Iterator[TableOutput]:
    """A Parquet file in `output` with page checksums. Texts, ids and counts hardly repeat: no dictionaries for them."""
    hashes = [f.name for f in schema if pa.types.is_uint64(f.type)]
    plain = [f.name for f in schema if f.type in (pa.large_string(), pa.large_binary(), pa.int64())] + [*hashes, "id"]
    encoded = [f.name for f in schema if f.name not in plain and not pa.types.is_nested(f.type)]
    with pq.ParquetWriter(
        pa.PythonFile(output, mode="w"),
        schema,
        compression=compression,
        use_dictionary=cast("Any", encoded),
        column_encoding=cast("Any", dict.fromkeys(hashes, "BYTE_STREAM_SPLIT")),  # twice as fast, 16 % smaller
        write_page_checksum=True,
    ) as writer:
        yield TableOutput(writer, row_group_rows)


def run_unit(phase: Phase, phase_key: str, unit: Unit, run: RunFolder) -> Receipt:
    """Do one unit and commit it. Never raises: a unit that fails gives a receipt with its error.

    A unit that another attempt finished meanwhile is not done again.
    """
    started, cpu_started = time.monotonic(), time.process_time()
    key = unit.key(phase_key)
    found = finished_receipt(run, phase.name, unit.name, key)
    if found is not None:
        return found
    keep_little()
    desk = Desk(run, unit, key, attempt=os.urandom(4).hex())
    books, error = Books(), None
    try:
        fault_point(f"{phase.name}:start")
        books = phase.work(unit, desk)
        books.check(f"{phase.name}/{unit.name}")
        fault_point(f"{phase.name}:output")
        if desk.moves:  # an older receipt must not vouch for a file that is about to be replaced
            run.remove(receipt_path(phase.name, unit.name))
        for path, final in desk.moves:
            run.move(path, final)
    except Exception as caught:
        error = f"{type(caught).__name__}: {caught}"
        desk.outputs = []
        with suppress(OSError):  # a full disk takes no traceback either; the error itself goes to the driver
            log_failure(run, phase.name, unit.name)
    receipt = Receipt(
        phase=phase.name,
        unit=unit.name,
        key=key,
        source=unit.source,
        inputs=tuple(sorted(unit.inputs)),
        outputs=tuple(desk.outputs),
        books=books if error is None else Books(),
        run={
            "seconds": round(time.monotonic() - started, 3),
            "cpu_s": round(time.process_time() - cpu_started, 3),
            "peak_mib": peak_memory() >> 20,
            "attempt": desk.attempt,
        },
        error=error,
    )
    fault_point(f"{phase.name}:receipt")
    try:
        write_receipt(run, receipt)
    except OSError as caught:
        return replace(receipt, outputs=(), books=Books(), error=error or f"{type(caught).__name__}: {caught}")
    give_back(unit.num_bytes)
    fault_point(f"{phase.name}:done")
    return receipt


def log_failure(run: RunFolder, phase: str, unit: str) -> None:
    """The traceback of a failed unit, for whoever looks into it."""
    import traceback

    run.put(f"logs/{phase.replace('/', '.')}.{unit}.txt", traceback.format_exc().encode())


def finished_receipt(run: RunFolder, phase: str, unit: str, key: str) -> Receipt | None:
    """The unit's receipt if it is complete under this key and its files are there in full size."""
    try:
        receipt = read_receipt(run, phase, unit)
    except OtherFormatError:
        return None
    if receipt is None or receipt.key != key or receipt.error is not None:
        return None
    if all(run.size(output.path) == output.num_bytes for output in receipt.outputs):
        return receipt
    return None


def receipts_of(run: RunFolder, phase: str) -> list[Receipt]:
    """The receipts of the phase's planned units, by unit name; raises if one is missing."""
    planned = next((entry for entry in run.read_json("phases.json") or [] if entry["name"] == phase), None)
    if planned is None:
        return []
    receipts = []
    for unit in planned["units"]:
        receipt = read_receipt(run, phase, unit)
        if receipt is None:
            raise DamagedFileError(f"{run.url}/{receipt_path(phase, unit)}: missing. Build again.")
        receipts.append(receipt)
    return receipts


def identities(outputs: Iterable[OutputFile]) -> tuple[tuple[str, str], ...]:
    """Inputs of a unit that are files of ours: (kind/unit-independent name, checksum)."""
    return tuple((output.kind, output.checksum) for output in outputs)
