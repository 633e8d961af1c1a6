"""Receipts: what a finished unit of work leaves behind, and the books that must balance.

A receipt names the unit's key, inputs, outputs with checksums, and how many documents went in, were kept, were
dropped by which rule, or failed for which reason. It is written last, so a receipt means complete. Its `run` part
(seconds, memory) is outside every comparison; `seal` is the checksum of all the rest.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from corpusmill.pipeline.errors import CorpusmillError, DamagedFileError, OtherFormatError
from corpusmill.pipeline.run_folder import Checksum, RunFolder

FORMAT = 3
"""Raised when what receipts say changes; a build does the units of other formats again."""


@dataclass
class Books:
    """Documents and bytes of one unit. `documents_in = kept + sum(dropped) + sum(failed)`, or it is not committed."""

    documents_in: int = 0
    documents_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # rule -> documents
    failed: Counter[str] = field(default_factory=Counter)  # reason -> documents
    bytes_in: int = 0  # UTF-8 bytes of text; for a make unit: bytes of content before extraction
    bytes_kept: int = 0
    not_measured: Counter[str] = field(default_factory=Counter)  # rule -> documents whose value is NULL
    notes: dict[str, Any] = field(default_factory=dict)  # facts that later phases read, such as token counts
    warnings: list[str] = field(default_factory=list)

    def check(self, unit: str) -> None:
        """Raises if the books do not balance: our mistake, never the user's."""
        out = self.documents_kept + self.dropped.total() + self.failed.total()
        if self.documents_in != out:
            raise CorpusmillError(
                f"{unit}: {self.documents_in} documents went in, {self.documents_kept} kept + "
                f"{self.dropped.total()} dropped + {self.failed.total()} failed = {out} came out. "
                "This is a defect of a stage; nothing was committed."
            )


@dataclass(frozen=True)
class OutputFile:
    """One committed file. `kind` tells phases that read it what it is."""

    kind: str  # documents, measures, decisions, refused, rows, evidence, …
    path: str  # relative to the run folder
    num_bytes: int
    checksum: str
    num_rows: int  # -1 where rows mean nothing


@dataclass(frozen=True)
class Receipt:
    phase: str
    unit: str
    key: str
    source: str | None
    inputs: tuple[tuple[str, str], ...]  # (name, identity), sorted
    outputs: tuple[OutputFile, ...]
    books: Books
    run: dict[str, Any] = field(default_factory=dict)  # seconds, peak_mib, attempt
    error: str | None = None  # a unit that did not finish, and why; it is run again next time

    def output(self, kind: str) -> OutputFile | None:
        """The unit's file of that kind, None where it wrote none."""
        return next((output for output in self.outputs if output.kind == kind), None)

    def require(self, kind: str) -> OutputFile:
        found = self.output(kind)
        if found is None:
            raise CorpusmillError(f"receipt {self.phase}/{self.unit} names no {kind} file")
        return found

    def as_json(self) -> dict[str, Any]:
        books = self.books
        body: dict[str, Any] = {
            "format": FORMAT,
            "phase": self.phase,
            "unit": self.unit,
            "key": self.key,
            "source": self.source,
            "inputs": [list(pair) for pair in self.inputs],
            "outputs": [asdict(output) for output in self.outputs],
            "documents": {
                "in": books.documents_in,
                "kept": books.documents_kept,
                "dropped": dict(sorted(books.dropped.items())),
                "failed": dict(sorted(books.failed.items())),
            },
            "bytes": {"in": books.bytes_in, "kept": books.bytes_kept},
            "not_measured": dict(sorted(books.not_measured.items())),
            "notes": books.notes,
            "warnings": books.warnings,
            "error": self.error,
        }
        return body | {"seal": seal(body), "run": self.run}


def seal(body: dict[str, Any]) -> str:
    """The checksum of a receipt's JSON without its `seal` and `run`."""
    kept = {key: value for key, value in body.items() if key not in ("seal", "run")}
    digest = Checksum()
    digest.update(json.dumps(kept, sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()


def receipt_path(phase: str, unit: str) -> str:
    return f"receipts/{phase}/{unit}.json"


def write_receipt(run: RunFolder, receipt: Receipt) -> None:
    """Commit: from here on the unit is complete."""
    run.put_json(receipt_path(receipt.phase, receipt.unit), receipt.as_json())


def read_receipt(run: RunFolder, phase: str, unit: str) -> Receipt | None:
    """The unit's receipt, None where it has none. A damaged one raises DamagedFileError, one of another format
    OtherFormatError."""
    name = receipt_path(phase, unit)
    try:
        data = run.read_bytes(name)
    except DamagedFileError:
        return None
    return parse_receipt(data, f"{run.url}/{name}")


def parse_receipt(data: bytes, place: str) -> Receipt:
    try:
        body = json.loads(data)
        if body["format"] != FORMAT:
            raise OtherFormatError(
                f"{place}: format {body['format']}, written by another version of corpusmill; this one reads {FORMAT}. "
                "Build the run again: what is of another format is done anew."
            )
        if body["seal"] != seal(body):
            raise DamagedFileError(f"{place}: its seal does not fit its content: it was changed after it was written.")
        documents = body["documents"]
        return Receipt(
            phase=body["phase"],
            unit=body["unit"],
            key=body["key"],
            source=body["source"],
            inputs=tuple((name, identity) for name, identity in body["inputs"]),
            outputs=tuple(OutputFile(**output) for output in body["outputs"]),
            books=Books(
                documents_in=documents["in"],
                documents_kept=documents["kept"],
                dropped=Counter(documents["dropped"]),
                failed=Counter(documents["failed"]),
                bytes_in=body["bytes"]["in"],
                bytes_kept=body["bytes"]["kept"],
                not_measured=Counter(body["not_measured"]),
                notes=body["notes"],
                warnings=body["warnings"],
            ),
            run=body["run"],
            error=body["error"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{place}: not a receipt: {error!r}. Delete it and build again.") from error
