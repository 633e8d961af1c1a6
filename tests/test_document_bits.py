"""proxy_bits: against reading one document token by token with the same weights."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

pytest.importorskip("torch")

import sentencepiece
import torch
from safetensors.torch import save_file

from corpusmill.mixtures.proxy.document_bits import ProxyBits
from corpusmill.mixtures.proxy.transformer import final_states, initial_parameters, logit_scale, shape_of
from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.stage import Rule, Scratch

TEXTS = ["the cat sat", "", None, "a dog and a cat " * 9, "猫"]
LENGTH = 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxy")
    lines = iter(["the cat sat on a mat", "a dog and a cat", "dogs sat and cats sat on the dog"] * 20)
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=lines,
        model_prefix=str(folder / "tokenizer"),
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    vocab_size = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).GetPieceSize()
    parameters = initial_parameters(shape_of("30k", vocab_size), [5])
    parameters["bias"] += torch.linspace(-1, 1, vocab_size)
    save_file(parameters, folder / "model.safetensors")
    (folder / "result.json").write_text(json.dumps({"size": "30k"}))
    return folder


def measured(stage: ProxyBits, texts: list[str | None]) -> list[float | None]:
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string())})
    columns = stage.open().measure(batch, Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    values: list[float | None] = columns["proxy_bits_per_byte"].to_pylist()
    return values


def stage_of(folder: Path, **settings: int) -> ProxyBits:
    return ProxyBits(model=folder, tokenizer=folder / "tokenizer.model", sequence_length=LENGTH, **settings)


def test_bits_are_those_of_reading_token_by_token(trained: Path) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(trained / "tokenizer.model"))
    shape = shape_of("30k", processor.GetPieceSize())
    parameters = initial_parameters(shape, [5])
    parameters["bias"] += torch.linspace(-1, 1, shape.vocab_size)
    for text, found in zip(TEXTS, measured(stage_of(trained), TEXTS), strict=True):
        if not text:
            assert found is None
            continue
        tokens = [processor.eos_id(), *processor.EncodeAsIds(text)]
        bits = 0.0
        for position in range(1, len(tokens)):
            start = (position - 1) // LENGTH * LENGTH
            states = final_states(parameters, shape, torch.tensor([[tokens[start:position]]]))[0, -1]
            logits = logit_scale(shape) * parameters["embedding"][0] @ states + parameters["bias"][0]
            bits -= float(logits.log_softmax(0)[tokens[position]]) / math.log(2)
        assert found == pytest.approx(bits / len(text.encode()), rel=1e-4)


def test_splitting_changes_nothing_but_the_last_digits(trained: Path) -> None:
    one = [value for text in TEXTS for value in measured(stage_of(trained), [text])]
    assert measured(stage_of(trained), TEXTS) == [value and pytest.approx(value, rel=1e-5) for value in one]


def test_of_a_long_text_the_beginning_is_read(trained: Path) -> None:
    long, short = measured(stage_of(trained, max_tokens=6), ["a dog and a cat " * 9, "a dog and a cat"])
    assert long is not None
    assert short is not None
    assert long == measured(stage_of(trained, max_tokens=6), ["a dog and a cat " * 50])[0]


def test_rules_and_wrong_files(trained: Path, tmp_path: Path) -> None:
    made = ProxyBits(model=trained, tokenizer=trained / "tokenizer.model", max_bits=2.0, min_bits=0.2)
    assert made.rules() == (
        Rule("proxy_bits.too_many", value=("proxy_bits_per_byte",), op=">", limit=2.0),
        Rule("proxy_bits.too_few", value=("proxy_bits_per_byte",), op="<", limit=0.2),
    )
    with pytest.raises(DamagedFileError, match="corpusmill train"):
        ProxyBits(model=tmp_path, tokenizer=trained / "tokenizer.model").open()
    small = initial_parameters(shape_of("30k", 280), [1])
    save_file(small, tmp_path / "model.safetensors")
    (tmp_path / "result.json").write_text(json.dumps({"size": "30k"}))
    with pytest.raises(RequestError, match="Give the tokenizer of its run"):
        ProxyBits(model=tmp_path, tokenizer=trained / "tokenizer.model").open()
    (tmp_path / "result.json").write_text(json.dumps({"size": "100k"}))
    with pytest.raises(DamagedFileError, match="not of size 100k"):
        ProxyBits(model=tmp_path, tokenizer=trained / "tokenizer.model").open()
