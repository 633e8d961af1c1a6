import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.repeated_windows import repeated_windows, window_texts
from corpusmill.stages.kernels.winnowing import roll

SAMPLE = "xyz"


def thue_morse(size: int) -> bytes:
    """A word whose polynomial hash modulo 2^64 equals that of its complement, from 1024 bytes on."""
    return bytes(ord("a") + at.bit_count() % 2 for at in range(size))


def repeated(
    texts: list[tuple[str, int, int, int]], length: int, bounds: list[int], together: int = 1000
) -> set[tuple[int, int]]:
    """(entry, window) that repeat a better one; an entry is (text, place of the sample in it, first byte, name)."""
    data, starts = text_buffers(pa.array([text for text, *_ in texts], pa.large_string()))
    places = pa.array([first + place for _, place, first, _ in texts], pa.int32()).to_numpy()
    firsts = pa.array([first for _, _, first, _ in texts], pa.int32()).to_numpy()
    names = pa.array([name for *_, name in texts], pa.uint64()).to_numpy()
    rows = pa.array(range(len(texts)), pa.uint64()).to_numpy()
    order = np.concatenate([np.arange(low, high)[::-1] for low, high in pairwise(bounds)])  # any order
    found = repeated_windows(
        order, np.array(bounds, np.int64), names, rows, places, firsts, data, starts, length, together
    )
    return {(entry, first + i) for entry, first, count in found.tolist() for i in range(count)}


def brute_force(texts: list[tuple[str, int, int, int]], length: int, bounds: list[int]) -> set[tuple[int, int]]:
    lost: set[tuple[int, int]] = set()
    for low, high in pairwise(bounds):
        best: dict[tuple[str, int], tuple[int, int, int]] = {}
        windows = []
        for entry in range(low, high):
            text, place, first, name = texts[entry]
            for at in range(len(text) - length + 1):
                kind, rank = (text[at : at + length], place - at), (name, entry, first + at)
                windows.append((kind, rank))
                best[kind] = min(best.get(kind, rank), rank)
        lost |= {rank[1:] for kind, rank in windows if best[kind] != rank}
    return lost


@settings(max_examples=300)
@given(data=st.data(), length=st.integers(3, 9), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_windows_that_repeat_a_better_one(data: st.DataObject, length: int, sizes: list[int]) -> None:
    """Texts around one sample that agree here and there; each window holds the sample."""
    around = st.text("ab", max_size=length - len(SAMPLE))
    texts = []
    for _ in range(sum(sizes)):
        left, right = data.draw(around), data.draw(around)
        if len(left + SAMPLE + right) < length:
            right += "a" * (length - len(left + SAMPLE + right))
        texts.append((left + SAMPLE + right, len(left), data.draw(st.integers(0, 5)), data.draw(st.integers(0, 3))))
    bounds = [0, *np.cumsum(sizes).tolist()]
    for together in (1, 10, 1000):  # in many passes, a few, or one
        assert repeated(texts, length, bounds, together) == brute_force(texts, length, bounds)


def test_many_texts_of_one_sample_and_then_few() -> None:
    """The table grows, and is small again for the next group."""
    rng, length = random.Random(3), 12
    texts = [
        ("".join(rng.choices("ab", k=9)) + SAMPLE + "".join(rng.choices("ab", k=9)), 9, rng.randrange(9), 0)
        for _ in range(3000)
    ]
    bounds = [0, 2990, 2993, 3000]
    found = repeated(texts, length, bounds, 1 << 18)
    assert found == brute_force(texts, length, bounds)
    assert len(found) > 1000
    assert repeated(texts, length, bounds, 5000) == found  # in passes


@pytest.mark.parametrize("size", [1024, 2048])
def test_bytes_decide_where_hashes_collide(size: int) -> None:
    word = thue_morse(size)
    other = bytes(ord("a") + ord("b") - byte for byte in word)
    hashes = np.empty((2, size), dtype=np.uint64)
    for made, text in zip(hashes, (word, other), strict=True):
        roll(np.frombuffer(text, np.uint8), size, np.uint64(0xD6E8FEB86659FD93), made)
    assert hashes[0, 0] == hashes[1, 0]
    texts = [(text.decode(), 0, 0, name) for name, text in enumerate((word, other, word))]
    assert repeated(texts, size, [0, 3]) == {(2, 0)}


def test_texts_of_windows() -> None:
    data, offsets = text_buffers(pa.array(["hello", "", "world"], pa.large_string()))
    documents, bounds = np.array([2, 0, 2], np.int64), np.array([0, 2, 5, 10], np.int64)
    firsts = pa.array([1, 2, 0], pa.int32()).to_numpy()
    assert window_texts(data, offsets, documents, firsts, bounds).tobytes() == b"orlloworld"
