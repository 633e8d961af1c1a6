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

Blocks are counted from the first on, as far as was asked for, so training starts at once: of 7,451 blocks of 200
sources (10^12 tokens in rows of 2,048) the first take 1 ms on one core, all 0.2 s; 24 MB of counts.
"""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
UInts = npt.NDArray[np.uint64]

MAX_PHASE_ROWS = (1 << 31) - (1 << 16)
"""Beyond this the remainder modulo 2^64 no longer tells the whole part: 4.4e12 tokens in rows of 2,048."""

MAX_BLOCK_ROWS = 1 << 16
MIN_BLOCK_ROWS = 16
BLOCKS_PER_PHASE = 256
WINDOW_BLOCKS = 16, 512
"""The fewest and the most blocks that are counted at a time."""


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

    @cached_property
    def ends(self) -> tuple[UInts, UInts]:
        """`start` and `end` as uint64 [sources]."""
        return np.array(self.start, dtype=np.uint64), np.array(self.end, dtype=np.uint64)


def block_rows_for(rows: int, most: int = MAX_BLOCK_ROWS) -> int:
    """Slots in a block: a power of two that gives a phase about 256 blocks, so that a schedule is followed in short
    phases too, between 16 and `most`."""
    wanted = 1 << max(0, (rows // BLOCKS_PER_PHASE - 1)).bit_length()
    return min(most, max(MIN_BLOCK_ROWS, wanted))


class BlockDraws:
    """The counts of a phase, block by block. Threads may share it.

    `drawn` is int64 [num_blocks + 1, sources]: rows drawn from each source before each block; the last row is the
    totals. `ends` is int64 [num_blocks, sources]: where each source's draws end when the draws of each block are laid
    source by source, so it is sorted throughout. Both hold as far as `reach` was called.
    """

    def __init__(self, segment: Segment, window: tuple[int, int] = WINDOW_BLOCKS) -> None:
        """`window` is the fewest and the most blocks counted at a time: it changes no count."""
        self.segment = segment
        self.drawn: Ints = np.zeros((segment.num_blocks + 1, len(segment.start)), dtype=np.int64)
        self.ends: Ints = np.empty((segment.num_blocks, len(segment.start)), dtype=np.int64)
        self.known = 0  # blocks that are counted
        self._window = window
        self._lock = threading.Lock()

    def reach(self, num_blocks: int) -> None:
        """Counts the first `num_blocks` blocks, if they are not."""
        if num_blocks <= self.known:
            return
        with self._lock:
            while self.known < num_blocks:
                fewest, most = self._window
                self._count(min(self.segment.num_blocks, self.known + min(max(self.known, fewest), most)))

    def _count(self, stop: int) -> None:
        """Counts the blocks from the last known one to `stop`."""
        segment, first = self.segment, self.known
        blocks = np.arange(first, stop, dtype=np.int64)[:, None]
        slots = self._slots(blocks)
        floors, remainders = whole_rows(slots, segment)
        # Sorted by the block in which the next draw is due, then by how much of it has been released already.
        urgency = 2 * self._next_growth(floors, first) - remainders / (2.0 * segment.rows**2)
        released = remainders > 0
        for number, end in enumerate(slots[:, 0].tolist()):
            block = first + number
            count = np.maximum(self.drawn[block], floors[number], out=self.drawn[block + 1])
            free = end - int(count.sum())
            if free:
                early = np.flatnonzero(released[number] & (count == floors[number]))
                count[early[urgency[number, early].argsort(kind="stable")[:free]]] += 1
        counts = np.diff(self.drawn[first : stop + 1], axis=0)
        np.add(counts.cumsum(axis=1), blocks * segment.block_rows, out=self.ends[first:stop])
        self.known = stop

    def _slots(self, blocks: Ints) -> Ints:
        """Slots of the phase until the end of each block."""
        return np.minimum((blocks + 1) * self.segment.block_rows, self.segment.rows)

    def _next_growth(self, floors: Ints, first: int) -> Ints:
        """For each block from `first` on and each source the first later block in which the whole part grows: where
        its next draw is due; the number of blocks where it grows no more. `floors` and what comes are [n, sources]."""
        stop = first + len(floors)
        due = np.empty_like(floors)
        due[-1] = self._growth_beyond(floors[-1], stop)
        grows = np.diff(floors, axis=0) > 0
        due[:-1] = np.where(grows, np.arange(first + 1, stop, dtype=np.int64)[:, None], due[-1])
        return np.minimum.accumulate(due[::-1], axis=0)[::-1]

    def _growth_beyond(self, floors: Ints, start: int) -> Ints:
        """The first block from `start` on in which each source's whole part is more than `floors` [sources]."""
        low, high = np.full_like(floors, start), np.full_like(floors, self.segment.num_blocks)
        for _ in range((self.segment.num_blocks - start).bit_length()):
            middle = (low + high) >> 1
            grown = whole_rows(self._slots(middle)[None], self.segment)[0][0] > floors
            high = np.where(grown, middle, high)
            low = np.where(grown, low, np.minimum(middle + 1, high))
        return high


def whole_rows(slots: Ints, segment: Segment) -> tuple[Ints, Ints]:
    """Whole part of F_s(t) and its remainder in units of 1 / (2 R^2) row: two arrays [n, sources]. `slots` is [n, 1],
    or [n, sources] with slots of its own for each source.

    A float gives the whole part to within one; the remainder modulo 2^64 is the true one because 2 R^2 < 2^63, and
    its sign and size correct the float.
    """
    start, end = segment.ends
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
