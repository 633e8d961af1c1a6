"""Token files as a source: exports of a run, read back as text."""

from pathlib import Path

import numpy as np
import pytest
from reading import read_file, reasons
from small_corpus import run_recipe
from token_run import kept_texts, manifest, token_run

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status
from corpusmill.stages.collect.token_files import TokenFiles
from corpusmill.stages.tokens.export import export_run
from corpusmill.stages.tokens.megatron_index import index_bytes


@pytest.mark.parametrize("form", ["megatron", "nanotron"])
def test_texts_come_back_and_become_the_same_tokens(tmp_path: Path, form: str) -> None:
    run = token_run()
    export_run(run, form, str(tmp_path / "out"))
    tree = {
        "format": 1,
        "name": "again",
        "sources": {
            "old": {
                "read": "tokens",
                "paths": [str(tmp_path / "out")],
                "tokenizer": run.path("tokenizer/tokenizer.model"),
            }
        },
        "tokenizer": {"load": run.path("tokenizer/tokenizer.model")},
    }
    run_recipe(tree, tmp_path / "again")
    again = RunFolder(str(tmp_path / "again"))
    expected = [text.replace("\u2581", " ") for text in kept_texts(run).values()]
    assert sorted(kept_texts(again).values()) == sorted(expected)
    tokens = sum(shard["num_tokens"] for shard in manifest(run)["shards"])
    assert (
        abs(sum(shard["num_tokens"] for shard in manifest(again)["shards"]) - tokens) < 10
    )  # the one text with the mark
    assert read_status(again)["sources"]["old"]["documents"]["failed"] == {}


def test_bad_documents_are_refused_one_by_one(tmp_path: Path) -> None:
    model = Path(token_run().path("tokenizer/tokenizer.model"))
    long = [50] * 300
    ids = np.array([10, 11, 1, 60_000, 1, 1, *long, 1], dtype="<u2")
    (tmp_path / "x.bin").write_bytes(ids.tobytes())
    (tmp_path / "x.idx").write_bytes(index_bytes(np.array([3, 2, 1, 301, 5]), 2))
    rows, refused = read_file(TokenFiles(tokenizer=model), tmp_path / "x.bin", max_document_bytes=200)
    assert [row["id"] for row in rows] == ["x.bin#0"]
    assert reasons(refused) == [
        ("1", "malformed_record"),
        ("2", "empty_document"),
        ("3", "record_too_large"),
        ("4", "truncated_input"),
    ]
