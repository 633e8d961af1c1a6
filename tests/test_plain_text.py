"""Text files: one document each, or one reason."""

import gzip
from pathlib import Path

import pytest
from reading import read_bytes, reasons

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.collect.plain_text import PlainText


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Grüße, 世界\r\n\u2028".encode(), "Grüße, 世界\r\n\u2028"),
        (b"\xef\xbb\xbfhello", "hello"),
        (gzip.compress(b"packed"), "packed"),
        (b"x" * (1 << 20), "x" * (1 << 20)),
    ],
    ids=["unicode", "mark", "gzip", "limit"],
)
def test_file_is_a_document(content: bytes, text: str, tmp_path: Path) -> None:
    rows, refusals = read_bytes(PlainText(), content, tmp_path, "a/b.txt")
    assert refusals == []
    assert [(row["id"], row["text"]) for row in rows] == [("a/b.txt#0", text)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Gr\xfc\xdfe", "invalid_utf8"),
        (b" \n\t\n", "empty_document"),
        (b"\xef\xbb\xbf", "empty_document"),
        (b"x" * (1 + (1 << 20)), "record_too_large"),
        (gzip.compress(bytes(2 << 20)), "record_too_large"),
        (gzip.compress(b"packed")[:-3], "truncated_input"),
    ],
)
def test_or_it_has_one_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    rows, refusals = read_bytes(PlainText(), content, tmp_path)
    assert rows == []
    assert reasons(refusals) == [("0", reason)]


def test_empty_file_is_nothing(tmp_path: Path) -> None:
    assert read_bytes(PlainText(), b"", tmp_path) == ([], [])


def test_files_of_another_charset(tmp_path: Path) -> None:
    rows, refusals = read_bytes(PlainText(charset="gb18030"), "世界".encode("gb18030"), tmp_path)
    assert ([row["text"] for row in rows], refusals) == (["世界"], [])
    rows, refusals = read_bytes(PlainText(charset="gb18030"), b"\xff\xff", tmp_path)
    assert (rows, reasons(refusals)) == ([], [("0", "unknown_charset")])
    with pytest.raises(RequestError, match="gb18030"):
        PlainText(charset="gb0")
