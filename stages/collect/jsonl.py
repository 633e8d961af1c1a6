"""Reads JSON lines: one object per line, plain or compressed (see compressed.py), in bounded memory.

Lines end at "\\n" only: strings may hold U+2028, U+2029 and U+0085. A bad line costs itself, never the file.
Refused: `invalid_utf8`, `malformed_record` (no JSON object, a lone surrogate that no UTF-8 can hold, a field of the
wrong type), `missing_field`, `null_text`, `empty_document` (nothing but whitespace), `record_too_large` (read over,
never held), and one `truncated_input` where the compression is cut short: the lines before it are kept.
Records are numbered by line, from 0. Blank lines are no records.

Cost: 80-90 MB/s of zstd-compressed JSON lines per core. The standard library's parser, at 290 MB/s, is a fifth of that
time; orjson's 480 MB/s would save a tenth, so it is no dependency.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from corpusmill.pipeline.document import Batch, RawBatch
from corpusmill.pipeline.stage import InputFile, Kind, ReadContext, Refusal
from corpusmill.stages.collect.compressed import DamagedInputError, decompressed
from corpusmill.stages.collect.fields import BadRecord, Fields, to_json

LINE_SLACK = 2
"""A line may be this many times `max_document_bytes`: escapes and other fields beside the text."""


@dataclass(frozen=True, kw_only=True)
class Jsonl(Fields):
    """Which fields of a record are what."""

    name: ClassVar[str] = "jsonl"
    kind: ClassVar[Kind] = "read"

    def open(self) -> "JsonlReader":
        return JsonlReader(self)


class JsonlReader:
    def __init__(self, settings: Jsonl) -> None:
        self.settings = settings

    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        batch = RawBatch()
        max_line_bytes = LINE_SLACK * context.max_document_bytes
        with context.open(file) as stream:
            lines = Lines(decompressed(stream), max_line_bytes)
            for number, line in enumerate(lines):
                if line is None:
                    detail = f"the line is longer than {max_line_bytes} bytes ({LINE_SLACK} times max_document_bytes)"
                    context.refuse(Refusal(file.name, str(number), "record_too_large", detail))
                    continue
                if not line.strip(b" \t\r"):
                    continue
                try:
                    record = parse_object(line, first=number == 0)
                    self.settings.add(batch, record, f"{file.name}#{number}", context.max_document_bytes)
                except BadRecord as bad:
                    if not (lines.damage and lines.ended):  # the cut line is the damage's, not one more
                        context.refuse(Refusal(file.name, str(number), bad.reason, bad.detail))
                if batch.full:
                    yield batch.take()
        if lines.damage:
            context.refuse(Refusal(file.name, str(lines.num_lines), "truncated_input", lines.damage))
        if batch.rows:
            yield batch.take()


class Lines:
    """The lines of a stream of chunks, without their "\\n"; None for one that is longer than `max_bytes`.

    Memory: one chunk and at most `max_bytes` of a line. After the last line, `damage` says whether the stream was
    cut short; the line before the cut is given all the same (a JSON object that is cut never parses).
    """

    def __init__(self, chunks: Iterator[bytes], max_bytes: int) -> None:
        self.damage: str | None = None
        self.ended = False  # true when the last line given had no "\n"
        self.num_lines = 0
        self._chunks, self._max_bytes = chunks, max_bytes

    def __iter__(self) -> Iterator[bytes | None]:
        held: list[bytes] = []  # the pieces of the line so far
        num_held = 0
        for chunk in self._good_chunks():
            first, *others = chunk.split(b"\n")
            num_held += len(first)
            if num_held <= self._max_bytes:
                held.append(first)
            else:
                held.clear()
            if not others:
                continue
            yield self._line(held, num_held)
            for line in others[:-1]:
                yield self._line([line], len(line))
            held, num_held = [others[-1]], len(others[-1])
        if num_held:
            self.ended = True
            yield self._line(held, num_held)

    def _line(self, pieces: list[bytes], num_bytes: int) -> bytes | None:
        self.num_lines += 1
        return b"".join(pieces) if num_bytes <= self._max_bytes else None

    def _good_chunks(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except DamagedInputError as error:
            self.damage = str(error)


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and Infinity are not JSON: null, as everywhere here
_MAYBE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_object(line: bytes, *, first: bool = False) -> dict[str, Any]:
    """The JSON object in `line`, strictly UTF-8; raises BadRecord. A byte order mark is allowed on the first line."""
    if first:
        line = line.removeprefix(b"\xef\xbb\xbf")
    try:
        record = _DECODER.decode(line.decode("utf-8"))
        if _MAYBE_SURROGATE.search(line):  # "\ud83d\ude00" is a pair and fine, "\ud83d" alone is no text
            to_json(record).encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecord("invalid_utf8", f"byte {error.start} of the line: {error.reason}") from error
    except UnicodeEncodeError as error:
        raise BadRecord("malformed_record", r"a lone surrogate, \ud800 to \udfff, which no UTF-8 can hold") from error
    except (ValueError, RecursionError) as error:
        raise BadRecord("malformed_record", str(error)[:200]) from error
    if not isinstance(record, dict):
        raise BadRecord("malformed_record", f"a JSON {type(record).__name__}, expected an object")
    return record
