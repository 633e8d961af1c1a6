"""spaCy's English words: known tokens of spaCy 3.8, properties, sentences; the whole comparison: test_originals.py."""

import pyarrow as pa
import pytest
from hypothesis import given
from unicode_texts import BATCHES, TEXTS

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.spacy_words import count_spacy_sentences, find_spacy_words
from corpusmill.stages.measure.segmenters import segment_as_spacy


def layout(texts: list[str]) -> list[list[str]]:
    words = segment_as_spacy(pa.record_batch({"text": pa.array(texts, pa.large_string())}))
    return [words.words(row) for row in range(len(texts))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't know.", ["I", "do", "n't", "know", "."]),
        ("She's (really) here!", ["She", "'s", "(", "really", ")", "here", "!"]),
        ("U.S. firms, e.g. mine...", ["U.S.", "firms", ",", "e.g.", "mine", "..."]),
        ("10km at 5% of $3.50", ["10", "km", "at", "5", "%", "of", "$", "3.50"]),
        ("See https://a-b.com/x?y=1, or a-b.com.", ["See", "https://a-b.com/x?y=1", ",", "or", "a-b.com", "."]),
        ("me@a-b.co.uk and a-b:c/d", ["me@a-b.co.uk", "and", "a", "-", "b", ":", "c", "/", "d"]),
        ("well-known--yes", ["well", "-", "known", "--", "yes"]),
        ("end.Start 3-4 C++ :) a.m.", ["end", ".", "Start", "3", "-", "4", "C++", ":)", "a.m."]),
        ('"Quoted,"  he\tsaid', ['"', "Quoted", ",", '"', "he", "said"]),
        ("gonna cannot dont", ["gon", "na", "can", "not", "do", "nt"]),
        ("I.B.M. 1.2.3.4-5 x>y", ["I.B.M.", "1.2.3.4", "-", "5", "x", ">", "y"]),
        ("你好,世界。", ["你好", ",", "世界", "。"]),
        ("", []),
    ],
)
def test_known_tokens(text: str, words: list[str]) -> None:
    assert layout([text]) == [words]


@given(BATCHES)
def test_words_are_the_text_without_white_space_and_alone_the_same(texts: list[str]) -> None:
    found = layout(texts)
    assert ["".join(words) for words in found] == ["".join(text.split()) for text in texts]
    assert found == [layout([text])[0] for text in texts]


@given(TEXTS)
def test_chunks_are_cut_on_their_own_seen_before_or_not(text: str) -> None:
    (once,) = layout([text])
    assert layout([f"{text} {text}"]) == [once + once]
    assert once == [word for chunk in text.split() for word in layout([chunk])[0]]


@pytest.mark.parametrize("text", ["(" * 100_000 + "x" + ")" * 100_000, "a-" * 100_000, "." * 200_000, "x" * 200_000])
def test_one_long_chunk(text: str) -> None:
    assert "".join(layout([text])[0]) == text


def sentences(text: str) -> int:
    data, offsets = text_buffers(pa.array([text], pa.large_string()))
    first, starts, num_bytes, _, _, flags = find_spacy_words(data, offsets)
    return int(count_spacy_sentences(data, offsets, first, starts, num_bytes, flags)[0])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three? Four", 4),
        ("One.) Two", 2),
        ("U.S. firms. They", 2),
        ("line\nline\n\nline", 3),
        ("One.  .", 2),  # white space beside a single blank is a token, and begins a sentence
        ("One. .", 1),
        ("一。 二", 2),
        ("一。二", 1),  # one token: the mark is split off at an end alone
        ("", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert sentences(text) == count
