import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.characters import character_classes
from corpusmill.stages.kernels.passage_edges import LINE, PARAGRAPH, SENTENCE, joined_hashes, piece_edges
from corpusmill.stages.kernels.sentence_spans import find_sentence_starts

TEXTS = st.lists(
    st.lists(
        st.sampled_from(
            ["a", "Bc", "。", ".", "?", "\n", " ", "\n \n", "\u2028", "ü", "J", "...", "३", "।", "คำ", "-"]
        ),
        max_size=25,
    ).map("".join),
    max_size=4,
)


def pieces(texts: list[str], unit: int) -> list[list[str]]:
    data, offsets = text_buffers(pa.array(texts, pa.large_string()))
    edges, rows = piece_edges(data, offsets, character_classes(), unit)
    assert (np.diff(edges) >= 0).all()
    found: list[list[str]] = [[] for _ in texts]
    for row, (start, end) in zip(rows, edges.reshape(-1, 2), strict=True):
        found[row].append(data[start:end].tobytes().decode())
    return found


@settings(max_examples=200)
@given(TEXTS)
def test_lines_and_paragraphs_are_those_of_python(texts: list[str]) -> None:
    for unit, split in ((LINE, "\n"), (PARAGRAPH, r"\n\s*\n")):
        expected = [[piece.strip() for piece in re.split(split, text) if piece.strip()] for text in texts]
        assert pieces(texts, unit) == expected


@settings(max_examples=200)
@given(TEXTS)
def test_sentences_are_lines_cut_where_sentences_begin(texts: list[str]) -> None:
    data, offsets = text_buffers(pa.array(texts, pa.large_string()))
    starts = find_sentence_starts(data, offsets, character_classes()).tolist()
    for row, found in enumerate(pieces(texts, SENTENCE)):
        raw, first = texts[row].encode(), int(offsets[row])
        cuts = {at - first for at in starts if first <= at < offsets[row + 1]} | {0, len(raw)}
        cuts |= {at + 1 for at, byte in enumerate(raw) if byte == 0x0A}
        expected = [raw[a:b].decode().strip() for a, b in pairwise(sorted(cuts))]
        assert found == [piece for piece in expected if piece]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two three? Four!", ["One.", "Two three?", "Four!"]),
        ("Mr. J. Smith came at 3.14 p. He left.", ["Mr.", "J. Smith came at 3.14 p.", "He left."]),
        ("他来了。你呢？好！\n再见", ["他来了。", "你呢？", "好！", "再见"]),
        ("यह एक है। वह दो है।", ["यह एक है।", "वह दो है।"]),
        ("هل جئت؟ نعم جئت.", ["هل جئت؟", "نعم جئت."]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert pieces([text], SENTENCE) == [expected]


def test_many_pieces() -> None:
    text = "\n".join(str(i) for i in range(5000))
    assert pieces(["x", text], LINE) == [["x"], text.split("\n")]


def test_joined_hashes_stay_in_their_row() -> None:
    hashes = np.array([1, 2, 3, 4, 1, 2, 3], dtype=np.uint64)
    joined, first = joined_hashes(hashes, np.array([0, 0, 0, 0, 1, 1, 2]), 2)
    assert first.tolist() == [0, 1, 2, 4]
    assert joined[0] == joined[3]
    assert len(set(joined.tolist())) == 3
    assert joined_hashes(hashes[:1], np.zeros(1, dtype=np.int64), 2)[0].tolist() == []
