"""From a position of the plan to what is read there, in O(1): position -> (source, epoch, row).

A position's phase and block follow by division; the block's seeded shuffle gives a place among the block's draws, which
lie source by source; the draw's number among all draws of its source gives the epoch and, through the source's own
shuffle of that epoch, the row. Rows of a source are visited in an order that depends on the seed, the source's name and
the epoch alone. Cost: about 0.5 µs a position in batches of thousands, 0.3 ms for a single one.

A plan that continues another goes on with the draws that were not consumed: first those that the block under way had
left (at most a block of them, found again at start), then the next ones. So no row is lost or repeated by the change.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.permutation import derive, name_key, permute
from corpusmill.mixtures.plan import Plan, PlannedPhase
from corpusmill.mixtures.schedule import BlockDraws, Segment

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
        lengths = [phase.segment.rows for phase in plan.phases]
        self.phase_starts = plan.first_position + np.cumsum([0, *lengths], dtype=np.int64)
        totals = np.array([phase.segment.totals for phase in plan.phases], dtype=np.int64)
        self._drawn_before = np.cumsum(np.vstack([np.zeros_like(totals[:1]), totals]), axis=0)
        self._num_rows = np.array([source.num_rows for source in plan.sources], dtype=np.int64)
        keys = [name_key(plan.seed, "rows", source.name) for source in plan.sources]
        self._source_keys = np.array(keys, dtype=np.uint64)
        self._phases: dict[int, _PhaseDraws] = {}
        self._before = None if plan.before is None else _Before(plan)

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
        # np.unique would import numpy.ma: 27 ms of a start that takes 20.
        for phase in sorted(set(phase_of.tolist())):
            chosen = phase_of == phase
            if phase < 0:
                assert self._before is not None
                source[chosen], draw[chosen] = self._before.draws(positions[chosen])
                continue
            slots = positions[chosen] - self.phase_starts[phase]
            drawn_from, number = self._phase(phase).draws(slots)
            source[chosen] = drawn_from
            draw[chosen] = self.numbered(drawn_from, number + self._drawn_before[phase][drawn_from])
        return source, draw

    def numbered(self, source: Ints, drawn: Ints) -> Ints:
        """The numbers, among all draws of their sources, of the draws that come `drawn`-th in this plan's phases."""
        return drawn if self._before is None else self._before.numbered(source, drawn)

    def drawn_by(self, position: int) -> Ints:
        """Rows drawn from each source before `position`, int64 [sources]: exact at every position."""
        if self._before is not None and position <= self.plan.first_position:
            return self._before.drawn_by(position)
        drawn = self.drawn_here(position)
        return drawn if self.plan.before is None else drawn + np.array(self.plan.before.rows, dtype=np.int64)

    def drawn_here(self, position: int) -> Ints:
        """The same, of this plan's own phases alone."""
        phase = self.phase_at(position)
        drawn: Ints = self._drawn_before[phase].copy()
        if phase < len(self.plan.phases):
            drawn += self._phase(phase).drawn_by(position - int(self.phase_starts[phase]))
        return drawn

    def block_end(self, position: int) -> int:
        """Where the block ends that is under way at `position` (the position itself between blocks)."""
        phase = self.phase_at(position)
        start = int(self.phase_starts[min(phase, len(self.plan.phases))])
        if phase == len(self.plan.phases) or position == start:
            return position
        segment = self.plan.phases[phase].segment
        num_blocks = -(-(position - start) // segment.block_rows)
        return start + min(segment.rows, num_blocks * segment.block_rows)

    def phase_at(self, position: int) -> int:
        """The number of the phase that holds `position`; the number of phases at the plan's end."""
        return int(np.searchsorted(self.phase_starts[1:], position, side="right"))

    def phase_of(self, position: int) -> PlannedPhase:
        """The phase that holds `position`, the last one at the plan's end."""
        if self._before is not None and position < self.plan.first_position:
            return self._before.map.phase_of(position)
        return self.plan.phases[min(self.phase_at(position), len(self.plan.phases) - 1)]

    def learning_rate_at(self, position: int) -> float | None:
        """The phase's hint at a position, in a straight line between its ends; None where it has none."""
        if self._before is not None and position < self.plan.first_position:
            return self._before.map.learning_rate_at(position)
        number = min(self.phase_at(position), len(self.plan.phases) - 1)
        phase = self.plan.phases[number]
        if phase.learning_rate is None:
            return None
        first, last = phase.learning_rate
        return first + (last - first) * (position - int(self.phase_starts[number])) / phase.segment.rows

    def _phase(self, phase: int) -> "_PhaseDraws":
        if phase not in self._phases:
            key = name_key(self.plan.seed, "block", self.plan.first_position, phase)
            self._phases[phase] = _PhaseDraws(self.plan.phases[phase].segment, key)
        return self._phases[phase]


class _Before:
    """The plan that this one continues: its positions, and which draws it left."""

    def __init__(self, plan: Plan) -> None:
        assert plan.before is not None
        self.map = PositionMap(plan.before.plan)
        old_names = [source.name for source in plan.before.plan.sources]
        new_names = [source.name for source in plan.sources]
        self.new_index = np.array([new_names.index(name) for name in old_names], dtype=np.int64)
        self.num_sources = len(new_names)
        self._left, self._next = self._unconsumed(plan.before.position)

    def draws(self, positions: Ints) -> tuple[Ints, Ints]:
        source, draw = self.map.draws(positions)
        return self.new_index[source], draw

    def drawn_by(self, position: int) -> Ints:
        drawn = np.zeros(self.num_sources, dtype=np.int64)
        drawn[self.new_index] = self.map.drawn_by(position)
        return drawn

    def numbered(self, source: Ints, drawn: Ints) -> Ints:
        numbers = np.empty_like(drawn)
        for index in np.unique(source).tolist():
            chosen = source == index
            left, here = self._left[index], drawn[chosen]
            known = np.append(left, self._next[index])[np.minimum(here, len(left))]
            numbers[chosen] = known + np.maximum(here - len(left), 0)
        return numbers

    def _unconsumed(self, position: int) -> tuple[list[Ints], Ints]:
        """Numbers of the draws of each source that the block under way had left, in order, and the first number
        after them."""
        block_end = self.map.block_end(position)
        source, draw = self.map.draws(np.arange(position, block_end, dtype=np.int64))
        left = [np.zeros(0, dtype=np.int64) for _ in range(self.num_sources)]
        following = np.zeros(self.num_sources, dtype=np.int64)
        drawn = self.map.drawn_here(block_end)
        inner = self.map._before
        for old, new in enumerate(self.new_index.tolist()):
            still = np.zeros(0, dtype=np.int64) if inner is None else inner._left[old][int(drawn[old]) :]
            left[new] = np.sort(np.concatenate([draw[source == old], still]))
            after = np.array([max(int(drawn[old]), 0 if inner is None else len(inner._left[old]))], dtype=np.int64)
            following[new] = self.map.numbered(np.array([old], dtype=np.int64), after)[0]
        return left, following


class _PhaseDraws:
    """Slot of a phase -> (source, draw number within the phase)."""

    def __init__(self, segment: Segment, key: int) -> None:
        self.segment = segment
        self.key = np.uint64(key)
        self.blocks = BlockDraws(segment)
        self.num_sources = len(segment.start)

    def draws(self, slots: Ints) -> tuple[Ints, Ints]:
        rows, most = self.segment.rows, self.segment.block_rows
        block = slots // most
        self.blocks.reach(int(block.max(initial=-1)) + 1)
        block_start = block * most
        size = np.minimum(most, rows - block_start).view(np.uint64)
        key = derive(np.broadcast_to(self.key, slots.shape), block.view(np.uint64))
        place = permute((slots - block_start).view(np.uint64), size, key).view(np.int64) + block_start
        ends = self.blocks.ends.ravel()
        cell = np.searchsorted(ends[: self.blocks.known * self.num_sources], place, side="right")
        source = cell - block * self.num_sources
        draw = self.blocks.drawn[block + 1, source] - (ends[cell] - place)
        return source, draw

    def drawn_by(self, slot: int) -> Ints:
        block = slot // self.segment.block_rows
        self.blocks.reach(block)
        source, _ = self.draws(np.arange(block * self.segment.block_rows, slot, dtype=np.int64))
        drawn: Ints = self.blocks.drawn[block] + np.bincount(source, minlength=self.num_sources)
        return drawn
