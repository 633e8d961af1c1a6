"""The run's tokenizer: what it learns from, that it is the same each time, and tokenizers that are loaded."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from small_corpus import run_recipe
from token_run import kept_texts, manifest, recipe, token_run, write_documents

from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.model_proto import SentencePieceModel
from corpusmill.stages.tokens.sentencepiece_library import sentencepiece_card
from corpusmill.stages.tokens.token_settings import TokenizerSettings, TokenSettings
from corpusmill.stages.tokens.tokenizer_file import card_of, open_encoder
from corpusmill.stages.tokens.tokenizer_sample import (
    below,
    group_totals,
    sample_bits,
    sample_quotas,
    take_sample,
)
from corpusmill.stages.tokens.train_sentencepiece import STRETCH, stretches, train_sentencepiece
from corpusmill.stages.tokens.vocabulary import read_card


@pytest.mark.parametrize(
    ("total", "sample", "bits"),
    [(0, 100, 0), (100, 100, 0), (199, 100, 0), (200, 100, 1), (399, 100, 1), (400, 100, 2), (10**12, 10**8, 13)],
)
def test_leading_zero_bits_leave_at_least_twice_the_sample_but_for_the_last_halving(
    total: int, sample: int, bits: int
) -> None:
    assert sample_bits(total, sample) == bits
    assert bits == 0 or total >> bits >= sample


def test_the_sample_is_taken_in_hash_order_until_it_is_full() -> None:
    table = pa.table(
        {
            "hash": pa.array([30, 10, 20, 40], pa.uint64()),
            "row": pa.array([1, 2, 3, 4], pa.uint64()),
            "group": pa.array(["x", "y", "x", "y"], pa.string()),
            "text": pa.array(["c" * 5, "a" * 5, "b" * 5, "d" * 5], pa.large_string()),
        }
    )
    one = table.set_column(2, "group", pa.array([""] * 4))
    assert take_sample([one], {"": 11}).to_pylist() == ["aaaaa", "bbbbb", "ccccc"]
    assert take_sample([one.slice(0, 2), one.slice(2)], {"": 10}).to_pylist() == ["aaaaa", "bbbbb"]
    assert take_sample([one], {"": 1}).to_pylist() == ["aaaaa"]
    assert take_sample([], {"": 10}).to_pylist() == []
    assert take_sample([table], {"x": 1, "y": 10}).to_pylist() == ["aaaaa", "bbbbb", "ddddd"]
    assert take_sample([table], {"x": 6, "y": 0}).to_pylist() == ["bbbbb", "ccccc"]


TOTALS = {"web": {"en": 800, "zh": 200}, "books": {"en": 100, "unknown": 50}}


@pytest.mark.parametrize(
    ("weights", "quotas"),
    [
        ({}, {"": 120}),
        ({"source_weights": {"web": 3, "books": 1}}, {"web": 90, "books": 30}),
        ({"source_weights": {"books": 1}}, {"web": 0, "books": 120}),
        ({"language_weights": {"en": 1, "zh": 1}}, {"en": 60, "zh": 60, "unknown": 0}),
        ({"language_weights": {"en": 1, "unknown": 1}}, {"en": 70, "zh": 0, "unknown": 50}),  # it has no more
        (
            {"source_weights": {"web": 1, "books": 1}, "language_weights": {"en": 1, "zh": 2}},
            {"web/en": 30, "web/zh": 60, "books/en": 30, "books/unknown": 0},
        ),
    ],
)
def test_weights_share_the_sample(weights: dict[str, object], quotas: dict[str, int]) -> None:
    settings = TokenizerSettings(sample_bytes=120, **weights)  # type: ignore[arg-type]  # its fields
    assert sample_quotas(group_totals(TOTALS, settings), settings) == quotas


def test_weights_of_what_is_not_there_are_refused_with_what_is() -> None:
    settings = TokenizerSettings(language_weights={"fr": 1})
    with pytest.raises(RequestError, match="There is: en, unknown, zh"):
        sample_quotas(group_totals(TOTALS, settings), settings)


def test_each_group_has_leading_zero_bits_of_its_own() -> None:
    hashes = np.array([1 << 63, 1 << 62, 1 << 61, 0, 1 << 63], np.uint64)
    assert below(hashes, ["a", "a", "b", "b", "c"], {"a": 1, "b": 3}).tolist() == [False, True, False, True, False]
    assert below(hashes, [""] * 5, {"": 0}).all()


def test_stretches_are_the_text_cut_behind_lines_or_spaces() -> None:
    text = ("word " * 300 + "\n") * 9 + "x" * 9000 + "end"
    found = list(stretches(text))
    assert "".join(found) == text
    assert max(map(len, found)) <= STRETCH
    assert found[0].endswith(("\n", " "))
    assert list(stretches("")) == []


def test_held_out_documents_are_not_learned_from() -> None:
    run = token_run()
    sampled = [
        str(text)
        for r in receipts_of(run, "tokens/sample")
        for text in run.read_table(r.require("sample").path)["text"].to_pylist()
    ]
    texts = kept_texts(run)
    held = [s for s in manifest(run)["shards"] if s["split"] == "val"]
    names = [str(n) for s in held for n in run.read_table(f"{s['path']}.docs.parquet")["id"].to_pylist()]
    assert len(sampled) + len(names) == len(texts)
    assert sorted(sampled) == sorted(text for name, text in texts.items() if name not in names)


def test_the_trained_model_is_lossless_and_ends_documents_with_one_control_piece() -> None:
    run = token_run()
    model = sentencepiece.SentencePieceProcessor(model_file=run.path("tokenizer/tokenizer.model"))
    card = read_card(run)
    assert model.id_to_piece(card.end_of_document) == "<|endoftext|>"
    assert model.is_control(card.end_of_document)
    assert card.vocab_size == len(model)
    assert card.dtype.itemsize == 2
    for text in ("<|endoftext|>", "</s>", "<unk>", "<0x0A>"):
        ids = model.encode(text)
        assert card.end_of_document not in ids
        assert model.decode(ids) == text


def test_a_loaded_model_gives_the_same_tokens_as_the_run_that_trained_it(tmp_path: Path) -> None:
    write_documents(tmp_path / "in")
    model = token_run().path("tokenizer/tokenizer.model")
    run_recipe(recipe(tmp_path / "in", max_file_tokens=6000, tokenizer={"load": model}), tmp_path / "run")
    assert manifest(RunFolder(str(tmp_path / "run"))) == manifest(token_run())


def test_a_file_that_is_no_model_fails_by_name(tmp_path: Path) -> None:
    write_documents(tmp_path / "in", "a", 20)
    (tmp_path / "bad.model").write_bytes(b"hello")
    with pytest.raises(CorpusmillError, match="not a sentencepiece model"):
        run_recipe(recipe(tmp_path / "in", "a", tokenizer={"load": str(tmp_path / "bad.model")}), tmp_path / "run")
    with pytest.raises(RequestError, match="no such file"):
        run_recipe(recipe(tmp_path / "in", "a", tokenizer={"load": "nowhere.model"}), tmp_path / "run")


def test_the_end_of_a_document_is_chosen_by_name() -> None:
    model = SentencePieceModel(token_run().read_bytes("tokenizer/tokenizer.model"))
    assert sentencepiece_card(model, "<|endoftext|>").end_of_document == 1
    with pytest.raises(RequestError, match="choose one of"):
        sentencepiece_card(model, "the")


def test_an_encoder_opens_only_with_its_own_card() -> None:
    data = token_run().read_bytes("tokenizer/tokenizer.model")
    card = card_of(data, "sentencepiece-bpe")
    assert open_encoder(data, card).card == card
    from dataclasses import replace

    with pytest.raises(RequestError, match="content hash"):
        open_encoder(data, replace(card, hash="0" * 32))
    with pytest.raises(RequestError, match="unknown kind"):
        card_of(data, "morse")


@pytest.mark.parametrize(
    "settings",
    [
        {"train": "wordpiece"},
        {"vocab_size": 299},
        {"sample_bytes": 0},
        {"num_threads": 0},
        {"character_coverage": 0.5},
        {"pattern": "gpt2"},
        {"end_of_document": 3},
        {"source_weights": {"web": -1.0}},
        {"sample_bytes": 1 << 31, "train": "byte-level-bpe"},
        {"byte_fallback": False, "train": "byte-level-bpe"},
        {"normalizer": "nmt_nfkc", "train": "byte-level-bpe"},
    ],
)
def test_bad_tokenizer_settings_are_refused_by_name(settings: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=f"tokenizer.{next(iter(settings))}"):
        TokenizerSettings(**settings)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "settings",
    [{"held_out": 0.2}, {"num_buckets": 0, "bucket_by": "x"}, {"max_file_tokens": 2**28 + 1}, {"run_tokens": 0}],
)
def test_bad_token_settings_are_refused_by_name(settings: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=f"tokens.*{next(iter(settings))}"):
        TokenSettings(**settings)  # type: ignore[arg-type]  # wrong on purpose


def test_a_vocabulary_smaller_than_the_characters_is_refused_with_the_way_out() -> None:
    texts = pa.array(["".join(chr(0x4E00 + i) for i in range(2000))], pa.large_string())
    with pytest.raises(RequestError, match=r"vocab_size: 1000; .*characters alone are 2[0-9]+ pieces.*coverage"):
        train_sentencepiece(texts, TokenizerSettings(vocab_size=1000))
