"""From a position of the plan to what is read there, in O(1): position -> (source, epoch, row).

A position's phase and block follow by division; the block's seeded shuffle gives a place among the block's draws, which
lie source by source; the draw's number among all draws of its source gives the epoch and, through the source's own
shuffle of that epoch, the row. Rows of a source are visited in an order that depends on the seed, the source's name and
the epoch alone. Cost: about 0.5 µs a position in batches of thousands, 0.2 ms for a single one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.permutation import derive, name_key, permute
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.schedule import Segment, cumulative_draws

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Located:
    """What is read at some positions; all arrays are int64 [n]."""

    source: Ints  # index into the plan's sources
    draw: Ints  # how often the source had been drawn before, in the order of draws
    epoch: Ints
    row: Ints


class PositionMap:
    """The arithmetic of one plan, with the counts of the phases that were asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.phase_starts = np.cumsum([0, *(phase.segment.rows for phase in plan.phases)], dtype=np.int64)
        totals = np.array([phase.segment.totals for phase in plan.phases], dtype=np.int64)
        self._drawn_before = np.cumsum(np.vstack([np.zeros_like(totals[:1]), totals]), axis=0)
        self._num_rows = np.array([source.num_rows for source in plan.sources], dtype=np.int64)
        keys = [name_key(plan.seed, "rows", source.name) for source in plan.sources]
        self._source_keys = np.array(keys, dtype=np.uint64)
        self._phases: dict[int, _PhaseDraws] = {}

    def locate(self, positions: Ints) -> Located:
        """What is read at `positions` [n], any order. Raises IndexError outside the plan."""
        source, draw = self.draws(positions)
        num_rows = self._num_rows[source]
        epoch = draw // num_rows
        keys = derive(self._source_keys[source], epoch.view(np.uint64))
        row = permute((draw - epoch * num_rows).view(np.uint64), num_rows.view(np.uint64), keys)
        return Located(source, draw, epoch, row.view(np.int64))

    def draws(self, positions: Ints) -> tuple[Ints, Ints]:
        """(source, number of the draw among all of the source) at `positions` [n]."""
        positions = np.asarray(positions, dtype=np.int64)
        if len(positions) and (positions.min() < 0 or positions.max() >= self.plan.num_rows):
            outside = positions[(positions < 0) | (positions >= self.plan.num_rows)][0]
            raise IndexError(f"position {outside} of a plan with {self.plan.num_rows} rows")
        phase_of = np.searchsorted(self.phase_starts, positions, side="right") - 1
        source, draw = np.empty_like(positions), np.empty_like(positions)
        for phase in np.unique(phase_of).tolist():
            chosen = phase_of == phase
            slots = positions[chosen] - self.phase_starts[phase]
            source[chosen], draw[chosen] = self._phase(phase).draws(slots)
            draw[chosen] += self._drawn_before[phase][source[chosen]]
        return source, draw

    def drawn_by(self, position: int) -> Ints:
        """Rows drawn from each source before `position`, int64 [sources]: exact at every position."""
        phase = self.phase_at(position)
        if phase == len(self.plan.phases):
            every: Ints = self._drawn_before[-1].copy()
            return every
        slot = position - int(self.phase_starts[phase])
        drawn: Ints = self._drawn_before[phase] + self._phase(phase).drawn_by(slot)
        return drawn

    def phase_at(self, position: int) -> int:
        """The number of the phase that holds `position`; the number of phases at the plan's end."""
        return int(np.searchsorted(self.phase_starts[1:], position, side="right"))

    def _phase(self, phase: int) -> "_PhaseDraws":
        if phase not in self._phases:
            key = name_key(self.plan.seed, "block", phase)
            self._phases[phase] = _PhaseDraws(self.plan.phases[phase].segment, key)
        return self._phases[phase]


class _PhaseDraws:
    """Slot of a phase -> (source, draw number within the phase)."""

    def __init__(self, segment: Segment, key: int) -> None:
        self.segment = segment
        self.key = np.uint64(key)
        self.drawn = cumulative_draws(segment)
        self.num_sources = self.drawn.shape[1]
        counts = np.diff(self.drawn, axis=0)
        block_starts = np.arange(len(counts), dtype=np.int64)[:, None] * segment.block_rows
        # Where each source's draws end when the draws of each block are laid source by source: one sorted array.
        self.ends = (np.cumsum(counts, axis=1) + block_starts).ravel()
        self.counts = counts.ravel()

    def draws(self, slots: Ints) -> tuple[Ints, Ints]:
        rows, most = self.segment.rows, self.segment.block_rows
        block = slots // most
        block_start = block * most
        size = np.minimum(most, rows - block_start).view(np.uint64)
        key = derive(np.broadcast_to(self.key, slots.shape), block.view(np.uint64))
        place = permute((slots - block_start).view(np.uint64), size, key).view(np.int64) + block_start
        cell = np.searchsorted(self.ends, place, side="right")
        source = cell - block * self.num_sources
        draw = self.drawn[block, source] + place - (self.ends[cell] - self.counts[cell])
        return source, draw

    def drawn_by(self, slot: int) -> Ints:
        block = slot // self.segment.block_rows
        source, _ = self.draws(np.arange(block * self.segment.block_rows, slot, dtype=np.int64))
        drawn: Ints = self.drawn[block] + np.bincount(source, minlength=self.num_sources)
        return drawn
