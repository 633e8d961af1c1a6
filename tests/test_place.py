"""From kept documents to token files: every document once, whole, in its split, and the same bytes each time."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import contents, run_recipe
from token_run import kept_texts, manifest, plain_documents, recipe, shard_ids, token_run, write_documents

from corpusmill.pipeline.phases import receipts_of
from corpusmill.stages.tokens import place
from corpusmill.stages.tokens.place import BIN_BITS, HashBins, cut_files


def test_ids_decode_to_every_kept_text_byte_for_byte() -> None:
    run = token_run()
    texts = kept_texts(run)
    model = sentencepiece.SentencePieceProcessor(model_file=run.path("tokenizer/tokenizer.model"))
    seen: Counter[str] = Counter()
    wrong = []
    for shard in manifest(run)["shards"]:
        rows = run.read_table(f"{shard['path']}.docs.parquet").to_pylist()
        documents = plain_documents(run.path(shard["path"]))
        assert len(rows) == len(documents) == shard["num_documents"]
        for row, ids in zip(rows, documents, strict=True):
            seen[row["id"]] += 1
            assert ids[-1] == 1
            assert 1 not in ids[:-1]
            assert row["num_tokens"] == len(ids)
            assert row["num_bytes"] == len(texts[row["id"]].encode())
            assert row["source"] == shard["source"] == row["id"].split("/")[0]
            assert row["url"].startswith(f"https://{row['source']}.test/")
            if model.decode(ids[:-1]) != texts[row["id"]]:
                wrong.append(row["id"])
                assert not row["lossless"]
    assert seen == dict.fromkeys(texts, 1)
    assert [texts[name] for name in wrong] == ["\u2581 stands where a space should\u2581"]


def test_manifest_counts_what_the_files_hold() -> None:
    run = token_run()
    body = manifest(run)
    assert body["format"] == 1
    assert body["seed"] == 7
    assert body["dtype"] == "uint16"
    assert body["tokenizer"]["end_of_document"] == 1
    keys = [(shard["source"], shard["bucket"], shard["path"]) for shard in body["shards"]]
    assert keys == sorted(keys)
    assert {key[:2] for key in keys} == {("a", "all"), ("a", "val"), ("b", "all"), ("b", "val")}
    for shard in body["shards"]:
        data = Path(run.path(f"{shard['path']}.bin")).read_bytes()
        assert blake3(data).hexdigest(16) == shard["checksum"]
        ids = shard_ids(run, shard["path"], body["dtype"])
        assert len(ids) == shard["num_tokens"]
        assert int((ids == 1).sum()) == shard["num_documents"]
        assert shard["split"] == ("val" if shard["bucket"] == "val" else "train")
        sums = Path(run.path(f"{shard['path']}.sums")).read_bytes()
        blocks = [data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)]
        assert sums == b"".join(blake3(block).digest(16) for block in blocks)
    assert sum(shard["num_bytes"] for shard in body["shards"]) == sum(len(t.encode()) for t in kept_texts(run).values())


def test_documents_lie_in_the_order_of_a_hash_of_seed_and_id() -> None:
    run = token_run()
    for name in ("a", "b"):
        ids = []
        for shard in manifest(run)["shards"]:
            if shard["source"] == name and shard["bucket"] == "all":
                ids += run.read_table(f"{shard['path']}.docs.parquet", ["id"]).column("id").to_pylist()
        keys = [hashlib.blake2b(str(i).encode(), digest_size=8, key=b"order:7").digest()[::-1] for i in ids]
        assert keys == sorted(keys)
        assert len(keys) > 90


def test_files_stay_under_the_limit_and_books_of_every_phase_agree() -> None:
    run = token_run()
    sizes = [shard["num_tokens"] for shard in manifest(run)["shards"]]
    assert len(sizes) >= 6
    assert max(sizes) <= 6000
    kept = len(kept_texts(run))
    for phase in ("smallest", "members"):
        assert sum(r.books.documents_kept for r in receipts_of(run, f"tokens/split/{phase}")) == kept
    for phase in ("encode", "place", "manifest"):
        receipts = receipts_of(run, f"tokens/{phase}")
        assert sum(r.books.documents_in for r in receipts) == sum(r.books.documents_kept for r in receipts) == kept


@pytest.mark.parametrize("workers", [2])
def test_same_bytes_in_another_folder_with_other_workers_and_files_listed_backwards(
    tmp_path: Path, workers: int
) -> None:
    run = token_run()
    write_documents(tmp_path / "in")
    tree = recipe(tmp_path / "in", max_file_tokens=6000, run_tokens=5000)
    for name in ("a", "b"):
        tree["sources"][name]["paths"] = [f"{tmp_path}/in/{name}-{half}.jsonl" for half in (1, 0)]
    run_recipe(tree, tmp_path / "other", workers)
    assert contents(tmp_path / "other") == contents(Path(run.url))


def test_file_bytes_do_not_depend_on_how_encoding_was_cut_into_runs(tmp_path: Path) -> None:
    run = token_run()
    write_documents(tmp_path / "in")
    run_recipe(recipe(tmp_path / "in", max_file_tokens=6000, run_tokens=1 << 26), tmp_path / "one-run")
    ours = (tmp_path / "one-run/tokens/manifest.json").read_bytes()
    assert ours == run.read_bytes("tokens/manifest.json")


def test_nothing_runs_twice_and_one_new_file_encodes_only_itself(tmp_path: Path) -> None:
    write_documents(tmp_path / "in")
    model = token_run().path("tokenizer/tokenizer.model")
    tree = recipe(tmp_path / "in", held_out=0, tokenizer={"load": model})
    first = run_recipe(tree, tmp_path / "run")
    again = run_recipe(tree, tmp_path / "run")
    assert sum(again.ran.values()) == 0
    (tmp_path / "in" / "a-9.jsonl").write_text('{"id": "new", "text": "one more"}\n')
    third = run_recipe(tree, tmp_path / "run")
    assert first.ran["tokens/encode"] == 4
    assert third.ran["tokens/encode"] == 1
    assert third.ran["tokens/vocabulary"] == 0
    assert third.ran["tokens/place"] == 1  # only the source that grew


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 5)), min_size=1, max_size=40),
    st.integers(1, 120),
    st.integers(1, 12),
)
def test_cut_files_cover_all_bins_in_order_under_the_limits(
    filled: list[tuple[int, int]], max_tokens: int, max_documents: int
) -> None:
    counts = np.zeros((2, 1 << BIN_BITS), np.int64)
    for at, (tokens, documents) in enumerate(filled):
        counts[:, at * 17 + 3] = tokens, documents
    bins = np.flatnonzero(counts[1])
    files = cut_files(np.vstack([bins, counts[:, bins]]), max_tokens, max_documents)
    assert files[0]["low"] == 0
    assert files[-1]["high"] == 1 << 64
    assert [file["low"] for file in files[1:]] == [file["high"] for file in files[:-1]]
    assert sum(file["num_tokens"] for file in files) == sum(tokens for tokens, _ in filled)
    assert sum(file["num_documents"] for file in files) == sum(documents for _, documents in filled)
    for file in files:
        low, high = file["low"] >> (64 - BIN_BITS), file["high"] >> (64 - BIN_BITS)
        assert counts[0, low:high].sum() == file["num_tokens"]
        num_bins = int((counts[1, low:high] > 0).sum())
        assert num_bins == 1 or (file["num_tokens"] <= max_tokens and file["num_documents"] <= max_documents)


def test_bins_add_up_however_often_they_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    hashes = random.integers(0, 40, 500).astype(np.uint64) << np.uint64(64 - 8)
    tokens = random.integers(1, 1000, 500)
    monkeypatch.setattr(place, "BIN_BITS", 5)  # eight hashes a bin, put together at 64 rows
    bins = HashBins()
    for start in range(0, 500, 7):
        bins.add(hashes[start : start + 7], tokens[start : start + 7])
    assert bins.num_rows < 80
    expected = {int(at): (hashes >> np.uint64(59)) == at for at in range(32)}
    rows = [[at, int(tokens[mine].sum()), int(mine.sum())] for at, mine in expected.items() if mine.any()]
    assert bins.counts().T.tolist() == rows
