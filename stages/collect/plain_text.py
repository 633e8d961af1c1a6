"""Reads a tree of text files: one document per file, strictly UTF-8, plain or compressed (see compressed.py).

A byte order mark at the start is dropped. Refused: `invalid_utf8`, `empty_document` (nothing but whitespace),
`record_too_large`, `truncated_input` (a document that is cut is not kept). Files of another charset, all of the same,
are read with `charset`; bytes that it does not have are refused as `unknown_charset`.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from corpusmill.pipeline.document import Batch, RawBatch
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import InputFile, Kind, ReadContext, Refusal, StageSettings
from corpusmill.stages.collect.compressed import DamagedInputError, read_whole


@dataclass(frozen=True, kw_only=True)
class PlainText(StageSettings):
    """One document per file; its id is `<file name>#0`."""

    name: ClassVar[str] = "text"
    kind: ClassVar[Kind] = "read"

    charset: str = "utf-8"

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.charset)
        except LookupError as error:
            raise RequestError(
                f"text.charset: {self.charset!r} is unknown; write utf-8, gb18030, latin-1, …"
            ) from error

    def open(self) -> "PlainTextReader":
        return PlainTextReader(self)


class PlainTextReader:
    def __init__(self, settings: PlainText) -> None:
        self.charset = codecs.lookup(settings.charset).name

    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        text = read_text(file, context, self.charset)
        if text is not None:
            batch = RawBatch()
            batch.add(f"{file.name}#0", text)
            yield batch.take()


def read_text(file: InputFile, context: ReadContext, charset: str = "utf-8") -> str | None:
    """The file's text, or None where it was refused. An empty file is nothing, and no refusal."""
    content = read_content(file, context)
    if not content:
        return None
    try:
        text = content.decode("utf-8-sig" if charset == "utf-8" else charset)
    except UnicodeDecodeError as error:
        detail = f"byte {error.start}: {error.reason}"
        _refuse(file, context, "invalid_utf8" if charset == "utf-8" else "unknown_charset", detail)
        return None
    if not text or text.isspace():
        _refuse(file, context, "empty_document", "the file holds nothing but whitespace")
        return None
    return text


def read_content(file: InputFile, context: ReadContext) -> bytes | None:
    """The file's bytes, decompressed, or None where it was refused."""
    with context.open(file) as stream:
        try:
            content = read_whole(stream, context.max_document_bytes)
        except DamagedInputError as error:
            _refuse(file, context, "truncated_input", str(error))
            return None
    if content is None:
        detail = f"the file is longer than max_document_bytes, {context.max_document_bytes}"
        _refuse(file, context, "record_too_large", detail)
        return None
    return content


def _refuse(file: InputFile, context: ReadContext, reason: str, detail: str) -> None:
    context.refuse(Refusal(file.name, "0", reason, detail))
