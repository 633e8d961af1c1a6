from collections import defaultdict

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.winnowing import MAX_PERIOD, sample_windows, window_hashes

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


@settings(max_examples=50)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), length=st.integers(2, 9))
def test_window_hashes_are_those_of_their_bytes(texts: list[str], length: int) -> None:
    windows = [max(0, len(text) - length + 1) for text in texts]
    rows = np.array([row for row, count in enumerate(windows) if count], dtype=np.int64)
    counts = np.array([count for count in windows if count], dtype=np.int64)
    starts = counts[::-1].cumsum()[::-1] - counts  # the last document's first
    hashes = window_hashes(
        *text_buffers(pa.array(texts, pa.large_string())), length, rows, np.zeros_like(counts), counts, starts
    ).tolist()
    contents = [texts[row][at : at + length] for row in rows[::-1] for at in range(windows[row])]
    assert len(hashes) == len(contents)
    assert len(set(zip(hashes, contents, strict=True))) == len(set(hashes)) == len(set(contents))
