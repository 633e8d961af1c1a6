"""The `.idx` against bytes written out by hand from the format's description."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.stages.tokens.megatron_index import index_bytes, read_index


def test_three_documents_of_two_byte_ids() -> None:
    by_hand = (
        b"MMIDIDX\x00\x00"
        + struct.pack("<Q", 1)
        + b"\x08"
        + struct.pack("<QQ", 3, 4)
        + struct.pack("<3i", 5, 1, 7)
        + struct.pack("<3q", 0, 10, 12)
        + struct.pack("<4q", 0, 1, 2, 3)
    )
    assert index_bytes(np.array([5, 1, 7]), 2) == by_hand


def test_four_byte_ids_are_called_int32_and_no_document_is_a_head_alone() -> None:
    assert index_bytes(np.array([5, 1]), 4)[17] == 4
    assert index_bytes(np.array([5, 1]), 4)[-40:-24] == struct.pack("<2q", 0, 20)
    empty = index_bytes(np.zeros(0, np.int64), 2)
    assert empty == b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, 0, 1) + struct.pack("<q", 0)


@given(st.lists(st.integers(1, 2**31 - 1), max_size=20), st.sampled_from([2, 4]))
def test_round_trip(lengths: list[int], token_bytes: int) -> None:
    found = read_index(index_bytes(np.array(lengths, np.int64), token_bytes), "x.idx")
    assert found.lengths.tolist() == lengths
    assert found.dtype.itemsize == token_bytes
    assert found.pointers.tolist() == [sum(lengths[:i]) * token_bytes for i in range(len(lengths))]
    assert found.document_indices.tolist() == list(range(len(lengths) + 1))


@pytest.mark.parametrize("cut", [0, 10, 33, 50])
def test_a_short_index_is_named(cut: int) -> None:
    with pytest.raises(DamagedFileError, match=r"x\.idx"):
        read_index(index_bytes(np.array([5, 1]), 2)[:cut], "x.idx")


def test_a_strange_head_is_named() -> None:
    data = index_bytes(np.array([5, 1]), 2)
    with pytest.raises(DamagedFileError, match="not an"):
        read_index(b"X" + data[1:], "x.idx")
