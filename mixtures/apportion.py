"""From exact shares of each phase to whole rows: every phase full, every count within one row, caps kept.

Each phase rounds down and gives what is left, a row each, to the largest remainders; a source that came out short in
the phases before goes first among equals, so tiny weights get their rows over many phases. Where a cap would leave a
phase short (the row that it could take was given away earlier), all phases are rounded together by a maximum flow:
the fractions are a flow, so a whole one exists (integrality of network flow).
"""

from collections.abc import Mapping
from fractions import Fraction
from math import floor

import numpy as np

from corpusmill.mixtures.weights import Ratios

WholeRows = dict[str, int]


def apportion(shares: list[Ratios], caps: Mapping[str, int]) -> list[WholeRows]:
    """Whole rows by phase. The shares of a phase sum to a whole number; over phases none is above its cap."""
    whole = [{name: floor(share) for name, share in phase.items()} for phase in shares]
    extra = _by_remainder(shares, whole, caps) or _by_flow(shares, whole, caps)
    for counts, names in zip(whole, extra, strict=True):
        for name in names:
            counts[name] += 1
    return whole


def _by_remainder(shares: list[Ratios], whole: list[WholeRows], caps: Mapping[str, int]) -> list[list[str]]:
    """The sources that get one row more in each phase; empty where a phase cannot be filled this way."""
    room = _room(whole, caps)
    owed: Ratios = {}
    extra: list[list[str]] = []
    for phase, counts in zip(shares, whole, strict=True):
        remainders = {name: share - counts[name] for name, share in phase.items()}
        num_free = int(sum(remainders.values(), Fraction(0)))
        able = [name for name, part in remainders.items() if part and room.get(name, 1) > 0]
        able.sort(key=lambda name: (-(remainders[name] + owed.get(name, Fraction(0))), name))
        chosen = able[:num_free]
        if len(chosen) < num_free:
            return []
        for name in chosen:
            if name in room:
                room[name] -= 1
        for name, part in remainders.items():
            owed[name] = owed.get(name, Fraction(0)) + part - (name in chosen)
        extra.append(chosen)
    return extra


def _room(whole: list[WholeRows], caps: Mapping[str, int]) -> dict[str, int]:
    """Rows that each capped source can take beyond the whole parts."""
    return {name: cap - sum(counts.get(name, 0) for counts in whole) for name, cap in caps.items()}


def _by_flow(shares: list[Ratios], whole: list[WholeRows], caps: Mapping[str, int]) -> list[list[str]]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    names = sorted({name for phase in shares for name in phase})
    room = _room(whole, caps)
    first_source, sink = 1 + len(shares), 1 + len(shares) + len(names)
    edges: list[tuple[int, int, int]] = []
    for index, (phase, counts) in enumerate(zip(shares, whole, strict=True)):
        open_names = [name for name in phase if phase[name] > counts[name]]
        edges.append((0, 1 + index, int(sum((phase[name] - counts[name] for name in phase), Fraction(0)))))
        edges += [(1 + index, first_source + names.index(name), 1) for name in open_names]
    edges += [(first_source + i, sink, min(room.get(name, len(shares)), len(shares))) for i, name in enumerate(names)]
    tails, heads, sizes = np.array(edges, dtype=np.int32).T
    graph = csr_array((sizes, (tails, heads)), shape=(sink + 1, sink + 1))
    flow = maximum_flow(graph, 0, sink).flow
    return [
        [name for i, name in enumerate(names) if flow[1 + index, first_source + i] > 0] for index in range(len(shares))
    ]


def endpoints(start: Ratios, end: Ratios, totals: WholeRows) -> tuple[WholeRows, WholeRows]:
    """Whole rates at the two ends of a phase, in rows per phase, that bring each source to its total.

    `start` and `end` are the exact rates; both results sum to the phase's rows and have start + end = 2 x total, so a
    source that is given a row more than its exact share carries it evenly.
    """
    rows = sum(totals.values())
    first: WholeRows = {}
    for name, total in totals.items():
        exact_start = start.get(name, Fraction(0))
        drift = total - (exact_start + end.get(name, Fraction(0))) / 2
        first[name] = min(max(round(exact_start + drift), 0), 2 * total)
    gap = rows - sum(first.values())
    while gap:
        step = 1 if gap > 0 else -1
        room = {name: (2 * totals[name] - count) if step > 0 else count for name, count in first.items()}
        for name in sorted(room, key=lambda name: (-room[name], name)):
            if gap and room[name]:
                first[name] += step
                gap -= step
    return first, {name: 2 * total - first[name] for name, total in totals.items()}
