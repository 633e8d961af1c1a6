"""tiktoken files: what they lack is known by name or asked for; ids through a whole run are tiktoken's."""

import base64
from pathlib import Path

import pytest
import tiktoken
from byte_level_tokenizers import ranks
from small_corpus import run_recipe
from token_run import kept_texts, manifest, plain_documents, recipe, write_documents

from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.tiktoken_file import CL100K, O200K, pattern_of, read_ranks, tiktoken_card
from corpusmill.stages.tokens.tokenizer_file import kind_of, load_card

BYTES = b"".join(base64.b64encode(bytes([byte])) + f" {byte}\n".encode() for byte in range(256))


def test_patterns_are_those_that_tiktoken_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    from tiktoken_ext import openai_public as published

    monkeypatch.setattr(published, "load_tiktoken_bpe", lambda *_, **__: {})
    assert published.cl100k_base()["pat_str"] == CL100K
    assert published.o200k_base()["pat_str"] == O200K
    for name, end in (("cl100k", 100257), ("o200k", 199999)):
        card = load_card(ranks(name), f"somewhere/{name}_base.tiktoken")
        assert (card.kind, card.end_of_document, card.vocab_size) == ("tiktoken", end, end + 1)
        assert card.dtype.itemsize == 4
        assert kind_of(ranks(name)) == "tiktoken"


def test_what_the_file_lacks_is_asked_for() -> None:
    with pytest.raises(RequestError, match=r"tokenizer\.pattern to one of cl100k"):
        load_card(BYTES, "mine.tiktoken")
    with pytest.raises(RequestError, match="such as 256"):
        load_card(BYTES, "mine.tiktoken", pattern="o200k")
    card = load_card(BYTES, "mine.tiktoken", 300, r"\w+|\W")
    assert (card.vocab_size, card.pattern) == (301, r"\w+|\W")
    assert pattern_of("mine.tiktoken", "cl100k") == (CL100K, None)
    assert tiktoken_card(BYTES, "a", 300, None).hash != tiktoken_card(BYTES, "b", 300, None).hash
    with pytest.raises(RequestError, match="such as 256"):
        tiktoken_card(BYTES, "a", 3, None)  # the id of a token


def test_lines_that_are_none_are_named() -> None:
    assert read_ranks(BYTES + b"\n") == {bytes([byte]): byte for byte in range(256)}
    with pytest.raises(RequestError, match="line 257"):
        read_ranks(BYTES + b"no rank\n")
    with pytest.raises(RequestError, match="0xff"):
        read_ranks(BYTES[: BYTES.rindex(b"/w==")])


def test_a_run_has_tiktokens_ids(tmp_path: Path) -> None:
    write_documents(tmp_path / "in", "a", 40)
    (tmp_path / "cl100k_base.tiktoken").write_bytes(ranks("cl100k"))
    run_recipe(recipe(tmp_path / "in", "a", tokenizer={"load": f"{tmp_path}/cl100k_base.tiktoken"}), tmp_path / "run")
    run = RunFolder(str(tmp_path / "run"))
    assert manifest(run)["dtype"] == "uint32"
    encoding = tiktoken.Encoding("x", pat_str=CL100K, mergeable_ranks=read_ranks(ranks("cl100k")), special_tokens={})
    texts = kept_texts(run)
    for shard in manifest(run)["shards"]:
        rows = run.read_table(f"{shard['path']}.docs.parquet").to_pylist()
        for row, ids in zip(rows, plain_documents(run.path(shard["path"])), strict=True):
            assert ids == [*encoding.encode_ordinary(texts[row["id"]]), 100257]
            assert row["lossless"]
    (tmp_path / "in" / "bad.tiktoken").write_bytes(b"YQ== 0\nbad\n")
    with pytest.raises(CorpusmillError, match=r"tokenizer"):
        run_recipe(recipe(tmp_path / "in", "a", tokenizer={"load": f"{tmp_path}/in/bad.tiktoken"}), tmp_path / "run")
