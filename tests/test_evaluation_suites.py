import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.gather.evaluation_suites import Fields, read_suites


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "line 1: no JSON"), ('{"q": "x"}', "field 'question' is NoneType"), ("[1]", "field 'question'")],
)
def test_a_line_that_is_no_item_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(RequestError, match=message):
        read_suites([path], Fields())


def test_a_missing_suite_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        read_suites([tmp_path / "none.jsonl"], Fields())


@pytest.mark.parametrize(
    ("answer", "choices", "text"),
    [
        (1, ["a", "b"], "b"),
        ("A", ["x", "y"], "x"),
        ("b", ["x", "y"], "y"),
        ("C", ["x", "y"], "C"),
        (None, [], ""),
        (7, [], "7"),
    ],
)
def test_answers(tmp_path: Path, answer: Any, choices: list[str], text: str) -> None:
    path = tmp_path / "suite.jsonl"
    path.write_text(json.dumps({"prompt": "q", "choices": choices, "answer": answer}) + "\n")
    (item,) = read_suites([path], Fields(question="prompt"))
    assert (item.name, item.answer) == ("suite/0", text)


def test_compressed_suites_and_line_separators_inside_texts(tmp_path: Path) -> None:
    import zstandard

    lines = (json.dumps({"question": "a\u2028b"}, ensure_ascii=False) + "\n\n" + json.dumps({"question": "c"})).encode()
    plain, zipped, zstd = (tmp_path / f"s.jsonl{suffix}" for suffix in ("", ".gz", ".zst"))
    plain.write_bytes(lines)
    zipped.write_bytes(gzip.compress(lines))
    zstd.write_bytes(zstandard.compress(lines))
    for path in (plain, zipped, zstd):
        assert [item.question for item in read_suites([path], Fields())] == ["a\u2028b", "c"]
        assert [item.name for item in read_suites([path], Fields())] == ["s/0", "s/2"]
