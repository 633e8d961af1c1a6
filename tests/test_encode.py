"""Encoded parts: end ids, the index and its slices, and real text through a whole build."""

import os
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import run_recipe
from token_run import kept_texts, manifest, plain_documents, token_run

from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.encode import ENCODE, index_slice, with_end


@given(st.lists(st.lists(st.integers(2, 60_000), max_size=6), max_size=8), st.sampled_from(["<u2", "<u4"]))
def test_every_document_gets_one_end_id(documents: list[list[int]], dtype: str) -> None:
    flat = np.array([token for ids in documents for token in ids], dtype=np.int32)
    offsets = np.r_[0, np.cumsum([len(ids) for ids in documents])].astype(np.int64)
    found = with_end(flat, offsets, 1, np.dtype(dtype))
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == [token for ids in documents for token in [*ids, 1]]


def test_runs_are_sorted_and_lie_end_to_end() -> None:
    run = token_run()
    num_runs = []
    for receipt in receipts_of(run, ENCODE):
        rows = run.read_table(receipt.require("index").path).to_pylist()
        at = 0
        for row in rows:
            assert row["token_start"] == at
            at += row["num_tokens"]
        assert receipt.require("encoded").num_bytes == 2 * at
        keys = [(row["run"], row["bucket"], row["hash"]) for row in rows]
        assert keys == sorted(keys)
        num_runs.append(rows[-1]["run"] + 1)
    assert max(num_runs) >= 2  # several runs a part, or this test shows nothing


@pytest.mark.parametrize(("low", "high"), [(0, 1 << 64), (0, 1 << 63), (1 << 63, 1 << 64), (5, 6)])
def test_a_slice_holds_the_rows_of_its_bucket_and_range(low: int, high: int) -> None:
    run = token_run()
    for receipt in receipts_of(run, ENCODE):
        path = receipt.require("index").path
        rows = run.read_table(path).to_pylist()
        for bucket in ("all", "val", "other"):
            expected = [row for row in rows if row["bucket"] == bucket and low <= row["hash"] < high]
            assert index_slice(run, path, bucket, low, high).to_pylist() == expected


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="needs the shared data")
def test_real_text_comes_back_byte_for_byte(tmp_path: Path) -> None:
    data = Path(os.environ["CORPUSMILL_DATA"])
    names = ("web-en", "source-code", "law-zh", "zh-classical", "dialogue-en")
    tree = {
        "format": 1,
        "name": "real",
        "seed": 1,
        "sources": {name: {"read": "jsonl", "paths": [f"{data}/domains/{name}.val.jsonl.zst"]} for name in names},
        "stages": ["normalize"],
        "tokenizer": {"vocab_size": 8000, "sample_bytes": 2_000_000},
        "tokens": {},
    }
    run_recipe(tree, tmp_path / "run")
    run = RunFolder(str(tmp_path / "run"))
    texts = kept_texts(run)
    model = sentencepiece.SentencePieceProcessor(model_file=run.path("tokenizer/tokenizer.model"))
    seen = 0
    for shard in manifest(run)["shards"]:
        rows = run.read_table(f"{shard['path']}.docs.parquet", ["id"]).column("id").to_pylist()
        for name, ids in zip(rows, plain_documents(run.path(shard["path"])), strict=True):
            text = texts[str(name)]
            assert model.encode(text) == ids[:-1]
            assert model.decode(ids[:-1]) == text or "\u2581" in text
            seen += 1
    assert seen == len(texts) > 500
