"""What a stage is: a frozen, keyword-only dataclass of settings whose `open()` gives its worker.

The settings are cheap, hashable and picklable; the worker holds what was loaded (models, word lists) and has
the one pure batch method of its kind. Same batch in, same out: no clock, no global, no I/O in the method.
Splitting or reordering a batch changes nothing. The protocols below are all that `pipeline/` knows of stages.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column, schema_of

T = TypeVar("T")

Kind = Literal["read", "expand", "extract", "change", "measure", "gather", "datatrove"]


class Stage(Protocol):
    """Settings of one stage. Class variables say what it is, fields are what a recipe may set."""

    name: ClassVar[str]  # its short name in recipes; columns begin with it
    kind: ClassVar[Kind]
    depends: ClassVar[tuple[str, ...]]  # distributions whose versions change its results
    extra: ClassVar[str | None]  # the optional dependency group that it needs

    def adds(self) -> dict[str, pa.DataType]:
        """Columns that it measures, with their types."""

    def reads(self) -> tuple[str, ...]:
        """Measured columns of earlier stages that it (not its rules) needs."""

    def rules(self) -> tuple["Rule", ...]:
        """What it drops, decided from measured columns alone."""

    def files(self) -> tuple[Path, ...]:
        """Models and lists that it loads; their content is part of its key."""

    def problems(self) -> tuple[str, ...]:
        """What is wrong with its files, which are all there, or with settings that speak of them. It may raise too."""

    def open(self) -> Any:
        """The worker; may take seconds, is done once per process."""


class StageSettings:
    """Defaults for the parts of `Stage` that most stages leave empty. Inherit it and add @dataclass."""

    depends: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None

    def adds(self) -> dict[str, pa.DataType]:
        return {}

    def reads(self) -> tuple[str, ...]:
        return ()

    def rules(self) -> tuple["Rule", ...]:
        return ()

    def files(self) -> tuple[Path, ...]:
        return ()

    def problems(self) -> tuple[str, ...]:
        return ()


def threshold(default: T) -> T:
    """A dataclass field that only rules read: changing it repeats decisions, never measures."""
    made: T = field(default=default, metadata={"threshold": True})
    return made


def measure_settings(stage: Stage) -> dict[str, Any]:
    """The settings that change what the stage measures or writes: for a measure or change all but its thresholds."""
    fields = dataclasses.fields(stage)  # type: ignore[arg-type]  # every Stage is a dataclass
    ruled = stage.kind in ("measure", "change")
    return {f.name: getattr(stage, f.name) for f in fields if not (ruled and f.metadata.get("threshold"))}


@dataclass(frozen=True)
class Rule:
    """Drops a document when `value op limit` holds. NULL never fires; it is counted as not measured.

    `value` names one column, or two: numerator and denominator, divided in float64 (a denominator of 0 is
    NULL). There may be other limits by language, and a limit of None never fires. `when`, instead of all this,
    is a checked SQL expression over columns (see decide/expressions.py). The name reads true of the document
    that it catches: `gopher.too_few_words`.
    """

    name: str
    value: tuple[str, ...] = ()
    op: Literal["<", "<=", ">", ">=", "=", "!=", "not in", "in"] = ">"
    limit: float | str | tuple[str, ...] | None = 0.0  # None: only where `by_language` has one
    when: str | None = None
    columns: tuple[str, ...] = ()  # what `when` reads
    by_language: tuple[tuple[str, float | None], ...] = ()  # other limits by ISO 639-1 code of `lang`; None is off

    def needs(self) -> tuple[str, ...]:
        """The columns that must have been measured."""
        if self.when is not None:
            return self.columns
        return (*self.value, "lang") if self.by_language else self.value


class Scratch:
    """What the measures of one batch share, such as a Layout per segmenter: made at most once, never stored."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `make()`, called only for the first request of `key`."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made


@dataclass(frozen=True)
class Refusal:
    """A record that became no document: `failed` with a reason, or dropped by a reader's `rule`.

    `record` is the record's number in the file from 0, or its id; `detail` says more to a person.
    """

    file: str
    record: str
    reason: str
    detail: str = ""
    failed: bool = True


FAILED_REASONS = (
    "truncated_input",  # one per file; the records before it are kept
    "invalid_utf8",
    "malformed_record",
    "missing_field",
    "null_text",
    "empty_document",
    "record_too_large",
    "extract_failed",
    "extract_timeout",
    "unsupported_format",
    "unknown_charset",
    "step_failed",
)


@dataclass(frozen=True)
class InputFile:
    """One outside file: where it is, and its name under its input root (which is what ids and keys use)."""

    path: str  # local path or URL for fsspec
    name: str  # relative to the input root, with forward slashes


