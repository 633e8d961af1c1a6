"""Training alone: the same model whatever the order of files, from every kind of input."""

import gzip
import json
from pathlib import Path

import pytest
import sentencepiece
from small_corpus import document
from token_run import token_run

from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.stages.tokens.training import SmallestByHash, texts_of, train_tokenizer_on


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "a.txt").write_text("\n".join(document(n) for n in range(60)))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": document(n)}) + "\n" for n in range(60, 90))
    return [str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl.gz")]


def test_same_model_for_files_in_any_order(files: list[str], tmp_path: Path) -> None:
    one = train_tokenizer_on(files, tmp_path / "one", vocab_size=400, kind="sentencepiece-bpe")
    two = train_tokenizer_on(files[::-1], tmp_path / "two", vocab_size=400, kind="sentencepiece-bpe")
    assert (tmp_path / "one/tokenizer.model").read_bytes() == (tmp_path / "two/tokenizer.model").read_bytes()
    assert one == two
    assert one["vocab_size"] == len(
        sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "one/tokenizer.model"))
    )
    assert json.loads((tmp_path / "one/tokenizer.json").read_text()) == one


def test_run_folders_are_read() -> None:
    assert len(list(texts_of(token_run().url))) == 250


def test_errors_name_the_way_out(files: list[str], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        train_tokenizer_on(["nowhere"], tmp_path, vocab_size=400, kind="sentencepiece-bpe")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(RequestError, match="no text"):
        train_tokenizer_on([str(tmp_path / "empty.txt")], tmp_path, vocab_size=400, kind="sentencepiece-bpe")
    with pytest.raises(RequestError, match="choose one of"):
        train_tokenizer_on(files, tmp_path, vocab_size=400, kind="wordpiece")
    with pytest.raises(CorpusmillError, match="vocab_size"):
        train_tokenizer_on(files, tmp_path, vocab_size=300, kind="sentencepiece-bpe", character_coverage=1.0)


def test_the_sample_is_the_texts_of_smallest_hash_whatever_the_order() -> None:
    texts = [document(n) + str(n) for n in range(200)]
    samples = []
    for order in (texts, texts[::-1]):
        sample = SmallestByHash(20_000)
        for text in order:
            sample.add(text)
        samples.append(sample.take())
    assert samples[0] == samples[1]
    size = sum(len(text.encode()) for text in samples[0])
    assert 20_000 <= size < 22_000
