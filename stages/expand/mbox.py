"""Mailboxes to mails: a document that is an mbox becomes one document per mail (RFC 4155 and its older variants).

A mail begins at a line `From sender time`; `>From ` inside a mail loses its `>`. The text is the first plain part, or
the first HTML part's main content where there is no plain one; attachments are left out. Parsing is the standard
library's. Ids are `<id of the mailbox>/<number from 0>`, so a mailbox that grows keeps them; subject, date, sender's
message id and what it replies to go to `meta`. Addresses of people are not copied there.

A mailbox of 8-bit mails in several charsets is no UTF-8: read it with `text: {charset: latin-1}` and say
`mbox: {charset: latin-1}`, which gives every mail its bytes back. Refused: `unsupported_format` (no mailbox),
`malformed_record`, `unknown_charset`, `empty_document` (a mail of attachments only).
"""

import codecs
import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import Message
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.document import DOCUMENT_SCHEMA, Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, StageSettings
from corpusmill.stages.collect.fields import to_json
from corpusmill.stages.extract.webpage import Resiliparse

FROM_LINE = re.compile(rb"^From (?=[^\n]*\d\d:\d\d)[^\n]*\n", re.MULTILINE)
"""Older mail programs leave `From ` inside a mail as it is, so a line without a time begins none."""

QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
QUOTED_LINES = re.compile(r"^>.*\n?", re.MULTILINE)
META = {"subject": "Subject", "date": "Date", "message_id": "Message-ID", "in_reply_to": "In-Reply-To"}


@dataclass(frozen=True, kw_only=True)
class Mbox(StageSettings):
    """Mails of a mailbox, a document each."""

    name: ClassVar[str] = "mbox"
    kind: ClassVar[Kind] = "expand"
    depends: ClassVar[tuple[str, ...]] = ("resiliparse",)

    quotes: bool = True  # keep lines quoted from earlier mails, those that begin with `>`
    charset: str = "utf-8"  # what the mailbox was read as: the reader's `charset`

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.charset)
        except LookupError as error:
            raise RequestError(f"mbox.charset: {self.charset!r} is unknown; write utf-8 or latin-1.") from error

    def adds(self) -> dict[str, pa.DataType]:
        return {"mbox_parent": pa.string()}

    def open(self) -> "MboxExpander":
        return MboxExpander(self)


Mail = tuple[str | None, str | None, str | None]
"""Text, JSON of `meta`, and why there is no text."""


class MboxExpander:
    def __init__(self, settings: Mbox) -> None:
        self.settings = settings
        self.pages = Resiliparse().open()

    def expand(self, batch: Batch) -> tuple[Batch, Column, Column]:
        """The mails of every mailbox in order, the row each came from, and why a mail has no text."""
        rows, parents, reasons = [], [], []
        inherited = batch.select(["source", "url", "lang"]).to_pylist()
        for index, (name, text) in enumerate(zip(*(batch.column(c).to_pylist() for c in ("id", "text")), strict=True)):
            for number, (body, meta, reason) in enumerate(self.mails(text)):
                rows.append({"id": f"{name}/{number}", "text": body, "meta": meta} | inherited[index])
                parents.append(index)
                reasons.append(reason)
        made = pa.RecordBatch.from_pylist(rows, schema=DOCUMENT_SCHEMA)
        return made, pa.array(parents, pa.int64()), pa.array(reasons, pa.string())

    def mails(self, mailbox: str) -> Iterator[Mail]:
        """Every mail of a mailbox; a text without one gives a single refusal."""
        data = mailbox.encode(self.settings.charset, "replace").replace(b"\r\n", b"\n")
        starts = list(FROM_LINE.finditer(data))
        if not starts:
            yield None, None, "unsupported_format"
            return
        ends = [*(start.start() for start in starts[1:]), len(data)]
        for start, end in zip(starts, ends, strict=True):
            yield self.mail(QUOTED_FROM.sub(rb"\1", data[start.end() : end]))

    def mail(self, data: bytes) -> Mail:
        """One mail from its headers on."""
        try:
            message = email.message_from_bytes(data)
            meta = to_json({key: header(message, name) for key, name in META.items() if message[name] is not None})
            text, reason = self.body(message)
        except Exception:  # nothing but the parser runs here: it is about this mail
            return None, None, "malformed_record"
        if text is not None and not self.settings.quotes:
            text = QUOTED_LINES.sub("", text)
        text = (text or "").strip("\n")
        if not text or text.isspace():
            return None, meta, reason or "empty_document"
        return text + "\n", meta, None

    def body(self, message: Message) -> tuple[str | None, str | None]:
        """The text of the first plain part, else of the first HTML part; or why there is none."""
        parts = [part for part in message.walk() if not part.is_multipart() and part.get_filename() is None]
        for part in parts:
            if part.get_content_type() == "text/plain":
                return decoded(part)
        for part in parts:
            if part.get_content_type() == "text/html":
                return self.pages.extract_page(payload(part), str(part["Content-Type"] or ""))
        return None, "empty_document"


def payload(part: Message) -> bytes:
    """The part's bytes, its transfer coding undone."""
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def decoded(part: Message) -> tuple[str | None, str | None]:
    """A plain part's text by the charset that it names, else UTF-8, else Windows-1252, which mails without one mean."""
    content = payload(part)
    named = part.get_content_charset()
    for charset in (named, "utf-8", "cp1252"):
        try:
            if charset is not None:
                return content.decode(charset), None
        except (UnicodeDecodeError, LookupError):
            continue
    return None, "unknown_charset"


def header(message: Message, name: str) -> str:
    """A header as people read it, on one line."""
    return " ".join(str(make_header(decode_header(str(message[name])))).split())
