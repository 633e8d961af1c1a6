"""Ids of the segment encoder against the library's own: made models of every kind, odd text, and the real data."""

import io
import itertools
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from token_run import ODD_TEXTS

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.kernels.segment_table import new_table
from corpusmill.stages.tokens.model_proto import SentencePieceModel
from corpusmill.stages.tokens.segment_encoder import SegmentEncoder, open_sentencepiece, segment_tables
from corpusmill.stages.tokens.sentencepiece_library import SentencePieceLibrary, sentencepiece_card
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.train_sentencepiece import train_sentencepiece

PLANES = "".join(chr(code) for code in range(0x20, 0x110000, 0x1FF) if not 0xD800 <= code < 0xE000)
TEXTS = [
    *ODD_TEXTS,
    "",
    " ",
    PLANES,
    "the cat sat on the mat, then the other cat sat there too. " * 20,
    "人民法院应当依照法律规定独立行使审判权。" * 20,
    "def f(x):\n    return x + 1\n\n\n        # comment\n" * 10,
    "<sep>a<sep><sep>b<sepp><se p>½ ½½ ｆｕｌｌ　ｗｉｄｔｈ ﬁ",
    "a\u2581b \u2581 c",
    "ab" * 3000 + "=" * 3000,
]

VARIANTS: dict[str, dict[str, object]] = {
    "lossless": {},
    "without byte fallback": {"byte_fallback": False},
    "NFKC": {"normalizer": "nmt_nfkc"},
    "NFKC without byte fallback": {"normalizer": "nmt_nfkc", "byte_fallback": False},
    "user-defined": {"user_defined": ("<sep>", "½", "th", "sat", "法律")},
    "user-defined with a space": {"user_defined": (" a", "cat sat")},
    "user-defined without byte fallback": {"user_defined": ("<sep>", "½½", "法律"), "byte_fallback": False},
    "unigram": {"train": "sentencepiece-unigram"},
    "unigram without byte fallback": {"train": "sentencepiece-unigram", "byte_fallback": False},
}

LEFT_TO_THE_LIBRARY = ("user-defined with a space", "unigram", "unigram without byte fallback")


@cache
def model(variant: str) -> bytes:
    texts = pa.array([text for text in TEXTS if text != PLANES], pa.large_string())
    return train_sentencepiece(texts, TokenizerSettings(vocab_size=600, **VARIANTS[variant]))  # type: ignore[arg-type]  # its fields


@cache
def both(variant: str) -> tuple[SentencePieceLibrary, SentencePieceLibrary]:
    card = sentencepiece_card(SentencePieceModel(model(variant)))
    ours = open_sentencepiece(SentencePieceModel(model(variant)), card)
    assert isinstance(ours, SentencePieceLibrary)
    assert isinstance(ours, SegmentEncoder) == (variant not in LEFT_TO_THE_LIBRARY)
    return ours, SentencePieceLibrary(SentencePieceModel(model(variant)), card)


def same(variant: str, texts: list[str]) -> None:
    ours, library = both(variant)
    column = pa.array(texts, pa.large_string())
    ids, offsets = ours.encode(column)
    expected = [library.processor.encode(text) for text in texts]
    for index, text in enumerate(texts):
        assert ids[offsets[index] : offsets[index + 1]].tolist() == expected[index], repr(text[:80])
    assert offsets[0] == 0
    assert len(ids) == offsets[-1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_odd_texts(variant: str) -> None:
    same(variant, TEXTS)
    same(variant, TEXTS[::-1])  # now mostly from the table


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "unigram" not in name])
@settings(max_examples=60)
@given(
    texts=st.lists(st.text(st.sampled_from("athe cs\n.=½<sep>法律人 \u2581\x00é\U0001f469"), max_size=120), max_size=5)
)
def test_drawn_texts(variant: str, texts: list[str]) -> None:
    same(variant, texts)


def test_a_megabyte_without_a_space() -> None:
    ours, library = both("lossless")
    text = "ab" * 500_000
    ids, _ = ours.encode(pa.array([text], pa.large_string()))
    assert ids.tolist() == library.processor.encode(text)


