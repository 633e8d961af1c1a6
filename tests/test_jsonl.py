"""JSON lines: every bad record has its reason and number, and costs only itself."""

import gzip
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import open_local, read_bytes, read_file, reasons

from corpusmill.pipeline.stage import Stage
from corpusmill.stages.collect.jsonl import Jsonl, Lines

GOOD = b'{"text": "good", "n": 1}'

BAD_LINES = [
    (b'{"text": "\xff"}', "invalid_utf8"),
    (b'{"text": "\xed\xa0\x80"}', "invalid_utf8"),  # a surrogate in UTF-8's clothes
    (b'{"text": "cut', "malformed_record"),
    (b'{"text": "a"} {"text": "b"}', "malformed_record"),
    (b'["text"]', "malformed_record"),
    (b"3", "malformed_record"),
    (rb'{"text": "\ud800 alone"}', "malformed_record"),
    (rb'{"text": "good", "other": "\udfff"}', "malformed_record"),
    (b'{"text": "good", "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed_record"),
    (b'{"text": "good", "n": ' + b"9" * 5000 + b"}", "malformed_record"),  # CPython refuses to convert it
    (b'{"body": "good"}', "missing_field"),
    (b"{}", "missing_field"),
    (b'{"text": null}', "null_text"),
    (b'{"text": 3}', "malformed_record"),
    (b'{"text": ""}', "empty_document"),
    (b'{"text": " \\n\\t\\u3000"}', "empty_document"),
    (b'{"text": "' + b"x" * 1_048_577 + b'"}', "record_too_large"),
    (b'{"text": "' + "字".encode() * 349_526 + b'"}', "record_too_large"),  # 1,048,578 bytes
    (b'{"text": "good", "n": "' + b"x" * 2_200_000 + b'"}', "record_too_large"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_line_has_its_reason_and_its_neighbours_live(line: bytes, reason: str, tmp_path: Path) -> None:
    rows, refusals = read_bytes(Jsonl(), b"\n".join([GOOD, line, GOOD]), tmp_path)
    assert reasons(refusals) == [("1", reason)]
    assert refusals[0].detail
    assert [row["id"] for row in rows] == ["file#0", "file#2"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"text": "good"}\r',
        b'  {"text": "good"}  ',
        '{"text": "a\u2028b\u2029c\x85d"}'.encode(),
        rb'{"text": "\ud83d\ude00"}',
        rb'{"text": "\u0000"}',
        b'{"text": "good", "n": NaN}',
        b'{"text": "' + b"x" * 1_048_576 + b'"}',
        b'{"text": "' + "字".encode() * 349_525 + b'"}',
    ],
    ids=range(8),
)
def test_odd_but_good_line(line: bytes, tmp_path: Path) -> None:
    rows, refusals = read_bytes(Jsonl(), line + b"\n" + GOOD, tmp_path)
    assert refusals == []
    assert len(rows) == 2
    assert rows[0]["text"] == json.loads(line)["text"]


def test_fields_go_where_the_settings_say(tmp_path: Path) -> None:
    record = {"b": "the text", "k": 17, "url": "http://x.org", "lang": "en", "source": "s", "z": [1, {"é": None}]}
    line = json.dumps(record).encode()
    (row,), _ = read_bytes(Jsonl(text="b", id="k"), line, tmp_path, "a/b.jsonl")
    assert row["id"] == "17"
    assert row["text"] == "the text"
    assert (row["url"], row["lang"]) == ("http://x.org", "en")
    assert json.loads(row["meta"]) == {"source": "s", "z": [1, {"é": None}]}
    assert "é" in row["meta"]
    (row,), _ = read_bytes(Jsonl(text="b", url=None, lang="source"), line, tmp_path, "a/b.jsonl")
    assert row["id"] == "a/b.jsonl#0"
    assert (row["url"], row["lang"]) == (None, "s")
    assert json.loads(row["meta"])["url"] == "http://x.org"
    (row,), _ = read_bytes(Jsonl(), b'{"text": "alone"}', tmp_path)
    assert row["meta"] is None


def test_numbers_that_json_has_not_become_null(tmp_path: Path) -> None:
    (row,), _ = read_bytes(Jsonl(), b'{"text": "a", "n": [NaN, -Infinity, 1e999, 1.5]}', tmp_path)
    assert json.loads(row["meta"]) == {"n": [None, None, None, 1.5]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "a"}', "missing_field"),
        (b'{"text": "a", "id": null}', "malformed_record"),
        (b'{"text": "a", "id": ""}', "malformed_record"),
        (b'{"text": "a", "id": true}', "malformed_record"),
        (b'{"text": "a", "id": [1]}', "malformed_record"),
    ],
)
def test_named_id_must_be_there(line: bytes, reason: str, tmp_path: Path) -> None:
    rows, refusals = read_bytes(Jsonl(id="id"), line, tmp_path)
    assert rows == []
    assert reasons(refusals) == [("0", reason)]


