import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.stages.kernels.bloom import add_keys, filter_shape, has_keys

KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=50)


@given(KEYS, KEYS)
def test_what_was_added_is_always_found(first: list[int], second: list[int]) -> None:
    num_bytes, num_hashes = filter_shape(100, 0.01)
    bits = np.zeros(num_bytes, dtype=np.uint8)
    for keys in (first, second):
        given_keys = np.array(keys, dtype=np.uint64)
        seen = add_keys(bits, given_keys, num_hashes)
        assert has_keys(bits, given_keys, num_hashes).all()
        for at, key in enumerate(keys):
            if key in keys[:at] or (keys is second and key in first):
                assert seen[at]


@pytest.mark.parametrize("error_rate", [0.1, 0.01, 0.001])
def test_the_error_is_what_was_asked_for(error_rate: float) -> None:
    """At capacity, over 200,000 new keys; the formula is an approximation, so a fifth more is allowed."""
    drawn = np.random.Generator(np.random.PCG64(3)).integers(0, 2**64, size=300_000, dtype=np.uint64)
    num_bytes, num_hashes = filter_shape(100_000, error_rate)
    assert num_bytes * 8 == pytest.approx(-100_000 * math.log(error_rate) / math.log(2) ** 2, abs=8)
    bits = np.zeros(num_bytes, dtype=np.uint8)
    early = add_keys(bits, drawn[:100_000], num_hashes).mean()
    errors = has_keys(bits, drawn[100_000:], num_hashes).mean()
    assert errors == pytest.approx(error_rate, rel=0.2)
    assert early < errors
