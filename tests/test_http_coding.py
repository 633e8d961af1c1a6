"""HTTP codings against the compressors; a body that is not coded stays as it is."""

import gzip
import zlib

import brotli  # type: ignore[import-untyped]  # has no stubs
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.stages.collect.http_coding import decoded, without_chunks

PAGE = b"<!doctype html><p>" + b"All work and no play. " * 200

RAW_DEFLATE = zlib.compressobj(wbits=-15)
CODED = {
    "gzip": gzip.compress(PAGE),
    "x-gzip": gzip.compress(PAGE),
    "deflate": zlib.compress(PAGE),
    "Deflate": RAW_DEFLATE.compress(PAGE) + RAW_DEFLATE.flush(),
    "br": brotli.compress(PAGE),
    "zstd": zstandard.compress(PAGE),
    "identity": PAGE,
    "": PAGE,
    "unheard-of": PAGE,
}


@pytest.mark.parametrize("coding", CODED)
def test_coding_is_undone(coding: str) -> None:
    assert decoded(CODED[coding], "", coding, 1 << 20) == PAGE


@pytest.mark.parametrize("coding", CODED)
def test_body_that_was_already_decoded_stays(coding: str) -> None:
    assert decoded(PAGE, "chunked", coding, 1 << 20) == PAGE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "br", ""])
def test_result_is_bounded(coding: str) -> None:
    assert len(decoded(CODED[coding], "", coding, 1000)) == 1001


def test_two_codings_are_undone_from_the_last() -> None:
    assert decoded(gzip.compress(zlib.compress(PAGE)), "", "deflate, gzip", 1 << 20) == PAGE


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_cut_body_gives_its_beginning(coding: str) -> None:
    data = bytes(range(256)) * 50
    whole = gzip.compress(data) if coding == "gzip" else zlib.compress(data)
    got = decoded(whole[:-30], "", coding, 1 << 20)
    assert data.startswith(got)
    assert len(got) > len(data) // 2
    broken = whole[:-30] + b"\xff" * 400
    assert decoded(broken, "", coding, 1 << 20)[: len(got) // 2] == data[: len(got) // 2]


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1))
def test_chunks_round_trip(chunks: list[bytes]) -> None:
    body = b"".join(b"%x;name=value\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    assert without_chunks(body + b"0\r\nTrailer: x\r\n\r\n") == b"".join(chunks)
    assert without_chunks(body) == b"".join(chunks)  # without the closing chunk


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"5\r\nhello\r\n5\r\nwor", b"hellowor"),  # the last chunk is cut
        (b"5\nhello\n0\n\n", b"hello"),
        (b"5\r\nhello\r\nno size here", b"hellono size here"),  # breaks off: what follows is kept as it stands
        (b"0\r\n\r\n", b""),
        (b"", b""),
        (b"plain", b"plain"),
    ],
)
def test_odd_chunks(body: bytes, content: bytes) -> None:
    assert without_chunks(body) == content
