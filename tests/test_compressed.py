"""Decompression against the compressors themselves: everything before a cut, and the cut seen."""

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.stages.collect.compressed import DamagedInputError, DecompressedFile, decompressed, read_whole

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "plain": lambda data: data,
}
RANDOM = random.Random(7)
LINES = b"".join(b'{"text": "%d"}\n' % RANDOM.randrange(10**9) for _ in range(30_000))


def collect(compressed: bytes) -> tuple[bytes, str | None]:
    parts: list[bytes] = []
    try:
        parts.extend(decompressed(io.BytesIO(compressed)))
    except DamagedInputError as error:
        return b"".join(parts), str(error)
    return b"".join(parts), None


@pytest.mark.parametrize("form", COMPRESS)
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=4))
@settings(max_examples=30)
def test_round_trip_of_several_members(form: str, parts: list[bytes]) -> None:
    if form == "plain" and parts[0][:2] in (b"\x1f\x8b", b"\x28\xb5", b"BZ", b"\xfd7"):
        return
    assert collect(b"".join(COMPRESS[form](part) for part in parts)) == (b"".join(parts), None)


@pytest.mark.parametrize("form", ["gzip", "zstd", "bzip2", "xz"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_cut_gives_what_came_before_and_says_so(form: str, share: float) -> None:
    whole = COMPRESS[form](LINES)
    data, damage = collect(whole + whole[: int(len(whole) * share)])
    assert damage is not None
    assert "ends inside the member" in damage
    assert f"byte {len(whole)}" in damage
    assert (LINES + LINES).startswith(data)
    assert len(data) >= len(LINES)
    if form in ("gzip", "zstd"):  # streams; bzip2 and xz give whole blocks only
        assert len(data) > len(LINES) * (1 + share - 0.35)


@pytest.mark.parametrize("form", ["gzip", "zstd", "xz", "bzip2"])
def test_cut_of_the_last_byte_is_seen(form: str) -> None:
    data, damage = collect(COMPRESS[form](LINES)[:-1])
    assert damage is not None
    assert LINES.startswith(data)


def test_flipped_bit_is_seen_by_the_checksum() -> None:
    for form in ("gzip", "zstd", "xz", "bzip2"):
        broken = bytearray(COMPRESS[form](LINES))
        broken[len(broken) // 2] ^= 1
        _, damage = collect(bytes(broken))
        assert damage is not None, form
        assert "damaged in the member that starts at byte 0" in damage


def test_zeros_behind_gzip_are_padding_and_garbage_is_damage() -> None:
    assert collect(gzip.compress(b"text") + b"\0" * 3000) == (b"text", None)
    assert collect(gzip.compress(b"text") + b"\0" * 30 + gzip.compress(b"more")) == (b"textmore", None)
    data, damage = collect(gzip.compress(b"text") + b"garbage")
    assert data == b"text"
    assert damage is not None


def test_zstd_skippable_frames_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert collect(skippable + zstandard.compress(b"text") + skippable) == (b"text", None)


def test_empty_stream_and_empty_members() -> None:
    assert collect(b"") == (b"", None)
    assert collect(gzip.compress(b"") + gzip.compress(b"text") + gzip.compress(b"")) == (b"text", None)


def test_bomb_comes_in_small_chunks() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    assert max(map(len, decompressed(io.BytesIO(bomb)))) <= 1 << 20
    assert read_whole(io.BytesIO(bomb), max_bytes=1 << 20) is None


@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20))
@settings(max_examples=30)
def test_file_reads_the_same_in_any_steps(sizes: list[int]) -> None:
    data = LINES[:40_000]
    file = DecompressedFile(io.BytesIO(gzip.compress(data)))
    got = b""
    while piece := file.read(sizes[len(got) % len(sizes)]):
        got += piece
        assert file.tell() == len(got)
    assert got == data
    assert file.damage is None


def test_file_ends_at_damage_and_says_so() -> None:
    compressed = gzip.compress(LINES)
    file = DecompressedFile(io.BytesIO(compressed[:-100]))
    assert LINES.startswith(file.read())
    assert file.damage is not None
