"""Parquet: the same accounts as JSON lines, row by row, and one for a file that cannot be read."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import MAX_DOCUMENT_BYTES, open_local, read_bytes, read_file, reasons

from corpusmill.pipeline.stage import InputFile, ReadContext
from corpusmill.stages.collect.jsonl import Jsonl
from corpusmill.stages.collect.parquet import Parquet


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_rows_become_documents(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["one", "two"], "url": ["u", None], "n": [1, 2], "k": [7, 8]})
    rows, refusals = read_file(Parquet(), path)
    assert refusals == []
    assert [row["id"] for row in rows] == ["a.parquet#0", "a.parquet#1"]
    assert [row["text"] for row in rows] == ["one", "two"]
    assert [row["url"] for row in rows] == ["u", None]
    assert json.loads(rows[1]["meta"]) == {"url": None, "n": 2, "k": 8}
    rows, _ = read_file(Parquet(id="k", text="text"), path)
    assert [row["id"] for row in rows] == ["7", "8"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "null_text"),
        ("", "empty_document"),
        (" \n", "empty_document"),
        ("x" * (1 + (1 << 20)), "record_too_large"),
    ],
)
def test_bad_row_has_its_reason(text: str | None, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["good", text, "good"]})
    rows, refusals = read_file(Parquet(), path)
    assert reasons(refusals) == [("1", reason)]
    assert [row["id"] for row in rows] == ["a.parquet#0", "a.parquet#2"]


def test_string_that_is_no_utf8_costs_its_row(tmp_path: Path) -> None:
    values = pa.array([b"good", b"\xff\xfe", "gut, schön".encode()], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, values.buffers())
    path = write(tmp_path / "a.parquet", {"text": broken, "n": [1, 2, 3]})
    rows, refusals = read_file(Parquet(), path)
    assert [row["text"] for row in rows] == ["good", "gut, schön"]
    assert reasons(refusals) == [("1", "invalid_utf8")]


@pytest.mark.parametrize("settings", [{"text": "body"}, {"id": "key"}])
def test_missing_column_is_one_refusal_that_says_how_many_rows(settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["a"] * 500})
    rows, refusals = read_file(Parquet(**settings), path)
    assert rows == []
    assert reasons(refusals) == [("all", "missing_field")]
    assert "500 rows not read" in refusals[0].detail
    assert "['text']" in refusals[0].detail


def test_no_parquet_cut_parquet_and_empty_file(tmp_path: Path) -> None:
    assert reasons(read_bytes(Parquet(), b"hello, no Parquet", tmp_path)[1]) == [("0", "truncated_input")]
    whole = write(tmp_path / "a.parquet", {"text": ["a", "b"]}).read_bytes()
    assert reasons(read_bytes(Parquet(), whole[:-10], tmp_path)[1]) == [("0", "truncated_input")]
    assert read_bytes(Parquet(), b"", tmp_path) == ([], [])


def test_damaged_page_keeps_the_rows_before(tmp_path: Path) -> None:
    texts = [os.urandom(500).hex() for _ in range(4000)]
    path = write(tmp_path / "a.parquet", {"text": texts}, row_group_size=100, compression="zstd")
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 2000] = bytes(2000)
    rows, refusals = read_bytes(Parquet(), bytes(whole), tmp_path, "b.parquet")
    assert [refusal.reason for refusal in refusals] == ["truncated_input"]
    assert [row["text"] for row in rows] == texts[: len(rows)]


def test_batches_are_bounded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["x" * 100_000] * 250, "n": [float("nan")] * 250})
    context = ReadContext(open_local, lambda refusal: None, MAX_DOCUMENT_BYTES)
    sizes = [batch.nbytes for batch in Parquet().open().read(InputFile(str(path), "a"), context)]
    assert len(sizes) == 3
    assert max(sizes) < 9 << 20


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")
def test_the_same_documents_as_from_json_lines() -> None:
    folder = Path(os.environ["CORPUSMILL_DATA"]) / "formats"
    rows, refusals = read_file(Parquet(id="id"), folder / "docs.parquet", 16 << 20)
    expected, _ = read_file(Jsonl(id="id"), folder / "docs.jsonl.gz", 16 << 20)
    assert refusals == []
    assert len(rows) == 60
    for row, other in zip(rows, expected, strict=True):
        assert {**row, "meta": None} == {**other, "meta": None}
