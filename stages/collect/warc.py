"""Reads web archives: WARC of any compression, captured pages as `content`, WET conversions as `text`.

A page is a response with status 200 and an HTML type, a resource record of an HTML type, or a response that holds
bare HTML without HTTP headers (some crawlers wrote such). Transfer and content encodings are undone (chunked, gzip,
deflate, brotli, zstd). The document's id is the WARC-Record-ID; date, payload digest and truncation go to `meta`.

By design no documents, counted as dropped: `warc.http_status`, `warc.not_html`, `warc.revisit`, `warc.segment` (parts
of a record that was split over files). Requests, metadata and warcinfo are no captures and not counted at all.
Failed: `truncated_input` (one per file; the record that is cut is not kept), `malformed_record` (a header that cannot
be read: reading goes on at the next record that looks like one; unknown WARC-Type), `record_too_large`,
`invalid_utf8` and `empty_document` (WET), `unsupported_format` (ARC).

fastwarc parses; decompression is ours, because fastwarc's ends without a word at an empty gzip member and at a cut
(tried: all records lost). Only lz4, and zstd with a dictionary in the file, go to fastwarc undecompressed.
Cost: 100-150 MB/s of pages per core from .warc.gz, most of it zlib.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, cast

from corpusmill.pipeline.document import Batch, RawBatch
from corpusmill.pipeline.stage import InputFile, Kind, ReadContext, Refusal, StageSettings
from corpusmill.stages.collect.compressed import READ_BYTES, DecompressedFile
from corpusmill.stages.collect.fields import to_json
from corpusmill.stages.collect.http_coding import decoded

KEPT_BYTES = 1 << 20
"""How much of what fastwarc has read stays at hand to look for the next record: its buffer is 64 KiB, a header 32."""

RECORD_START = re.compile(rb"\nWARC/\d\.\d\r?\n")
LONGEST_RECORD_START = 11

HTTP_STATUS = re.compile(r"(?:HTTP/[\d.]+\s+)+(\d{1,3})(?!\d)")
"""Some archived search pages have "HTTP/1.1 HTTP/1.1 200 OK", which fastwarc does not take for a status."""

LZ4_MAGIC = b"\x04\x22\x4d\x18"
ZSTD_DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"  # of the skippable frame that holds it, by the WARC-zstd draft


@dataclass(frozen=True, kw_only=True)
class Warc(StageSettings):
    """Which captures are documents."""

    name: ClassVar[str] = "warc"
    kind: ClassVar[Kind] = "read"
    depends: ClassVar[tuple[str, ...]] = ("fastwarc",)

    http_status: tuple[int, ...] = (200,)
    content_types: tuple[str, ...] = ("text/html", "application/xhtml+xml")

    def open(self) -> "WarcReader":
        return WarcReader(self)


class Skip(Exception):
    """A record that becomes no document: the reason or the rule, and whether it failed."""

    def __init__(self, reason: str, detail: str, *, failed: bool) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail, self.failed = reason, detail, failed


class WarcReader:
    def __init__(self, settings: Warc) -> None:
        self.settings = settings

    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        batch = RawBatch()
        with context.open(file) as stream:
            if re.search(r"\.arc(\.\w+)?$", file.name):
                detail = "ARC, the format before WARC, is not read. Convert it: warcio recompress or warctools"
                context.refuse(Refusal(file.name, "all", "unsupported_format", detail))
                return
            archive = Archive(stream)
            for number, record in enumerate(archive):
                if isinstance(record, str):
                    context.refuse(Refusal(file.name, str(number), "malformed_record", record))
                    continue
                try:
                    self._add(batch, record, f"{file.name}#{number}", context.max_document_bytes)
                except CutRecord:
                    archive.cut = archive.cut or f"the file ends inside record {number}"
                except Skip as skip:
                    name = _bare(record.record_id) or str(number)
                    context.refuse(Refusal(file.name, name, skip.reason, skip.detail, failed=skip.failed))
                if batch.full:
                    yield batch.take()
        if archive.cut:
            context.refuse(Refusal(file.name, "end", "truncated_input", archive.cut))
        if batch.rows:
            yield batch.take()

    def _add(self, batch: RawBatch, record: Any, place: str, max_bytes: int) -> None:
        kind = str(record.record_type)
        if kind in ("warcinfo", "request", "metadata"):
            return
        if kind == "revisit":
            raise Skip("warc.revisit", "unchanged since an earlier capture", failed=False)
        if "WARC-Segment-Number" in record.headers:
            raise Skip("warc.segment", f"segment {record.headers.get('WARC-Segment-Number')}", failed=False)
        if kind not in ("response", "resource", "conversion"):
            detail = f"WARC-Type {record.headers.get('WARC-Type')!r} is none that holds a capture"
            raise Skip("malformed_record", detail, failed=True)
        try:
            content, content_type = self._payload(record, kind, max_bytes)
        except BaseException as error:
            if isinstance(error, (Skip, CutRecord)) or not is_fastwarcs(error):
                raise
            raise Skip("malformed_record", f"{type(error).__name__}: {error}"[:200], failed=True) from error
        record_id = _bare(record.record_id) or place
        url = _bare(record.headers.get("WARC-Target-URI")) or None
        if kind == "conversion":
            language = (record.headers.get("WARC-Identified-Content-Language") or "").split(",")[0].strip() or None
            batch.add(record_id, _plain_text(content), url=url, lang=language, meta=_meta(record))
        else:
            batch.add(record_id, content=content, content_type=content_type, url=url, meta=_meta(record))

    def _payload(self, record: Any, kind: str, max_bytes: int) -> tuple[bytes, str]:
        """The decoded payload and its type; raises Skip, or CutRecord where the file ends inside it."""
        claimed = record.content_length
        too_large = Skip("record_too_large", f"larger than max_document_bytes, {max_bytes}", failed=True)
        small = claimed <= max_bytes
        if small:
            record.freeze()  # what is there, which after a cut is less than what the header claims
            if record.content_length < claimed:
                raise CutRecord
        if kind == "conversion" and small:
            return record.reader.read(), "text/plain"
        content_type, transfer, coding = record.headers.get("Content-Type") or "", "", ""
        if kind == "response" and (_has_http(record) if small else record.is_http):
            record.parse_http(auto_decode="none")
            status_line = record.http_headers.status_line or ""
            match = HTTP_STATUS.match(status_line)
            if not match:
                raise Skip("malformed_record", f"no HTTP status in {status_line[:80]!r}", failed=True)
            status = int(match[1])
            if status not in self.settings.http_status:
                raise Skip("warc.http_status", str(status), failed=False)
            content_type = record.http_headers.get("Content-Type") or ""
            transfer = record.http_headers.get("Transfer-Encoding") or ""
            coding = record.http_headers.get("Content-Encoding") or ""
        elif kind == "response":
            content_type = ""
        if content_type and not self._wanted(content_type):
            raise Skip("warc.not_html", content_type[:100], failed=False)
        if not small:
            raise too_large
        content = decoded(record.reader.read(), transfer, coding, max_bytes)
        if len(content) > max_bytes:
            raise too_large
        if not content:
            raise Skip("empty_document", "no payload", failed=True)
        if not content_type:
            content_type = _sniffed(content)
            if not self._wanted(content_type):
                raise Skip("warc.not_html", f"{content_type} by its first bytes", failed=False)
        return content, content_type

    def _wanted(self, content_type: str) -> bool:
        return content_type.partition(";")[0].strip().lower() in self.settings.content_types


class CutRecord(Exception):
    """The file ends inside this record."""


class Archive:
    """The records of a stream, in order, and for each unreadable stretch between them a string that says what.

    After the last, `cut` says whether the stream was cut short.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.cut: str | None = None
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        from fastwarc.warc import ArchiveIterator

        head = self._stream.read(4)
        self._stream.seek(0)
        direct = head in (LZ4_MAGIC, ZSTD_DICTIONARY_MAGIC)
        window = Window(self._stream if direct else DecompressedFile(self._stream))
        good_until = 0  # a place in the last good record, in decompressed bytes
        cut = None
        while window.read_ahead():
            try:
                for record in ArchiveIterator(cast("Any", window), parse_http=False):
                    if record.content_length == 0 and window.ends_in_header(record.stream_pos):
                        cut = "the file ends inside the header of its last record"
                        break
                    good_until = record.stream_pos + record.content_length
                    yield record
                if window.is_after(good_until):
                    cut = "the file ends inside the header of its last record"
                break
            except BaseException as error:
                if not is_fastwarcs(error):
                    raise
                problem = f"{error}, near byte {good_until} of the {'file' if direct else 'decompressed file'}"
            good_until = window.seek_record(good_until + 1)
            if not window.damage:
                yield problem
        self.cut = window.damage or cut or self.cut  # the reader may have set it