def test_blank_lines_are_no_records_but_count_as_lines(tmp_path: Path) -> None:
    rows, refusals = read_bytes(Jsonl(), b"\n \r\n" + GOOD + b"\n\n" + GOOD + b"\n\n", tmp_path)
    assert [row["id"] for row in rows] == ["file#2", "file#4"]
    assert refusals == []


def test_byte_order_mark_and_empty_file(tmp_path: Path) -> None:
    rows, _ = read_bytes(Jsonl(), b"\xef\xbb\xbf" + GOOD, tmp_path)
    assert len(rows) == 1
    assert read_bytes(Jsonl(), b"", tmp_path) == ([], [])


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_cut_file_keeps_the_records_before(compress: Any, tmp_path: Path) -> None:
    # Hashes, which do not compress, so that the cut falls among them and not before the first.
    texts = [os.urandom(40).hex() for _ in range(20_000)]
    whole = compress(b"".join(b'{"text": "%s"}\n' % text.encode() for text in texts))
    rows, refusals = read_bytes(Jsonl(), whole[: len(whole) * 2 // 3], tmp_path, "x.jsonl.gz")
    assert reasons(refusals) == [(str(len(rows)), "truncated_input")] or reasons(refusals) == [
        (str(len(rows) + 1), "truncated_input")
    ]
    assert [row["text"] for row in rows] == texts[: len(rows)]
    assert len(rows) > 10_000


@given(
    parts=st.lists(st.sampled_from([b"a", b"\n", b"bc", b"\r", "é".encode(), b"\n\n"]), max_size=30),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
def test_lines_do_not_depend_on_chunks(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:stop] for start, stop in pairwise(places)]
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert list(Lines(iter(chunks), 1000)) == expected
    assert list(Lines(iter(chunks), 3)) == [line if len(line) <= 3 else None for line in expected]


@given(st.lists(st.dictionaries(st.text(), st.text()) | st.text() | st.integers(), max_size=8))
@settings(max_examples=50)
def test_every_record_is_a_document_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    content = b"\n".join(json.dumps(value).encode() for value in values)
    rows, refusals = read_bytes(Jsonl(), content, tmp_path_factory.mktemp("any"))
    assert len(rows) + len(refusals) == len(values)


def test_huge_line_is_read_over_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as file:
        file.write(GOOD + b'\n{"text": "')
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + GOOD)
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from reading import read_file, reasons; from corpusmill.stages.collect.jsonl import Jsonl\n"
        "from corpusmill.pipeline.peak_memory import peak_memory\n"
        "before = peak_memory()\n"
        "rows, refusals = read_file(Jsonl(), Path(sys.argv[1]), 16 << 20)\n"
        "assert [row['id'] for row in rows] == ['huge.jsonl#0', 'huge.jsonl#2']\n"
        "assert reasons(refusals) == [('1', 'record_too_large')]\n"
        "print(peak_memory() - before)\n"
    )
    command = [sys.executable, "-c", script, str(path), str(Path(__file__).parent)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 100 << 20  # of 200 MiB


def test_batches_are_bounded(tmp_path: Path) -> None:
    from corpusmill.pipeline.stage import InputFile, ReadContext

    path = tmp_path / "many.jsonl"
    path.write_bytes((b'{"text": "' + b"x" * 100_000 + b'"}\n') * 250)
    context = ReadContext(open_local, lambda refusal: None, 1 << 20)
    sizes = [batch.nbytes for batch in Jsonl().open().read(InputFile(str(path), "many"), context)]
    assert len(sizes) == 3
    assert max(sizes) < 9 << 20


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")
def test_the_same_documents_in_every_compression() -> None:
    folder = Path(os.environ["CORPUSMILL_DATA"]) / "formats"
    files = sorted(folder.glob("*.jsonl*"))
    assert len(files) >= 2
    stage: Stage = Jsonl(id="id")
    read = [read_file(stage, file, 16 << 20) for file in files]
    assert all(refusals == [] and len(rows) == 60 for rows, refusals in read)
    assert all(rows == read[0][0] for rows, _ in read)
