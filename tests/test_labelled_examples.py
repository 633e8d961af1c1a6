"""Labelled examples: read from files and runs, and held out by group."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.models.labelled_examples import Example, read_examples


def test_examples_from_files(tmp_path: Path) -> None:
    rows = [{"text": "a", "source": "s", "license": "MIT", "lang": "en", "group": "g"}, {"text": "b"}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode() + b"\n"
    (tmp_path / "plain.jsonl").write_bytes(content)
    (tmp_path / "more.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "most.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(content))
    for name in ("plain.jsonl", "more.jsonl.gz", "most.jsonl.zst"):
        first, second = read_examples([tmp_path / name], positive=True)
        assert first == Example("a", True, "s", "MIT", "en", "g")
        assert second == Example("b", True, name, "")
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "a"}\n{"text": null}\n')
    with pytest.raises(RequestError, match=r"bad\.jsonl:2: field 'text' is no string"):
        list(read_examples([tmp_path / "bad.jsonl"], positive=False))


def test_a_group_is_held_out_whole() -> None:
    sides = {Example(str(n), True, "s", "l", group="family").held_out(10) for n in range(50)}
    assert len(sides) == 1
    alone = [Example(str(n), True, "s", "l").held_out(10) for n in range(2000)]
    assert 150 <= sum(alone) <= 250


def test_what_is_no_file_or_no_json_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="absent: no such file"):
        list(read_examples([tmp_path / "absent"], positive=True))
    with pytest.raises(RequestError, match="no run folder"):
        list(read_examples([tmp_path], positive=True))
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "a"}\n{"text"\n')
    with pytest.raises(RequestError, match=r"bad\.jsonl:2: no JSON"):
        list(read_examples([tmp_path / "bad.jsonl"], positive=False))
