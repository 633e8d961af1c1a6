"""The text of ids against plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.stages.kernels.spelled_ids import spell

PIECES = [b"", b"a", b"\xe4\xb8", b"\xad", b" the", " 人".encode()]


@given(st.lists(st.lists(st.integers(0, len(PIECES) - 1), max_size=9), max_size=6))
def test_bytes_of_every_id_document_by_document(documents: list[list[int]]) -> None:
    expected = [b"".join(PIECES[i] for i in ids) for ids in documents]
    offsets = np.r_[0, np.cumsum([len(ids) for ids in documents])].astype(np.int64)
    piece_ends = np.r_[0, np.cumsum([len(piece) for piece in PIECES])].astype(np.int64)
    data, ends = np.zeros(sum(map(len, expected)), np.uint8), np.zeros(len(documents), np.int64)
    flat = np.array([i for ids in documents for i in ids], dtype=np.int64)
    spell(flat, offsets, piece_ends, np.frombuffer(b"".join(PIECES), np.uint8), data, ends)
    assert data.tobytes() == b"".join(expected)
    assert ends.tolist() == np.cumsum([len(text) for text in expected]).tolist()
