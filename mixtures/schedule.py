"""How many rows each source gives to each block of a phase: exact, whole numbers, no floats in the answer.

A phase has R slots; source s gives n_s of them, at a rate that runs in a straight line from `start` to `end` (equal
where the mixture is constant). Its cumulative target after t slots is the exact rational

    F_s(t) = t (start_s (2R - t) + end_s t) / (2 R^2),   F_s(R) = n_s = (start_s + end_s) / 2,   sum of F_s(t) = t

A draw is released when the target passes its number and due when the target reaches the next whole number. A block of
slots takes every draw that falls due in it, then released draws by earliest deadline. That is earliest-deadline-first
for unit jobs, which meets all deadlines whenever any order does; the fractional targets are such an order. So at every
block's end each source is less than one row from its target, counts never shrink, and phases end exactly.

Plain largest remainder with carry asks for negative draws under changing weights. Targets in units of 2^-32 row, which
we tried on paper first, are not needed: whole parts are exact by the remainder modulo 2^64 (see `whole_rows`).

Cost: 7,451 blocks of 200 sources (10^12 tokens in rows of 2,048) in about 0.3 s on one core; 6 MB of counts.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MAX_PHASE_ROWS = (1 << 31) - (1 << 16)
"""Beyond this the remainder modulo 2^64 no longer tells the whole part: 4.4e12 tokens in rows of 2,048."""

MAX_BLOCK_ROWS = 1 << 16
MIN_BLOCK_ROWS = 16
BLOCKS_PER_PHASE = 256


@dataclass(frozen=True)
class Segment:
    """One stretch of a plan. `start` and `end` [sources] are rows per R slots at its ends; both sum to `rows`."""

    rows: int
    block_rows: int
    start: tuple[int, ...]
    end: tuple[int, ...]

    def __post_init__(self) -> None:
        assert 0 < self.rows <= MAX_PHASE_ROWS
        assert self.block_rows > 0
        assert sum(self.start) == sum(self.end) == self.rows
        assert all(a >= 0 and b >= 0 and (a + b) % 2 == 0 for a, b in zip(self.start, self.end, strict=True))

    @property
    def totals(self) -> tuple[int, ...]:
        """Whole rows that each source gives to the phase."""
        return tuple((a + b) // 2 for a, b in zip(self.start, self.end, strict=True))

    @property
    def num_blocks(self) -> int:
        return -(-self.rows // self.block_rows)


def block_rows_for(rows: int, most: int = MAX_BLOCK_ROWS) -> int:
    """Slots in a block: a power of two that gives a phase about 256 blocks, so that a schedule is followed in short
    phases too, between 16 and `most`."""
    wanted = 1 << max(0, (rows // BLOCKS_PER_PHASE - 1)).bit_length()
    return min(most, max(MIN_BLOCK_ROWS, wanted))


def cumulative_draws(segment: Segment) -> Ints:
    """Rows drawn from each source before each block, int64 [num_blocks + 1, sources]; the last row is the totals."""
    ends = np.minimum(np.arange(1, segment.num_blocks + 1, dtype=np.int64) * segment.block_rows, segment.rows)
    floors, remainders = whole_rows(ends[:, None], segment)
    # Sorted by the block in which the next draw is due, then by how much of it has been released already.
    urgency = 2 * _next_growth(floors) - remainders / (2.0 * segment.rows**2)
    released = remainders > 0
    drawn = np.zeros((len(ends) + 1, floors.shape[1]), dtype=np.int64)
    for block, end in enumerate(ends.tolist()):
        count = np.maximum(drawn[block], floors[block], out=drawn[block + 1])
        free = end - int(count.sum())
        if free:
            early = np.flatnonzero(released[block] & (count == floors[block]))
            count[early[urgency[block, early].argsort(kind="stable")[:free]]] += 1
    return drawn


def whole_rows(slots: Ints, segment: Segment) -> tuple[Ints, Ints]:
    """Whole part of F_s(t) and its remainder in units of 1 / (2 R^2) row, for slots [n, 1]: two arrays [n, sources].

    A float gives the whole part to within one; the remainder modulo 2^64 is the true one because 2 R^2 < 2^63, and
    its sign and size correct the float.
    """
    start = np.array(segment.start, dtype=np.uint64)
    end = np.array(segment.end, dtype=np.uint64)
    t, twice = slots.astype(np.uint64), np.uint64(2 * segment.rows)
    divisor = np.uint64(2 * segment.rows**2)
    rate = start * (twice - t) + end * t  # modulo 2^64
    estimate = slots / segment.rows * ((start.astype(float) * (twice - t) + end.astype(float) * t) / float(twice))
    whole = np.floor(estimate).astype(np.int64)
    remainder = (t * rate - whole.astype(np.uint64) * divisor).view(np.int64)
    signed = np.int64(divisor)
    low, high = remainder < 0, remainder >= signed
    whole += high.astype(np.int64) - low
    remainder += np.where(low, signed, np.int64(0)) - np.where(high, signed, np.int64(0))
    return whole, remainder


def _next_growth(floors: Ints) -> Ints:
    """For each block and source the first later block in which the whole part grows: where its next draw is due."""
    num_blocks = len(floors)
    due = np.full(floors.shape, num_blocks, dtype=np.int64)
    grows = np.diff(floors, axis=0) > 0
    due[:-1] = np.where(grows, np.arange(1, num_blocks, dtype=np.int64)[:, None], num_blocks)
    return np.minimum.accumulate(due[::-1], axis=0)[::-1]
