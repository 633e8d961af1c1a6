"""Whole rows by block: within one row of the exact target everywhere, exact at the end, nothing at weight 0."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.mixtures.schedule import (
    MAX_PHASE_ROWS,
    BlockDraws,
    Ints,
    Segment,
    block_rows_for,
    whole_rows,
)


def cumulative_draws(segment: Segment) -> Ints:
    """All counts of a phase."""
    blocks = BlockDraws(segment)
    blocks.reach(segment.num_blocks)
    return blocks.drawn


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """Any phase: constant or linear, weights down to one row in the whole phase."""
    rows = draw(st.integers(1, 600))
    num_sources = draw(st.integers(1, 7))
    cuts = sorted(draw(st.lists(st.integers(0, rows), min_size=num_sources - 1, max_size=num_sources - 1)))
    totals = [high - low for low, high in zip([0, *cuts], [*cuts, rows], strict=True)]
    start = list(totals)
    if draw(st.booleans()):
        for giver in range(num_sources):
            taker = draw(st.integers(0, num_sources - 1))
            if giver != taker:
                most = min(start[giver], 2 * totals[taker] - start[taker])
                moved = draw(st.integers(0, most))
                start[giver] -= moved
                start[taker] += moved
    end = [2 * total - first for total, first in zip(totals, start, strict=True)]
    return Segment(rows, draw(st.integers(1, 70)), tuple(start), tuple(end))


def target(segment: Segment, slot: int, source: int) -> Fraction:
    """The integral of the linear rate, in rational numbers."""
    start, end, rows = segment.start[source], segment.end[source], segment.rows
    share = Fraction(slot, rows)
    return start * share + (end - start) * share * share / 2


@settings(max_examples=500)
@given(segments())
def test_counts_follow_the_targets(segment: Segment) -> None:
    drawn = cumulative_draws(segment)
    assert drawn.shape == (segment.num_blocks + 1, len(segment.start))
    for block, counts in enumerate(drawn.tolist()):
        slot = min(block * segment.block_rows, segment.rows)
        assert sum(counts) == slot
        unit = 2 * segment.rows**2
        for first, last, count in zip(segment.start, segment.end, counts, strict=True):
            assert abs(count * unit - slot * (first * (2 * segment.rows - slot) + last * slot)) < unit
    assert (np.diff(drawn, axis=0) >= 0).all()
    assert tuple(drawn[-1].tolist()) == segment.totals


@settings(max_examples=60)
@given(segments(), st.integers(1, 4), st.lists(st.integers(0, 600), max_size=4))
def test_counts_do_not_depend_on_how_far_was_asked(segment: Segment, few: int, asked: list[int]) -> None:
    pieces, whole = BlockDraws(segment, (few, few)), BlockDraws(segment, (1000, 1000))
    for num_blocks in (*(each % (segment.num_blocks + 1) for each in asked), segment.num_blocks):
        pieces.reach(num_blocks)
    whole.reach(segment.num_blocks)
    assert np.array_equal(pieces.drawn, whole.drawn)
    assert np.array_equal(pieces.ends, whole.ends)


def test_a_row_far_behind_the_window_comes_in_its_turn() -> None:
    # Sources that give one row in all, due in the last block: early slots go to the one with the nearest deadline.
    segment = Segment(4000, 40, (2, 1, 0, 3997), (0, 1, 2, 3997))
    pieces = BlockDraws(segment, (1, 1))
    pieces.reach(segment.num_blocks)
    assert np.array_equal(pieces.drawn, cumulative_draws(segment))
    assert pieces.drawn[-1].tolist() == [1, 1, 1, 3997]


@given(
    st.integers(1, MAX_PHASE_ROWS),
    st.lists(st.integers(0, MAX_PHASE_ROWS), min_size=1, max_size=20),
    st.data(),
)
def test_whole_parts_are_exact_at_every_size(rows: int, slots: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, rows))
    first = data.draw(st.integers(max(0, 2 * total - rows), min(rows, 2 * total)))
    last = 2 * total - first
    segment = Segment(rows, 1, (first, rows - first), (last, rows - last))
    slots = [slot % (rows + 1) for slot in slots]
    whole, remainder = whole_rows(np.array(slots, dtype=np.int64)[:, None], segment)
    for index, slot in enumerate(slots):
        for source in range(2):
            exact = target(segment, slot, source)
            assert int(whole[index, source]) == exact.__floor__()
            assert Fraction(int(remainder[index, source]), 2 * rows * rows) == exact - exact.__floor__()


def test_a_tiny_weight_is_drawn_at_its_time_and_zero_never() -> None:
    # One row in a million slots of 1,000-slot blocks: drawn once, the rest from the other source.
    segment = Segment(1_000_000, 1000, (1, 999_999, 0), (1, 999_999, 0))
    drawn = cumulative_draws(segment)
    assert drawn[-1].tolist() == [1, 999_999, 0]
    assert (drawn[:, 2] == 0).all()


def test_linear_schedule_by_hand() -> None:
    # From all a to all b over 8 slots: a's target after 2, 4, 6, 8 slots is 2 - 0.25, 4 - 1, 6 - 2.25, 8 - 4.
    drawn = cumulative_draws(Segment(8, 4, (8, 0), (0, 8)))
    assert drawn.tolist() == [[0, 0], [3, 1], [4, 4]]


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, 16), (4096, 16), (4351, 16), (4352, 32), (1 << 24, 1 << 16), (1 << 30, 1 << 16)]
)
def test_block_size(rows: int, expected: int) -> None:
    assert block_rows_for(rows) == expected
    assert block_rows_for(rows, 8) == 8
