"""The keyed shuffle: a permutation for every size and key, even for tiny ones, without a visible pattern."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.mixtures.permutation import NUM_ROUNDS, bit_length, derive, mix, name_key, permute

MASK = (1 << 64) - 1


def permuted(size: int, key: int) -> list[int]:
    index = np.arange(size, dtype=np.uint64)
    sizes, keys = np.full(size, size, dtype=np.uint64), np.full(size, key, dtype=np.uint64)
    places: list[int] = permute(index, sizes, keys).tolist()
    return places


def plain_mix(value: int) -> int:
    """SplitMix64's finaliser in Python integers."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def plain_permute(index: int, size: int, key: int) -> int:
    """The same network, one element, in Python integers."""
    half = max(((size - 1).bit_length() + 1) // 2, 4)
    while True:
        left, right = index >> half, index & ((1 << half) - 1)
        for number in range(1, NUM_ROUNDS + 1):
            round_key = (key + number * 0x9E3779B97F4A7C15) & MASK
            left, right = right, left ^ (plain_mix(right ^ round_key) & ((1 << half) - 1))
        index = left << half | right
        if index < size:
            return index


def test_finaliser_gives_splitmix64() -> None:
    # The first three outputs of SplitMix64 with seed 0, as published with xoshiro (Vigna, splitmix64.c).
    state = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mix(state).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(size=st.integers(1, 3000), key=st.integers(0, MASK))
def test_every_element_comes_once(size: int, key: int) -> None:
    assert sorted(permuted(size, key)) == list(range(size))


@given(
    st.lists(st.tuples(st.integers(1, 1 << 62), st.integers(0, MASK), st.integers(0, MASK)), min_size=1, max_size=30)
)
def test_equals_plain_python_for_mixed_sizes_and_keys(cases: list[tuple[int, int, int]]) -> None:
    sizes = np.array([size for size, _, _ in cases], dtype=np.uint64)
    keys = np.array([key for _, key, _ in cases], dtype=np.uint64)
    index = np.array([place % size for size, _, place in cases], dtype=np.uint64)
    expected = [plain_permute(place % size, size, key) for size, key, place in cases]
    assert permute(index, sizes, keys).tolist() == expected


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_tiny_sources_meet_all_orders_equally(size: int) -> None:
    num_keys, orders = 40_000, math.factorial(size)
    keys = mix(np.arange(num_keys, dtype=np.uint64))
    sizes = np.full(num_keys, size, dtype=np.uint64)
    columns = [permute(np.full(num_keys, i, dtype=np.uint64), sizes, keys).tolist() for i in range(size)]
    counts = Counter(zip(*columns, strict=True))
    expected = num_keys / orders
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert len(counts) == orders
    assert chi_square < orders - 1 + 6 * math.sqrt(2 * orders)


@pytest.mark.parametrize("size", [1000, 4096, 65_537])
def test_no_lattice_and_no_correlation(size: int) -> None:
    order = np.array(permuted(size, 12345), dtype=np.float64)
    index = np.arange(size)
    limit = 5 / math.sqrt(size)
    assert abs(np.corrcoef(index, order)[0, 1]) < limit
    for lag in (1, 2, 16, 64, 256):
        assert abs(np.corrcoef(order[:-lag], order[lag:])[0, 1]) < limit
        # On a lattice a few differences would hold most neighbours.
        steps = (order[lag:] - order[:-lag]) % size
        assert Counter(steps.tolist()).most_common(1)[0][1] <= 12
    grid = np.histogram2d(index, order, bins=16)[0]
    expected = size / 256
    assert ((grid - expected) ** 2 / expected).sum() < 256 + 6 * math.sqrt(2 * 256)


def test_keys_differ_by_seed_name_and_epoch() -> None:
    assert len({name_key(seed, "rows", name) for seed in range(50) for name in ("web", "books", "a", "b")}) == 200
    assert len(set(derive(np.full(500, 7, dtype=np.uint64), np.arange(500, dtype=np.uint64)).tolist())) == 500


@given(st.integers(0, MASK))
def test_bit_length_is_exact(value: int) -> None:
    assert bit_length(np.array([value], dtype=np.uint64)).tolist() == [value.bit_length()]
