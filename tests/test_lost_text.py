"""Marks and unknown ids, against Python's own search."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.lost_text import texts_with_id, texts_with_mark

NEAR = "a \u2581\u2580\u2582\u2181\u0081é中\u2596\U00012581\xe2"
"""The mark, characters that share bytes with it, and others."""


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(st.sampled_from(NEAR), max_size=30) | st.text(st.sampled_from("ab\u2580"), max_size=60)))
def test_texts_with_the_mark(texts: list[str]) -> None:
    for column in (pa.array(texts, pa.large_string()), pa.array(["\u2581", *texts], pa.large_string()).slice(1)):
        found = np.zeros(len(texts), np.bool_)
        texts_with_mark(*text_buffers(column), found)
        assert found.tolist() == ["\u2581" in text for text in texts]


@given(st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=5), st.booleans())))
def test_texts_with_an_id(rows: list[tuple[list[int], bool]]) -> None:
    ids = np.array([token for tokens, _ in rows for token in tokens], dtype=np.int32)
    offsets = np.r_[0, np.cumsum([len(tokens) for tokens, _ in rows])].astype(np.int64)
    found = np.array([before for _, before in rows], dtype=np.bool_)
    texts_with_id(ids, offsets, 2, found)
    assert found.tolist() == [before or 2 in tokens for tokens, before in rows]