def test_batches_do_not_matter_and_slices_are_read_from_their_place() -> None:
    ours, _ = both("lossless")
    column = pa.array(TEXTS, pa.large_string())
    ids, offsets = ours.encode(column)
    for index in range(len(TEXTS)):
        one, _ = ours.encode(column.slice(index, 1))
        assert one.tolist() == ids[offsets[index] : offsets[index + 1]].tolist()


def test_a_table_that_overflows_is_emptied_and_stays_exact() -> None:
    ours, library = both("lossless")
    assert isinstance(ours, SegmentEncoder)
    ours.table = new_table()._replace(hashes=np.zeros(9, np.uint64))  # room for nine long segments
    text = " ".join("ab" * number for number in [*range(8, 40), *range(8, 40)])
    ids, _ = ours.encode(pa.array([text], pa.large_string()))
    assert ids.tolist() == library.processor.encode(text)
    assert ours.table.numbers[3] >= 6
    ours.table = new_table()


@pytest.mark.parametrize("variant", ["lossless", "NFKC", "unigram"])
def test_an_end_id_follows_every_text(variant: str) -> None:
    ours, _ = both(variant)
    column = pa.array([*TEXTS, "", ""], pa.large_string())
    ids, offsets = ours.encode(column)
    ended, ends = ours.encode(column, 7)
    assert np.array_equal(ends, offsets + np.arange(len(offsets)))
    assert ended.tolist() == [t for a, b in itertools.pairwise(offsets) for t in [*ids[a:b], 7]]
    with_end, ends = ours.encode(column, ours.card.end_of_document)
    assert np.array_equal(ours.lossless(column, with_end, ends), ours.lossless(column, ids, offsets))


def test_what_is_left_to_the_library_says_why() -> None:
    assert "unigram" in str(segment_tables(SentencePieceModel(model("unigram"))))
    assert "plain space" in str(segment_tables(SentencePieceModel(model("user-defined with a space"))))


def test_lossless_is_false_where_decoding_gives_other_text() -> None:
    for variant in ("lossless", "without byte fallback", "NFKC"):
        ours, library = both(variant)
        column = pa.array(TEXTS, pa.large_string())
        ids, offsets = ours.encode(column)
        expected = [library.decode(ids[a:b]) == text for a, b, text in zip(offsets, offsets[1:], TEXTS, strict=False)]
        assert ours.lossless(column, ids, offsets).tolist() == expected


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="needs the shared data")
def test_real_data_in_every_language() -> None:
    """A model of 12,000 pieces trained on the multilingual data; ids of up to 40 documents of every file."""
    folder = Path(os.environ["CORPUSMILL_DATA"])
    texts: list[str] = []
    for path in sorted([*folder.glob("domains/*.train.jsonl.zst"), *folder.glob("multilingual/**/*.jsonl.zst")]):
        with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as file:
            lines = [line for line, _ in zip(io.TextIOWrapper.__iter__(file), range(40), strict=False)]
        texts += [json.loads(line)["text"][:60_000] for line in lines]
    column = pa.array(texts, pa.large_string())
    data = train_sentencepiece(column.slice(0, 300), TokenizerSettings(vocab_size=12_000))
    read = SentencePieceModel(data)
    card = sentencepiece_card(read)
    ours, library = open_sentencepiece(read, card), SentencePieceLibrary(read, card)
    assert isinstance(ours, SegmentEncoder)
    found, expected = ours.encode(column), library.encode(column)
    assert np.array_equal(found[1], expected[1])
    assert np.array_equal(found[0], expected[0])
    assert len(texts) > 400


def test_an_end_that_text_can_become_is_refused() -> None:
    for end in (300, 10**6, -1):
        with pytest.raises(RequestError, match="no control piece"):
            sentencepiece_card(SentencePieceModel(model("lossless")), end)
    assert sentencepiece_card(SentencePieceModel(model("lossless")), 1).end_of_document == 1
