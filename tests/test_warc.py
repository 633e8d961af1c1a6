"""Web archives: small ones made here byte by byte, and other programs' real and broken ones."""

import gzip
import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from fastwarc.stream_io import Lz4Writer
from reading import read_bytes, read_file, reasons

from corpusmill.stages.collect.warc import Warc

DATA = os.environ.get("CORPUSMILL_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="CORPUSMILL_DATA is not set")

HTML = b"<!doctype html><title>t</title><p>hello"


def record(kind: str, block: bytes, number: int = 0, *headers: str, length: int | None = None) -> bytes:
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{number}>",
        "WARC-Date: 2024-05-06T07:08:09Z",
        f"Content-Length: {len(block) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(number: int, body: bytes = HTML, status: str = "200 OK", headers: str = "Content-Type: text/html") -> bytes:
    block = f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode() + body
    uri = f"WARC-Target-URI: http://example.org/{number}"
    return record("response", block, number, "Content-Type: application/http; msgtype=response", uri)


def test_page_becomes_a_document(tmp_path: Path) -> None:
    content = page(1, headers="Content-Type: text/html; charset=GBK")
    (row,), refusals = read_bytes(Warc(), content, tmp_path)
    assert refusals == []
    assert row["id"] == "urn:uuid:1"
    assert row["content"] == HTML
    assert row["content_type"] == "text/html; charset=GBK"
    assert row["url"] == "http://example.org/1"
    assert json.loads(row["meta"]) == {"date": "2024-05-06T07:08:09Z"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (page(1, status="404 Not Found"), "warc.http_status"),
        (page(1, status="301 Moved"), "warc.http_status"),
        (page(1, headers="Content-Type: image/png"), "warc.not_html"),
        (page(1, body=b"\x89PNG\r\n\x1a\n" + bytes(50), headers="X-Y: z"), "warc.not_html"),
        (record("resource", b"text", 1, "Content-Type: text/plain"), "warc.not_html"),
        (record("revisit", b"", 1), "warc.revisit"),
        (record("continuation", HTML, 1, "WARC-Segment-Number: 2"), "warc.segment"),
        (record("response", HTML, 1, "WARC-Segment-Number: 1"), "warc.segment"),
        (record("mystery", HTML, 1), "malformed_record"),
        (page(1, status="OK"), "malformed_record"),
        (page(1, body=b""), "empty_document"),
        (page(1, body=b"<html>" + b"x" * (1 << 20)), "record_too_large"),
        (page(1, body=gzip.compress(bytes(2 << 20)), headers="Content-Encoding: gzip"), "record_too_large"),
        (record("conversion", b"\xff\xfe\xfd", 1), "invalid_utf8"),
        (record("conversion", b" \n", 1), "empty_document"),
        (b"WARC/1.0\r\nno header at all\r\n\r\n\r\n\r\n", "malformed_record"),
    ],
)
def test_capture_that_is_no_document_has_its_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    rows, refusals = read_bytes(Warc(), page(0) + content + page(2), tmp_path)
    assert [row["id"] for row in rows] == ["urn:uuid:0", "urn:uuid:2"]
    assert reasons(refusals) == [("1" if b"WARC-Record-ID" not in content else "urn:uuid:1", reason)]


def test_large_file_of_another_type_is_no_failure(tmp_path: Path) -> None:
    film = page(1, body=bytes(2 << 20), headers="Content-Type: video/mp4")
    assert reasons(read_bytes(Warc(), film, tmp_path)[1]) == [("urn:uuid:1", "warc.not_html")]


@pytest.mark.parametrize("kind", ["warcinfo", "request", "metadata"])
def test_records_that_are_no_captures_are_not_counted(kind: str, tmp_path: Path) -> None:
    assert read_bytes(Warc(), record(kind, b"a: b\r\n"), tmp_path) == ([], [])


@pytest.mark.parametrize(
    "content",
    [
        page(1, headers="content-type: TEXT/HTML;x=y"),
        page(1, headers="X-Y: z"),  # no type: HTML by its first bytes
        page(1, body=gzip.compress(HTML), headers="Content-Type: text/html\r\nContent-Encoding: gzip"),
        page(
            1, body=b"27\r\n" + HTML + b"\r\n0\r\n\r\n", headers="Content-Type: text/html\r\nTransfer-Encoding: chunked"
        ),
        page(1, headers="Content-Type: text/html\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked"),
        page(1, status="HTTP/1.1 200 OK"),
        record("response", HTML, 1, "Content-Type: application/http; msgtype=response"),  # no HTTP headers
        record("resource", HTML, 1, "Content-Type: text/html"),
    ],
    ids=range(8),
)
def test_odd_but_good_page(content: bytes, tmp_path: Path) -> None:
    (row,), refusals = read_bytes(Warc(), content, tmp_path)
    assert refusals == []
    assert row["content"] == HTML


def test_conversion_is_text_with_its_language(tmp_path: Path) -> None:
    content = record("conversion", "Grüße".encode(), 1, "WARC-Identified-Content-Language: deu,eng")
    (row,), _ = read_bytes(Warc(), content, tmp_path)
    assert (row["text"], row["lang"]) == ("Grüße", "deu")


def test_settings_widen_what_is_taken(tmp_path: Path) -> None:
    content = page(1, status="404 Not Found") + page(2, headers="Content-Type: text/plain")
    rows, refusals = read_bytes(
        Warc(http_status=(200, 404), content_types=("text/html", "text/plain")), content, tmp_path
    )
    assert len(rows) == 2
    assert refusals == []


