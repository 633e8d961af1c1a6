"""Ids of the fast byte-level encoder against tiktoken and HF tokenizers, on odd and real text."""

import io
import itertools
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from byte_level_tokenizers import TRAINING, changed, library, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from token_run import ODD_TEXTS

from corpusmill.pipeline.document import Column
from corpusmill.stages.kernels.segment_table import new_table
from corpusmill.stages.tokens.adversarial_texts import adversarial_texts
from corpusmill.stages.tokens.byte_level import ByteLevelLibrary
from corpusmill.stages.tokens.byte_level_encoder import ByteLevelEncoder, checked_encoder, open_byte_level
from corpusmill.stages.tokens.tokenizer_json import json_card, open_tokenizer_json

NAMES = [
    "cl100k",
    "o200k",
    "trained",
    pytest.param("neox", marks=pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="needs the shared data")),
]

VARIANTS: dict[str, dict[str, Any]] = {
    "o200k pattern": {},
    "runs of digits": {"split_digits": False},
    "cl100k pattern": {"pattern": "cl100k"},
    "gpt2 pattern": {"pattern": "gpt2", "split_digits": False},
    "NFC": {"normalizer": "nfc"},
    "NFKC": {"normalizer": "nfkc"},
    "user-defined": {"user_defined": ("<sep>", "  ", "½½", "sat", "法律")},
    "user-defined, NFC": {"user_defined": ("<sep>", "<sep><sep>", "éa"), "normalizer": "nfc"},
}
TEXTS = [
    *ODD_TEXTS,
    *TRAINING,
    "",
    "<sep>a<sep><sep><sep>b<sepp><se p>½ ½½ cat sat法律法律 e\u0301 É E\u0301<sep>\u0301éa e\u0301a",
    "a<|endoftext|>b <|endoftext|><|endoftext|>\n<|endoftext|> <sep><|endoftext|><sep>",
]


@cache
def fast(name: str) -> ByteLevelEncoder:
    found = checked_encoder(library(name))
    assert isinstance(found, ByteLevelEncoder), found
    return found


@cache
def variant(name: str) -> tuple[ByteLevelEncoder, ByteLevelLibrary]:
    data = trained(**VARIANTS[name])
    opened = open_tokenizer_json(data, json_card(data, None))
    found = checked_encoder(opened)
    assert isinstance(found, ByteLevelEncoder), found
    return found, opened


def same(ours: ByteLevelEncoder, theirs: ByteLevelLibrary, texts: Column) -> None:
    ids, offsets = ours.encode(texts)
    expected, ends = theirs.encode(texts)
    for row in np.flatnonzero(np.diff(offsets) != np.diff(ends)).tolist()[:1]:
        raise AssertionError(f"{str(texts[row])[:100]!r}")
    assert np.array_equal(ids, expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_trained_ones_of_every_kind(name: str) -> None:
    ours, theirs = variant(name)
    column = pa.array(TEXTS, pa.large_string())
    same(ours, theirs, column)
    same(ours, theirs, pa.array(TEXTS[::-1], pa.large_string()))  # now mostly from the table
    same(ours, theirs, column.slice(3, 5))


@pytest.mark.parametrize("name", ["o200k pattern", "NFKC"])
def test_an_end_id_follows_every_text(name: str) -> None:
    column = pa.array([*TEXTS, "", ""], pa.large_string())
    for encoder in variant(name):
        ids, offsets = encoder.encode(column)
        ended, ends = encoder.encode(column, 7)
        assert np.array_equal(ends, offsets + np.arange(len(offsets)))
        assert ended.tolist() == [t for a, b in itertools.pairwise(offsets) for t in [*ids[a:b], 7]]


@pytest.mark.parametrize("name", ["o200k pattern", "user-defined, NFC"])
@settings(max_examples=100)
@given(
    texts=st.lists(
        st.text(st.sampled_from("athe cs\n.=½<sep>法律人'é\u0301 E\u00a01\x00😀नि"), max_size=80), max_size=4
    )
)
def test_drawn_texts(name: str, texts: list[str]) -> None:
    same(*variant(name), pa.array(texts, pa.large_string()))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(texts=st.lists(st.text(max_size=60), max_size=4))
def test_published_ones_on_any_unicode(name: str, texts: list[str]) -> None:
    same(fast(name), library(name), pa.array(texts, pa.large_string()))


@pytest.mark.parametrize("name", NAMES)
def test_a_megabyte_without_a_space(name: str) -> None:
    for text in ("ab" * 500_000, "中文字" * 100_000, "=" * 300_000):
        if name in ("cl100k", "o200k") or not text.startswith("="):
            same(fast(name), library(name), pa.array([text], pa.large_string()))


@pytest.mark.parametrize("name", NAMES)
def test_control_tokens_spelled_out_stay_text(name: str) -> None:
    ours = fast(name)
    text = "a<|endoftext|>b<|fim_prefix|><|endofprompt|><|padding|>"
    ids, _ = ours.encode(pa.array([text], pa.large_string()))
    controls = {token.id for token in library(name).model.added if token.control} | {ours.card.end_of_document}
    assert not controls & set(ids.tolist())
    assert ours.decode(ids) == text


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="needs the shared data")
@pytest.mark.parametrize("name", NAMES)
def test_real_data_in_every_language(name: str) -> None:
    column = pa.array(real_texts(), pa.large_string())
    same(fast(name), library(name), column)
    ids, offsets = fast(name).encode(column)
    lossless = fast(name).lossless(column, ids, offsets)
    for row in range(0, len(column), 37):
        decoded = fast(name).decode(ids[offsets[row] : offsets[row + 1]])
        assert (decoded == str(column[row])) == bool(lossless[row])


