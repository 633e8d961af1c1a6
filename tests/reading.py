"""Runs a reader on bytes or a file and gives what it made of them."""

from pathlib import Path
from typing import Any, BinaryIO

from corpusmill.pipeline.document import RAW_SCHEMA
from corpusmill.pipeline.stage import FAILED_REASONS, InputFile, ReadContext, Refusal, Stage

MAX_DOCUMENT_BYTES = 1 << 20


def open_local(file: InputFile) -> BinaryIO:
    return open(file.path, "rb")


def read_file(
    stage: Stage, path: Path, max_document_bytes: int = MAX_DOCUMENT_BYTES, name: str | None = None
) -> tuple[list[dict[str, Any]], list[Refusal]]:
    """The rows of all batches, and the refusals; checks what every reader promises."""
    refusals: list[Refusal] = []
    context = ReadContext(open_local, refusals.append, max_document_bytes)
    rows: list[dict[str, Any]] = []
    for batch in stage.open().read(InputFile(str(path), name or path.name), context):
        assert batch.schema == RAW_SCHEMA
        assert batch.num_rows > 0
        batch.validate(full=True)
        rows += batch.to_pylist()
    for row in rows:
        assert (row["text"] is None) != (row["content"] is None)
        assert row["id"]
    for refusal in refusals:
        assert (refusal.reason in FAILED_REASONS) == refusal.failed, refusal
        assert refusal.failed or refusal.reason.startswith(f"{stage.name}."), refusal
    return rows, refusals


def read_bytes(
    stage: Stage, content: bytes, folder: Path, name: str = "file", max_document_bytes: int = MAX_DOCUMENT_BYTES
) -> tuple[list[dict[str, Any]], list[Refusal]]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return read_file(stage, path, max_document_bytes, name)


def reasons(refusals: list[Refusal]) -> list[tuple[str, str]]:
    """Record and reason of each."""
    return [(refusal.record, refusal.reason) for refusal in refusals]
