"""Encoded parts: end ids, the index and its slices, and real text through a whole build."""

import io
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import run_recipe
from token_run import kept_texts, manifest, plain_documents, token_run

from corpusmill.pipeline.phases import TableOutput, receipts_of
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens import token_shards
from corpusmill.stages.tokens.encode import ENCODE, INDEX_COLUMNS, SortedRuns, index_slice
from corpusmill.stages.tokens.encoder import joined_lists, new_room
from corpusmill.stages.tokens.vocabulary import open_tokenizer


@given(st.lists(st.lists(st.integers(2, 60_000), max_size=6), max_size=8), st.sampled_from(["<u2", "<u4"]))
def test_documents_in_any_order_are_laid_end_to_end(documents: list[list[int]], dtype: str) -> None:
    flat, offsets = joined_lists(documents, 1, new_room)
    assert flat.tolist() == [token for ids in documents for token in [*ids, 1]]
    for chunk_tokens in (1, 5, 1 << 18):
        for order in (np.arange(len(documents)), np.arange(len(documents))[::-1]):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(token_shards, "CHUNK_TOKENS", chunk_tokens)
                starts, lengths = offsets[:-1][order], np.diff(offsets)[order]
                chunks = [ids.copy() for ids in token_shards.in_order(flat, starts, lengths, np.dtype(dtype))]
            assert all(ids.dtype == np.dtype(dtype) for ids in chunks)
            assert [t for ids in chunks for t in ids] == [t for i in order for t in [*documents[i], 1]]


def test_room_grows_and_keeps_what_waits() -> None:
    run = token_run()
    encoder = open_tokenizer(run)
    texts = [f"{number} " * number for number in range(1, 40)]
    schema = pa.schema({**INDEX_COLUMNS})
    found: list[list[int]] = []
    for expected in (0, 7, 1 << 20):
        body, rows_file = io.BytesIO(), io.BytesIO()
        writer = pq.ParquetWriter(rows_file, schema)
        index = TableOutput(writer, 1 << 16)
        runs = SortedRuns(cast("Any", body), index, schema, encoder, 1 << 20, expected)
        for start in range(0, len(texts), 10):
            rows = range(start, min(start + 10, len(texts)))
            batch = pa.RecordBatch.from_pydict(
                {"text": pa.array([texts[i] for i in rows], pa.large_string()), "row": pa.array(rows, pa.uint64())}
            )
            runs.add(
                batch, ["all"], np.zeros(len(rows), np.int64), np.arange(start, start + len(rows)).astype(np.uint64)
            )
        runs.flush()
        writer.close()
        lengths = pq.read_table(pa.BufferReader(rows_file.getvalue()))["num_tokens"].to_numpy()
        assert len(lengths) == len(texts)
        assert int(lengths.sum()) * encoder.card.dtype.itemsize == len(body.getvalue())
        found.append(np.frombuffer(body.getvalue(), encoder.card.dtype).tolist())
    ids, _ = encoder.encode(pa.array(texts, pa.large_string()), encoder.card.end_of_document)
    assert found == [ids.tolist()] * 3


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
