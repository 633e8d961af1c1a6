from collections import defaultdict

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.winnowing import BLOCK_WINDOWS, MAX_PERIOD, sample_windows

TEXTS = st.lists(st.sampled_from(["a", "b", "ab", "------", "|-|-|-", "abcabc"]), max_size=10).map("".join)


def least_period(window: bytes) -> int:
    """The shortest period up to MAX_PERIOD and half of the window; 0 without one."""
    for period in range(1, min(MAX_PERIOD, len(window) // 2) + 1):
        if all(window[i] == window[i - period] for i in range(period, len(window))):
            return period
    return 0


@settings(max_examples=200)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), length=st.integers(2, 20))
def test_equal_windows_have_equal_samples(texts: list[str], length: int) -> None:
    keys, found = sample_windows(*text_buffers(pa.array(texts, pa.large_string())), length)
    owners: dict[tuple[int, int], tuple[int, int, int]] = {}
    for key, (row, period, place, first, count) in zip(keys.tolist(), found.tolist(), strict=True):
        for window in range(first, first + count):
            assert (row, window) not in owners  # every window belongs to one sample
            within = (place - window) % period if period else place - window
            owners[row, window] = (key, period, within)
    by_content: dict[bytes, set[tuple[int, int, int]]] = defaultdict(set)
    for row, text in enumerate(texts):
        raw = text.encode()
        for window in range(len(raw) - length + 1):
            content = raw[window : window + length]
            key, period, within = owners.pop((row, window))
            assert period == least_period(content)
            by_content[content].add((key, period, within))
    assert not owners
    assert all(len(samples) == 1 for samples in by_content.values())


def test_keys_fill_their_range() -> None:
    """Ranges of keys are equal parts of a round only if keys are uniform; the least of many hashes is small."""
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh"), size=40_000))
    keys, _ = sample_windows(*text_buffers(pa.array([text], pa.large_string())), 100)
    counts = np.histogram(keys.astype(np.float64), bins=8, range=(0, 2.0**64))[0]
    assert len(keys) > 1000
    assert counts.min() > len(keys) / 16
    assert counts.max() < len(keys) / 4


def test_long_documents_are_looked_at_in_blocks() -> None:
    """Samples do not change where a block of windows ends: every window is worked out again on its own."""
    rng, length = np.random.default_rng(1), 30
    ends = [BLOCK_WINDOWS, 2 * BLOCK_WINDOWS]
    text = bytearray(rng.choice(list(b"abcdefgh"), size=2 * BLOCK_WINDOWS + 500).astype(np.uint8).tobytes())
    text[ends[0] - 40 : ends[0] + 60] = b"-=" * 50  # a periodic run goes on into the next block
    keys, found = sample_windows(*text_buffers(pa.array([text.decode()], pa.large_string())), length)
    owners = {}
    for key, (_, period, place, first, count) in zip(keys.tolist(), found.tolist(), strict=True):
        owners.update(dict.fromkeys(range(first, first + count), (key, period, place, first)))
    assert len(owners) == len(text) - length + 1
    assert owners[ends[0] - 40] == owners[ends[0] + 60 - length]
    for window in [at for end in ends for at in range(end - 100, end + 100)]:
        (key,), ((_, period, place, _, _),) = sample_windows(
            *text_buffers(pa.array([text[window : window + length].decode()], pa.large_string())), length
        )
        assert owners[window][:2] == (key, period)
        assert period or owners[window][2] == window + place