class Window:
    """A readable file that remembers what it gave last, so that reading can start anew a little earlier."""

    def __init__(self, file: DecompressedFile | BinaryIO) -> None:
        self._file = file
        self._kept = bytearray()
        self._kept_from = 0  # where in the file `_kept` begins
        self._position = 0  # where the next read begins, in `_kept` or at its end

    @property
    def damage(self) -> str | None:
        return self._file.damage if isinstance(self._file, DecompressedFile) else None

    def tell(self) -> int:
        return self._position

    def read(self, size: int = READ_BYTES) -> bytes:
        at = self._position - self._kept_from
        if at == len(self._kept) and not self._read_more(size):
            return b""
        at = self._position - self._kept_from
        given = bytes(self._kept[at : at + size])
        self._position += len(given)
        return given

    def read_ahead(self) -> bool:
        """Whether there is anything left."""
        return self._position < self._kept_from + len(self._kept) or self._read_more(READ_BYTES)

    def seek_record(self, after: int) -> int:
        """Goes to the first record header that begins at `after` or later, else to the end; gives where it is now."""
        self._position = max(after, self._kept_from + 1)
        while (found := self._find(self._position)) is None:
            end = self._kept_from + len(self._kept)
            self._position = max(self._position, end - LONGEST_RECORD_START)
            if not self._read_more(READ_BYTES):
                found = self._kept_from + len(self._kept)
                break
        self._position = found
        return found

    def is_after(self, place: int) -> bool:
        """Whether a record header begins behind `place`, as far as has been read."""
        return self._find(max(place, self._kept_from) + 1) is not None

    def ends_in_header(self, place: int) -> bool:
        """Whether the header that begins at `place` is the last one and never comes to its blank line."""
        if self.is_after(place) or self._read_more(READ_BYTES):
            return False
        return not re.search(rb"\r?\n\r?\n", self._kept[max(0, place - self._kept_from) :])

    def _find(self, after: int) -> int | None:
        match = RECORD_START.search(self._kept, after - 1 - self._kept_from)
        return None if match is None else self._kept_from + match.start() + 1

    def _read_more(self, size: int) -> bool:
        data = self._file.read(size)
        self._kept += data
        surplus = len(self._kept) - 2 * KEPT_BYTES
        if surplus > 0:
            del self._kept[: surplus + KEPT_BYTES]
            self._kept_from += surplus + KEPT_BYTES
        return bool(data)