@cache
def real_texts() -> list[str]:
    """Up to 15 documents of every file, 20 kB of each, and sentences in 128 languages and 532 translations."""
    folder = Path(os.environ["CORPUSMILL_DATA"])
    texts: list[str] = []
    files = [*folder.glob("domains/*.val.jsonl.zst"), *folder.glob("multilingual/**/*.jsonl.zst")]
    for path in sorted(files):
        texts += [str(line["text"])[:20_000] for line in lines(path, 15)]
    for path in (folder / "lid/ntrex-sentences-train.jsonl.zst", folder / "lid/udhr-odd-articles.jsonl.zst"):
        texts += [str(line["text"]) for line in lines(path, 1 << 20)[::9]]
    assert len(texts) > 4000
    return texts


def lines(path: Path, count: int) -> list[dict[str, Any]]:
    with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line, _ in zip(io.TextIOWrapper.__iter__(file), range(count), strict=False)]


def test_a_table_that_overflows_is_emptied_and_stays_exact() -> None:
    ours = fast("trained")
    ours.table = new_table()._replace(hashes=np.zeros(9, np.uint64))  # room for nine long segments
    text = " ".join("ab" * number for number in [*range(8, 40), *range(8, 40)])
    same(ours, library("trained"), pa.array([text], pa.large_string()))
    assert ours.table.numbers[3] >= 6
    ours.table = new_table()


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "not ByteLevel"),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
            "adds a space",
        ),
        (
            {
                "pre_tokenizer": {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                }
            },
            "does not split",
        ),
    ],
)
def test_what_is_left_to_the_library_says_why(
    parts: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = changed(trained(), **parts)
    opened = open_tokenizer_json(data, json_card(data, None))
    assert reason in str(checked_encoder(opened))
    assert isinstance(open_byte_level(opened), ByteLevelLibrary)
    assert reason in caplog.text


TOOLS = ("<tool_call>", "</tool_call>", "<think>", "<K>")


@cache
def with_tools() -> tuple[ByteLevelEncoder, ByteLevelLibrary]:
    """As Qwen has them: NFC, and added tokens that are no control tokens, looked for before normalising."""
    body = json.loads(trained(normalizer="nfc"))
    size = max(*body["model"]["vocab"].values(), *(token["id"] for token in body["added_tokens"])) + 1
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    added = [{"id": size + at, "content": text, **flags} for at, text in enumerate(TOOLS)]
    data = changed(trained(normalizer="nfc"), added_tokens=[*body["added_tokens"], *added])
    opened = open_tokenizer_json(data, json_card(data, None))
    found = checked_encoder(opened)
    assert isinstance(found, ByteLevelEncoder), found
    return found, opened


PARTS = [*TOOLS, "<|endoftext|>", "e\u0301", "e", "\u0301", "\u0338", "\u212a", "<", ">", "नि", " "]


@settings(max_examples=150)
@given(texts=st.lists(st.lists(st.sampled_from(PARTS), max_size=9).map("".join), max_size=4))
def test_added_tokens_before_normalising(texts: list[str]) -> None:
    """U+0338 makes another character of `>`, and the Kelvin sign becomes K: tokens go and appear."""
    same(*with_tools(), pa.array(texts, pa.large_string()))


def test_added_tokens_before_normalising_are_met_with_the_tables() -> None:
    ours, theirs = with_tools()
    same(ours, theirs, pa.array([text + "<tool_call>e\u0301" + text for text in TEXTS], pa.large_string()))
    assert ours.encode_by_table(pa.array(["<think>e\u0301</tool_call>"], pa.large_string())) is not None
    assert ours.encode_by_table(pa.array(["<\u212a> e\u0301"], pa.large_string())) is None


def test_a_tokenizer_that_adds_a_space_says_that_texts_are_not_the_same() -> None:
    data = changed(
        trained(),
        pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    )
    opened = open_byte_level(open_tokenizer_json(data, json_card(data, None)))
    column = pa.array(["a b", " a b", ""], pa.large_string())
    for end in (-1, opened.card.end_of_document):
        ids, offsets = opened.encode(column, end)
        decoded = [opened.decode(ids[a : b - (end >= 0)]) for a, b in itertools.pairwise(offsets)]
        assert opened.lossless(column, ids, offsets).tolist() == [
            found == text for found, text in zip(decoded, column.to_pylist(), strict=True)
        ]
        assert not opened.lossless(column, ids, offsets)[0]


def test_the_self_check_finds_an_engine_that_differs() -> None:
    """The library of another split pattern: tables of the one, ids of the other."""
    from dataclasses import replace

    right, other = library("trained"), variant("runs of digits")[1]
    wrong = replace(right, encode_batch=other.encode_batch)
    assert "differ" in str(checked_encoder(wrong))
    opens = replace(right, model=replace(right.model, pattern=r"\p{L}+|[^\p{L}]"))
    assert "differ" in str(checked_encoder(opens))


def test_a_pattern_that_leaves_text_out_goes_to_the_library() -> None:
    from dataclasses import replace

    ours = checked_encoder(replace(library("trained"), model=replace(library("trained").model, pattern=r"\p{L}+")))
    assert "leaves text out" in str(ours)


def test_adversarial_text_holds_what_it_says() -> None:
    text = "".join(adversarial_texts(library("trained").model))
    assert "<|endoftext|>" in text
    assert "ſ" in text
    assert max(map(ord, text)) > 0x10F000
