"""Verifies a finished run: every file is what its receipt says, the books balance, nothing is missing.

Everything is counted again from the files, so a count that was changed in a receipt is found, as is a flipped bit in
any file or a receipt that is gone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import flags, one_chunk
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.pipeline.inputs import name_hash
from corpusmill.pipeline.parts import MAKE
from corpusmill.pipeline.receipts import Receipt, parse_receipt, receipt_path
from corpusmill.pipeline.run_folder import RunFolder


@dataclass(frozen=True)
class FileProblem:
    """One thing wrong; `block` counts MiB blocks of the file from 0, -1 where it concerns the whole file."""

    file: str
    kind: str  # missing, damaged, damaged_receipt, missing_receipt, unfinished, failed, books, foreign_tokenizer
    message: str
    block: int = -1


@dataclass
class Verification:
    """What `verify` found; `ok` only if complete, balanced and without a problem."""

    balanced: bool = True
    complete: bool = True
    num_files: int = 0
    num_bytes: int = 0
    num_repeated_ids: int = 0
    problems: list[FileProblem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.balanced and self.complete and not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "format": 1,
            "ok": self.ok,
            "balanced": self.balanced,
            "complete": self.complete,
            "files": self.num_files,
            "bytes": self.num_bytes,
            "repeated_ids": self.num_repeated_ids,
            "problems": [asdict(problem) for problem in self.problems],
        }


Check = Callable[[RunFolder], Iterable[FileProblem]]
"""A check of what stages wrote: token shards against their block checksums, the tokenizer against its hash."""


def verify(run: RunFolder, checks: Iterable[Check] = ()) -> Verification:
    """Read the whole run once and compare it with its receipts."""
    found = Verification()
    try:
        receipts = list(_receipts(run, found))
    except (DamagedFileError, KeyError, TypeError, AttributeError) as error:
        found.complete = False
        found.problems.append(FileProblem("phases.json", "damaged", f"not readable: {error!r}. Build again."))
        return found
    for receipt in receipts:
        for output in receipt.outputs:
            found.num_files += 1
            found.num_bytes += output.num_bytes
            found.problems += _file_problems(run, receipt, output.path, output.num_bytes, output.checksum)
    damaged = {problem.file for problem in found.problems}
    balance = [problem for receipt in receipts for problem in _books(run, receipt, damaged)]
    balance += _flow(run, receipts)
    found.balanced = not balance
    found.problems += balance
    known = {(problem.file, problem.block) for problem in found.problems}
    for check in checks:
        for problem in check(run):
            if (problem.file, problem.block) not in known:
                found.problems.append(problem)
    found.num_repeated_ids = _repeated_ids(run, receipts, damaged)
    return found


def _receipts(run: RunFolder, found: Verification) -> Iterator[Receipt]:
    """The receipts that can be read; what is missing or damaged becomes a problem."""
    phases = run.read_json("phases.json")
    if not phases:
        found.complete = False
        found.problems.append(FileProblem("phases.json", "missing", "no build has begun here"))
    for entry in phases or []:
        if entry["units"] is None:
            found.complete = False
            found.problems.append(
                FileProblem("phases.json", "unfinished", f"{entry['name']} has not begun: build again")
            )
        for unit in entry["units"] or []:
            name = receipt_path(entry["name"], unit)
            if not run.exists(name):
                found.complete = False
                message = "no receipt: the unit did not finish, or its receipt was deleted. Build again."
                found.problems.append(FileProblem(name, "missing_receipt", message))
                continue
            try:
                receipt = parse_receipt(run.read_bytes(name), name)
            except DamagedFileError as error:
                found.complete = False
                found.problems.append(FileProblem(name, "damaged_receipt", str(error)))
                continue
            if receipt.error is not None:
                found.complete = False
                found.problems.append(FileProblem(name, "failed", receipt.error))
            yield receipt


def _file_problems(run: RunFolder, receipt: Receipt, path: str, num_bytes: int, checksum: str) -> Iterator[FileProblem]:
    size = run.size(path)
    if size is None:
        yield FileProblem(path, "missing", f"named by receipt {receipt.phase}/{receipt.unit}, not there. Build again.")
    elif size != num_bytes:
        yield FileProblem(path, "damaged", f"{size} bytes, its receipt says {num_bytes}. Delete it and build again.")
    elif run.checksum(path) != checksum:
        yield FileProblem(path, "damaged", "its checksum is not its receipt's. Delete it and build again.")


def _books(run: RunFolder, receipt: Receipt, damaged: set[str]) -> Iterator[FileProblem]:
    """A unit's books against themselves and against the rows of its files."""
    name, books = receipt_path(receipt.phase, receipt.unit), receipt.books
    out = books.documents_kept + books.dropped.total() + books.failed.total()
    if books.documents_in != out:
        yield FileProblem(name, "books", f"{books.documents_in} documents in, {out} out")
    if any(output.path in damaged for output in receipt.outputs):
        return
    for output in receipt.outputs:
        if output.num_rows >= 0:
            with run.parquet(output.path) as file:
                if file.metadata.num_rows != output.num_rows:
                    message = f"{file.metadata.num_rows} rows, its receipt says {output.num_rows}"
                    yield FileProblem(output.path, "books", message)
    counted = _counted(run, receipt)
    if counted is not None and counted != (books.documents_kept, books.dropped, books.failed):
        kept, dropped, failed = counted
        message = (
            f"counted again: kept {kept}, dropped {dict(dropped)}, failed {dict(failed)}; the receipt says "
            f"kept {books.documents_kept}, dropped {dict(books.dropped)}, failed {dict(books.failed)}"
        )
        yield FileProblem(name, "books", message)