def is_fastwarcs(error: BaseException) -> bool:
    """Whether fastwarc raised it about the file's content; errors of disk and network carry a number.

    A panic of its Rust code arrives as pyo3's PanicException, which is no Exception.
    """
    if isinstance(error, OSError):
        return error.errno is None
    return isinstance(error, ValueError) or type(error).__name__ == "PanicException"


def _bare(name: str | None) -> str:
    """A record's id or URI without its angle brackets; '' where there is none."""
    return (name or "").strip("<> ")


def _has_http(record: Any) -> bool:
    begins: bytes = record.reader.read(5)
    record.reader.seek(0)
    return begins == b"HTTP/"


def _sniffed(content: bytes) -> str:
    from resiliparse.parse.encoding import detect_mime

    return str(detect_mime(content[:4096]))


def _plain_text(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Skip("invalid_utf8", f"byte {error.start}: {error.reason}", failed=True) from error
    if not text or text.isspace():
        raise Skip("empty_document", "nothing but whitespace", failed=True)
    return text


def _meta(record: Any) -> str:
    names = {"date": "WARC-Date", "digest": "WARC-Payload-Digest", "truncated": "WARC-Truncated"}
    found = {key: record.headers.get(name) for key, name in names.items()}
    return to_json({key: value for key, value in found.items() if value})
