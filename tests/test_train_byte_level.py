"""Training byte-level BPE: the same each time, every byte, the chosen pattern; a whole run with it."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
import tokenizers
from byte_level_tokenizers import TRAINING, trained
from small_corpus import run_recipe
from token_run import kept_texts, manifest, plain_documents, recipe, write_documents

from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.tokenizer_json import GPT2
from corpusmill.stages.tokens.train_byte_level import PATTERNS, split_expression, train_byte_level


def test_the_same_file_for_the_same_texts_and_any_threads() -> None:
    texts = pa.array(TRAINING, pa.large_string())
    settings = {"train": "byte-level-bpe", "vocab_size": 600}
    assert train_byte_level(texts, TokenizerSettings(**settings)) == trained()  # type: ignore[arg-type]  # its fields
    assert train_byte_level(texts, TokenizerSettings(num_threads=2, **settings)) == trained()  # type: ignore[arg-type]


def test_every_byte_is_there_and_documents_end_with_a_control_token() -> None:
    body = json.loads(trained(user_defined=("<sep>",), end_of_document="<eod>"))
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(body))
    specials = {token["content"]: token["special"] for token in body["added_tokens"]}
    assert specials == {"<eod>": True, "<sep>": False}
    assert 256 + 2 < tokenizer.get_vocab_size() <= 600
    sizes = [json.loads(trained(user_defined=own)) for own in ((), ("<sep>",))]
    assert len(sizes[0]["model"]["vocab"]) == len(sizes[1]["model"]["vocab"])  # the text is used up before 600
    assert tokenizer.decode(tokenizer.encode("\x00\x80 ÿ 😀 <sep>").ids) == "\x00\x80 ÿ 😀 <sep>"


@pytest.mark.parametrize(("pattern", "pieces"), [("o200k", 5), ("gpt2", 5), ("cl100k", 5)])
def test_digits_are_split_one_by_one_unless_told(pattern: str, pieces: int) -> None:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(split_expression(pattern, True)), "isolated")
    assert len(split.pre_tokenize_str("12345")) == pieces
    assert split_expression(pattern, False) == PATTERNS[pattern]
    assert split_expression("[ab]", True) == "[ab]"
    assert PATTERNS["gpt2"] == GPT2


def test_a_reason_is_given_where_training_fails() -> None:
    with pytest.raises(CorpusmillError, match="tokenizers cannot train"):
        trained(pattern="(unclosed")


def test_a_run_trains_and_encodes_with_it(tmp_path: Path) -> None:
    write_documents(tmp_path / "in", "ab", 40)
    settings = {"train": "byte-level-bpe", "vocab_size": 500, "source_weights": {"a": 1, "b": 1}}
    run_recipe(recipe(tmp_path / "in", tokenizer=settings), tmp_path / "run")
    run = RunFolder(str(tmp_path / "run"))
    tokenizer = tokenizers.Tokenizer.from_file(run.path("tokenizer/tokenizer.json"))
    tokenizer.encode_special_tokens = True
    texts = kept_texts(run)
    assert manifest(run)["tokenizer"]["path"] == "tokenizer/tokenizer.json"
    for shard in manifest(run)["shards"]:
        rows = run.read_table(f"{shard['path']}.docs.parquet").to_pylist()
        for row, ids in zip(rows, plain_documents(run.path(shard["path"])), strict=True):
            assert ids[:-1] == tokenizer.encode(texts[row["id"]], add_special_tokens=False).ids
            assert row["lossless"]
