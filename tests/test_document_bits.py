"""proxy_bits: against reading one document token by token with the same weights."""

import math
from pathlib import Path

import pyarrow as pa
import pytest

pytest.importorskip("torch")

import sentencepiece
import torch
from small_proxy import small_parameters, write_proxy

from corpusmill.mixtures.proxy.document_bits import ProxyBits
from corpusmill.mixtures.proxy.transformer import final_states, logit_scale, shape_of
from corpusmill.pipeline.stage import Rule, Scratch

TEXTS = ["the cat sat", "", None, "a dog and a cat " * 9, "猫"]
LENGTH = 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_proxy(tmp_path_factory.mktemp("proxy"))


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
    parameters = small_parameters(shape.vocab_size)
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


def test_rules(trained: Path) -> None:
    made = ProxyBits(model=trained, tokenizer=trained / "tokenizer.model", max_bits=2.0, min_bits=0.2)
    assert made.rules() == (
        Rule("proxy_bits.too_many", value=("proxy_bits_per_byte",), op=">", limit=2.0),
        Rule("proxy_bits.too_few", value=("proxy_bits_per_byte",), op="<", limit=0.2),
    )
