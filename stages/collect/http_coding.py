"""Undoes HTTP transfer and content codings, in bounded memory, and leaves alone what is not coded.

Archives often keep the headers as received over a body that the crawler has already decoded (in our real archives
nearly every page of seven files), so a coding is undone only where the body looks like it. A body that ends early or
breaks off gives what came before the break: browsers show such pages too.
"""

import io
import re
import zlib

import zstandard

CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


def decoded(body: bytes, transfer: str, content: str, max_bytes: int) -> bytes:
    """`body` without the codings that the two header values name; never longer than `max_bytes` + 1.

    A longer one is cut there, so that the caller can see that it is too long.
    """
    if "chunked" in transfer.lower():
        body = without_chunks(body)
    for coding in reversed(content.lower().split(",")):
        body = _without_coding(body, coding.strip(), max_bytes + 1)
    return body[: max_bytes + 1]


def without_chunks(body: bytes) -> bytes:
    """The chunks of RFC 9112, section 7.1, put together; `body` itself where it does not begin with one."""
    chunks: list[bytes] = []
    at = 0
    while match := CHUNK_SIZE.match(body, at):
        size = int(match[1], 16)
        if size == 0 and chunks:
            return b"".join(chunks)
        chunks.append(body[match.end() : match.end() + size])
        at = match.end() + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    return b"".join([*chunks, body[at:]])


def _without_coding(body: bytes, coding: str, max_bytes: int) -> bytes:
    if coding in ("gzip", "x-gzip") and body[:2] == b"\x1f\x8b":
        return _inflated(body, 31, max_bytes)
    if coding == "deflate":  # by the standard with zlib's header, by habit often without
        return _inflated(body, 15, max_bytes) or _inflated(body, -15, max_bytes) or body
    if coding == "zstd" and body[:4] == b"\x28\xb5\x2f\xfd":
        try:
            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read(max_bytes)
        except zstandard.ZstdError:
            return body
    if coding == "br":
        return _without_brotli(body, max_bytes)
    return body


def _inflated(body: bytes, wbits: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(wbits)
    try:
        return inflater.decompress(body, max_bytes)
    except zlib.error:
        return _inflated_until_error(body, wbits, max_bytes)


def _inflated_until_error(body: bytes, wbits: int, max_bytes: int) -> bytes:
    inflater, parts, num_bytes = zlib.decompressobj(wbits), [], 0
    try:
        for at in range(0, len(body), 256):
            parts.append(inflater.decompress(body[at : at + 256], max_bytes - num_bytes or 1))
            num_bytes += len(parts[-1])
    except zlib.error:
        pass  # what came before it is all there is
    return b"".join(parts)


def _without_brotli(body: bytes, max_bytes: int) -> bytes:
    """Brotli has no mark at its start: what does not decode is taken as not coded."""
    from fastwarc.stream_io import BrotliReader

    try:
        content: bytes = BrotliReader(io.BytesIO(body)).read(max_bytes)
    except (OSError, ValueError):
        return body
    return content or body