def _counted(run: RunFolder, receipt: Receipt) -> tuple[int, Counter[str], Counter[str]] | None:
    """(kept, dropped, failed) counted from the unit's files; None for a unit that decides nothing."""
    decisions, measures = receipt.output("decisions"), receipt.output("measures")
    if decisions is None and measures is None:
        return None
    kept = measures.num_rows if measures is not None else 0
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    if decisions is not None:
        table = run.read_table(decisions.path, ["keep", "rule"])
        kept = int(flags(one_chunk(table, "keep"), null=False).sum())
        gone = table.filter(pc.equal(table.column("keep"), pa.scalar(False)))
        dropped.update(str(rule) for rule in gone.column("rule").to_pylist())
    refused = receipt.output("refused")
    if refused is not None:
        table = run.read_table(refused.path, ["reason", "failed"])
        for reason, is_failed in zip(*(table.column(name).to_pylist() for name in ("reason", "failed")), strict=True):
            (failed if is_failed else dropped)[reason] += 1
    return kept, dropped, failed


def _flow(run: RunFolder, receipts: list[Receipt]) -> Iterator[FileProblem]:
    """What one deciding phase kept of a part is what the next one got."""
    deciding = [entry["name"] for entry in run.read_json("phases.json") or [] if entry["decides"]]
    left: dict[str, int] = {}
    for phase in deciding:
        for receipt in receipts:
            if receipt.phase != phase or receipt.error is not None:
                continue
            if phase != MAKE and left.get(receipt.unit, receipt.books.documents_in) != receipt.books.documents_in:
                message = f"got {receipt.books.documents_in} documents, the phases before kept {left[receipt.unit]}"
                yield FileProblem(receipt_path(phase, receipt.unit), "books", message)
            left[receipt.unit] = receipt.books.documents_kept


def _repeated_ids(run: RunFolder, receipts: list[Receipt], damaged: set[str]) -> int:
    """Documents whose id another document has too (8 bytes of memory per document)."""
    hashes = [
        np.array(
            [name_hash(str(name)) for name in run.read_table(file.path, ["id"]).column("id").to_pylist()],
            dtype=np.uint64,
        )
        for receipt in receipts
        if receipt.phase == MAKE and (file := receipt.output("measures")) is not None and file.path not in damaged
    ]
    if not hashes:
        return 0
    everything = np.concatenate(hashes)
    return len(everything) - len(np.unique(everything))
