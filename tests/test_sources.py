"""Sources as files laid end to end: rows across files, held-out parts apart, damaged files named."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shards import expected_tokens, write_manifest, write_shards

from corpusmill.mixtures.sources import Shard, Source, TokenReader, read_manifest
from corpusmill.pipeline.errors import DamagedFileError, RequestError


def test_manifest_by_name_with_buckets_and_held_out(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [30, 20], "code/q0": [7], "code/q1": [5], "web/val": [9]})
    manifest = read_manifest(tmp_path)
    assert {name: source.num_tokens for name, source in manifest.sources.items()} == {
        "web": 50,
        "code/q0": 7,
        "code/q1": 5,
    }
    assert list(manifest.held_out) == ["web"]
    assert manifest.open_held_out()["web"].read(0, 9).tolist() == expected_tokens(3, 0, 9).tolist()
    assert manifest.dtype == np.dtype("<u2")
    assert manifest.tokenizer.hash == "f00d"


@pytest.mark.parametrize(("num_tokens", "rows"), [(0, 0), (1, 0), (8, 0), (9, 1), (16, 1), (17, 2), (18, 2)])
def test_rows_share_one_token(num_tokens: int, rows: int) -> None:
    source = Source("web", "all", (Shard("a", num_tokens, 1, 1, "x"),))
    assert source.num_rows(8) == rows


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> TokenReader:
    run = tmp_path_factory.mktemp("run")
    write_shards(run, {"web": [40, 0, 1, 9, 50]})
    return read_manifest(run).open()["web"]


@given(st.integers(0, 100), st.integers(0, 100))
def test_any_range_across_files(reader: TokenReader, first: int, second: int) -> None:
    start, stop = min(first, second), max(first, second)
    assert reader.read(start, stop).tolist() == expected_tokens(0, start, stop - start).tolist()
    out = np.empty(stop - start, dtype=np.int64)
    reader.read_into(out, start)
    assert out.tolist() == expected_tokens(0, start, stop - start).tolist()


def test_reads_inside_one_file_are_views_and_read_only(reader: TokenReader) -> None:
    tokens = reader.read(3, 30)
    assert tokens.base is not None
    assert not tokens.flags.writeable


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (-2, -1), (95, 101), (101, 101)])
def test_outside_the_source(reader: TokenReader, start: int, stop: int) -> None:
    with pytest.raises(IndexError, match="web: tokens"):
        reader.read(start, stop)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [30], "books": [30]})
    readers = read_manifest(tmp_path).open()
    path = tmp_path / "tokens/web/all/00000.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DamagedFileError, match=r"00000.bin has 58 bytes, the manifest says 60"):
        readers["web"].read(0, 5)
    (tmp_path / "tokens/books/all/00000.bin").unlink()
    with pytest.raises(DamagedFileError, match=r"books/all/00000.bin is missing"):
        readers["books"].read(0, 5)


def test_manifest_errors(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"manifest.json is missing"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, [])
    path = tmp_path / "tokens/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(RequestError, match="format 2"):
        read_manifest(tmp_path)
    path.write_text("{")
    with pytest.raises(DamagedFileError, match="is no JSON"):
        read_manifest(tmp_path)


def test_fingerprint_follows_names_lengths_and_content() -> None:
    shard = Shard("tokens/web/all/00000", 10, 1, 1, "aa")
    others = [
        Shard("tokens/web/all/00001", 10, 1, 1, "aa"),
        Shard(shard.path, 11, 1, 1, "aa"),
        Shard(shard.path, 10, 1, 1, "ab"),
    ]
    prints = {Source("web", "all", (each,)).fingerprint for each in (shard, *others)}
    assert len(prints) == 4
