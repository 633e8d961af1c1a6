"""Training alone: the same model whatever the order of files, from every kind of input."""

import gzip
import json
from pathlib import Path

import pytest
import sentencepiece
from small_corpus import document
from token_run import token_run

from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.training import SmallestByHash, split_texts, texts_of, train_tokenizer_on


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "a.txt").write_text("\n".join(document(n) for n in range(60)))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": document(n)}) + "\n" for n in range(60, 90))
    return [str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl.gz")]


def test_same_model_for_files_in_any_order(files: list[str], tmp_path: Path) -> None:
    (one,) = train_tokenizer_on(files, tmp_path / "one", vocab_sizes=[400], kind="sentencepiece-bpe")
    (two,) = train_tokenizer_on(files[::-1], tmp_path / "two", vocab_sizes=[400], kind="sentencepiece-bpe")
    assert (tmp_path / "one/tokenizer.model").read_bytes() == (tmp_path / "two/tokenizer.model").read_bytes()
    assert (one["card"], one["fertility"]) == (two["card"], two["fertility"])
    assert one["card"]["vocab_size"] == len(sentencepiece.SentencePieceProcessor(model_file=one["path"]))
    assert json.loads((tmp_path / "one/card.json").read_text()) == one["card"]


@pytest.mark.parametrize("kind", ["sentencepiece-bpe", "byte-level-bpe"])
def test_sizes_are_compared_on_text_that_none_learned_from(files: list[str], tmp_path: Path, kind: str) -> None:
    found = train_tokenizer_on(files, tmp_path, vocab_sizes=[350, 420], kind=kind)
    learned, measured = split_texts(files, TokenizerSettings())
    assert measured
    assert not set(learned) & {text for _, _, text in measured}
    for each, size in zip(found, (350, 420), strict=True):
        assert Path(each["path"]).parent == tmp_path / str(size)
        assert each["fertility"]["sources"]["b"]["documents"] == len([t for t in measured if t[0] == "b"])
        assert each["fertility"]["languages"]["unknown"]["not_lossless"] == 0
        assert json.loads((tmp_path / str(size) / "fertility.json").read_text()) == each["fertility"]
    ratios = [each["fertility"]["sources"]["b"]["bytes_per_token"] for each in found]
    assert ratios[0] <= ratios[1]


def test_weights_choose_sources_and_languages(tmp_path: Path) -> None:
    for name, language in (("x", "en"), ("y", "zh")):
        lines = [json.dumps({"text": f"{name} {language} {document(n)}", "lang": language}) for n in range(80)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    paths = [str(tmp_path / "x.jsonl"), str(tmp_path / "y.jsonl")]
    learned, _ = split_texts(paths, TokenizerSettings(sample_bytes=8000, source_weights={"x": 3, "y": 1}))
    sizes = {name: sum(len(text.encode()) for text in learned if text.startswith(name)) for name in "xy"}
    assert 6000 <= sizes["x"] < 7500
    assert 2000 <= sizes["y"] < 3500
    learned, _ = split_texts(paths, TokenizerSettings(language_weights={"zh": 1}))
    assert {text[:4] for text in learned} == {"y zh"}
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n[1]\n')
    with pytest.raises(RequestError, match="line 2"):
        split_texts([str(tmp_path / "bad.jsonl")], TokenizerSettings())


def test_run_folders_are_read() -> None:
    assert len(list(texts_of(token_run().url))) == 250


def test_errors_name_the_way_out(files: list[str], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        train_tokenizer_on(["nowhere"], tmp_path, vocab_sizes=[400], kind="sentencepiece-bpe")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(RequestError, match="no text"):
        train_tokenizer_on([str(tmp_path / "empty.txt")], tmp_path, vocab_sizes=[400], kind="sentencepiece-bpe")
    with pytest.raises(RequestError, match="choose one of"):
        train_tokenizer_on(files, tmp_path, vocab_sizes=[400], kind="wordpiece")
    with pytest.raises(CorpusmillError, match="vocab_size"):
        train_tokenizer_on(files, tmp_path, vocab_sizes=[300], kind="sentencepiece-bpe", character_coverage=1.0)


def test_the_sample_is_the_texts_of_smallest_hash_whatever_the_order() -> None:
    texts = [document(n) + str(n) for n in range(200)]
    samples = []
    for order in (texts, texts[::-1]):
        sample = SmallestByHash(20_000)
        for text in order:
            sample.add(("s", "en", text))
        samples.append(sample.take(20_000))
    assert samples[0] == samples[1]
    size = sum(len(text.encode()) for _, _, text in samples[0])
    assert 20_000 <= size < 22_000