def lz4(data: bytes) -> bytes:
    output = io.BytesIO()
    writer = Lz4Writer(output)
    writer.write(data)
    writer.finish()
    writer.close()
    return output.getvalue()


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, lz4], ids=["gzip", "zstd", "lz4"])
@pytest.mark.parametrize("per_record", [True, False])
def test_compressions(compress: object, per_record: bool, tmp_path: Path) -> None:
    assert callable(compress)
    pages = [page(number) for number in range(5)]
    packed = b"".join(map(compress, pages)) if per_record else compress(b"".join(pages))
    rows, refusals = read_bytes(Warc(), packed, tmp_path, "a.warc.packed")
    assert [row["id"] for row in rows] == [f"urn:uuid:{number}" for number in range(5)]
    assert refusals == []


def test_empty_gzip_members_are_passed_over(tmp_path: Path) -> None:
    packed = b"".join(gzip.compress(part) for part in (b"", page(1), b"", b"", page(2), b""))
    rows, refusals = read_bytes(Warc(), packed, tmp_path)
    assert len(rows) == 2
    assert refusals == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_cut_at_every_place_loses_the_last_record_only(pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    first, last = pack(page(1)), pack(page(2))
    shortest = 10 if pack is bytes else 1  # before, nothing says that a record was to come
    for cut in range(shortest, len(last) - (4 if pack is bytes else 0)):
        rows, refusals = read_bytes(Warc(), first + last[:cut], tmp_path)
        assert [refusal.reason for refusal in refusals] == ["truncated_input"], cut
        kept = ["urn:uuid:1", "urn:uuid:2"] if pack is gzip.compress and len(rows) == 2 else ["urn:uuid:1"]
        assert [row["id"] for row in rows] == kept, cut


@pytest.mark.parametrize("distance", [0, 100, 70_000, 3_000_000])
def test_reading_goes_on_behind_damage(distance: int, tmp_path: Path) -> None:
    garbage = b"\r\n" + (b"no archive " * (distance // 11 + 1))[:distance] + b"\r\n"
    too_short = page(3).replace(
        b"Content-Length: %d" % (len(page(3)) - page(3).index(b"HTTP") - 4), b"Content-Length: 70"
    )
    content = page(1) + b"broken\r\n\r\n" + garbage + page(2) + too_short + page(4)
    rows, refusals = read_bytes(Warc(), content, tmp_path)
    assert [row["id"] for row in rows] == ["urn:uuid:1", "urn:uuid:2", "urn:uuid:3", "urn:uuid:4"]
    assert [refusal.reason for refusal in refusals] == ["malformed_record"] * 2


def test_arc_is_refused_with_the_way_out(tmp_path: Path) -> None:
    for name in ("a.arc", "a.arc.gz"):
        _, refusals = read_bytes(Warc(), b"filedesc://x 0.0.0.0", tmp_path, name)
        assert reasons(refusals) == [("all", "unsupported_format")]
    assert read_bytes(Warc(), b"", tmp_path, "a.warc") == ([], [])


def test_no_archive_at_all(tmp_path: Path) -> None:
    assert reasons(read_bytes(Warc(), b"hello", tmp_path)[1]) == [("0", "malformed_record")]


@needs_data
def test_other_programs_broken_archives() -> None:
    """82 files from the test suites of six programs: none raises, and what was lost is counted."""
    folder = Path(str(DATA)) / "warc" / "edge-cases"
    files = sorted(folder.iterdir())
    assert len(files) == 82
    read = {file.name: read_file(Warc(), file, 16 << 20) for file in files}
    for name, (rows, refusals) in read.items():
        if ".arc" in name:
            assert (len(rows), reasons(refusals)) == (0, [("all", "unsupported_format")])
    count = {name: (len(rows), Counter(r.reason for r in refusals)) for name, (rows, refusals) in read.items()}
    assert count["clipped.warc.gz"] == (0, {"truncated_input": 1})
    assert count["empty-gzips.warc.gz"] == (1, {"warc.revisit": 2})
    assert count["example-trunc.warc"] == (1, {"malformed_record": 1})  # a wrong length, then a request
    assert count["example.warc"] == count["example.warc.gz"] == (1, {"warc.revisit": 1})
    pages = {read[f"transfer_compression_{how}.warc"][0][0]["content"] for how in ("brotli", "gzip", "none")}
    assert len(pages) == 1
    assert read["example-wrong-chunks.warc.gz"][0][0]["content"].rstrip().endswith(b"</html>")
    assert count["invalid-warcfile-record-then-garbage.warc"] == (0, {"warc.not_html": 1, "malformed_record": 1})


@needs_data
def test_real_archives_give_their_pages() -> None:
    folder = Path(str(DATA)) / "warc" / "real"
    read = {f.name: read_file(Warc(), f, 16 << 20) for f in sorted(folder.glob("*.warc*"))}
    failed = [refusal for _, refusals in read.values() for refusal in refusals if refusal.failed]
    assert failed == []
    gz, lz4_ = read["resiliparse-warcfile.warc.gz"], read["resiliparse-warcfile.warc.lz4"]
    assert gz == lz4_ or (gz[0] == lz4_[0] and len(gz[0]) == 16)
    assert len(read["serp-chefkoch.warc.gz"][0]) == 50  # "HTTP/1.1 HTTP/1.1 200 OK" over decoded bodies
    assert read["whirlwind.warc.wet.gz"][0][0]["text"]
    html = b"".join(row["content"] or b"" for rows, _ in read.values() for row in rows)
    assert html.count(b"</html") + html.count(b"</HTML") > 450