class Opener(Protocol):
    def __call__(self, file: InputFile) -> BinaryIO:
        """The file's raw bytes, buffered, counted for progress."""


@dataclass(frozen=True)
class ReadContext:
    """What a reader is given beside the file."""

    open: Opener
    refuse: Callable[[Refusal], None]  # counts a record that became no document
    max_document_bytes: int  # larger records are refused as record_too_large, read over in bounded memory


class ReadWorker(Protocol):
    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        """The file's records in order, as batches of RAW_SCHEMA of about BATCH_BYTES; never raises on bad data."""


class ExtractWorker(Protocol):
    def extract(self, batch: Batch) -> tuple[Column, Column]:
        """`content` of RAW_SCHEMA to (text large_string, failed reason string); exactly one is not null per row."""


class ChangeWorker(Protocol):
    def change(self, batch: Batch) -> tuple[Batch, dict[str, Column]]:
        """The same rows with changed columns, and the measured columns of `adds` (what was changed, how often)."""


class MeasureWorker(Protocol):
    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        """One array of `batch.num_rows` for every column of `adds`. Undefined is null, never NaN."""


class ExpandWorker(Protocol):
    def expand(self, batch: Batch) -> tuple[Batch, Column, Column]:
        """New rows; for each the index (int64, ascending) of the row of `batch` that it came from; and a failed
        reason (string) for those whose text is null. Every row of `batch` gives at least one.

        A stage that `adds()` the column `<name>_parent` (string) gets the id of the row there.
        """


@dataclass(frozen=True)
class Round:
    """One step of a gather. The worker's method of the same name does it, once per unit.

    over="parts":  a unit per documents part. The method gets `PartView` and, from each round in `reads`, the
                   rows whose `key` lies in this part's range of `row`s.
    over="ranges": a unit per range of keys (as many as memory asks for). It gets, from each round in `reads`,
                   the rows whose `key` lies in the range, sorted by key.
    over="whole":  one unit, all rows.
    With `streamed` it gets, from each round in `reads`, a `RowStream` instead of a table; over parts, a `PartRows`.
    The method gives one table, or an iterator of tables, with a uint64 column `key`: a uniform hash for a
    round that `ranges` reads, a `row` for one that `parts` reads. They are sorted by key when stored.
    The last round is over parts and gives DECISION_SCHEMA (plus columns of `adds`), a line per given row.
    """

    name: str
    over: Literal["parts", "ranges", "whole"]
    reads: tuple[str, ...] = ()
    text: bool = False  # the part view has `text`; without it only `row`, `id`, `source`, `num_bytes` and measures
    evidence: bool = False  # also kept for people, under evidence/<gather>/, with the key column
    streamed: bool = False  # more rows than memory holds are read some at a time


class RowStream(Protocol):
    def read(self, *columns: str) -> Iterator[pa.Table]:
        """These columns (none named: all) of the rows, some at a time; may be called again.

        Tables come unit by unit, by the units' names, and in each as they were given; each is sorted by key.
        """


class PartRows(Protocol):
    def of(self, rows: npt.NDArray[np.uint64], only: str | None = None) -> pa.Table | None:
        """The rows whose `key` lies between the first and the last of a batch's `rows`, sorted by key.

        `only` names a boolean column, always the same: the others are not kept in memory. Batches are asked for in
        order. None where the earlier round had no unit.
        """


SPANS: pa.DataType = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("how", pa.string())]))

DECISION_SCHEMA = schema_of(
    row=pa.uint64(),
    keep=pa.bool_(),
    rule=pa.string(),  # null when kept
    value=pa.string(),  # JSON scalar
    threshold=pa.string(),  # JSON scalar
    winner=pa.uint64(),  # row of the document that stays instead; null without one
    weight=pa.float32(),  # repetition weight; null is 1
    group=pa.uint64(),  # documents that must not be split between train and held out; null is alone
    cut=SPANS,
)
"""What a gather decides: one line for every row that reached it, in the part's order. `cut` spans are bytes of
the UTF-8 text, sorted, not overlapping; `how` is cut, mask or mark."""


@dataclass(frozen=True)
class PartView:
    """The documents of one part that earlier rules and gathers kept, in order, as batches.

    Columns: row, id, source, url, lang, num_bytes, every measured column that the stage `reads()`, and `text`
    where the round asks for it. `batches` may be iterated once.
    """

    name: str
    batches: Iterable[Batch]
    first_row: int  # the part's rows are in [first_row, first_row + 2**ROW_BITS)


class Gather(Stage, Protocol):
    def rounds(self) -> tuple[Round, ...]:
        """Its rounds, in order; the last one decides."""
