"""Connected components by union-find, and Jaccard or containment of sorted sets.

The union keeps the smaller index as root and halves paths (Tarjan and van Leeuwen 1984), so the result depends on the
edges alone, not on their order.
"""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import kernel

JACCARD, CONTAINMENT = 0, 1


@kernel
def component_roots(num_nodes: int, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 [num_nodes]: the least node of each node's component, for edges left[i] - right[i]."""
    parents = np.arange(1, num_nodes + 1)
    join_edges(parents, left, right)
    return roots_of(parents, np.arange(num_nodes))


@kernel
def band_edges(
    keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Edges from the least row of every run of equal (sorted) keys to each other row of it."""
    count = 0
    for i in range(1, len(keys)):
        count += keys[i] == keys[i - 1]
    least, others = np.empty(count, dtype=np.uint64), np.empty(count, dtype=np.uint64)
    filled = start = 0
    for stop in range(1, len(keys) + 1):
        if stop < len(keys) and keys[stop] == keys[start]:
            continue
        if stop - start > 1:
            first = rows[start:stop].min()
            for row in rows[start:stop]:
                if row != first:
                    least[filled], others[filled] = first, row
                    filled += 1
        start = stop
    return least[:filled], others[:filled]


@kernel
def join_edges(parents: npt.NDArray[np.int64], left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> None:
    """Take in the edges left[i] - right[i]. `parents` is each node's parent + 1, and 0 for one without an edge yet."""
    for edge in range(len(left)):
        a, b = root_of(parents, left[edge]), root_of(parents, right[edge])
        parents[b if a < b else a] = min(a, b) + 1
        parents[min(a, b)] = min(a, b) + 1


@kernel
def count_members(parents: npt.NDArray[np.int64], sizes: npt.NDArray[np.int32]) -> None:
    """Add every node that has an edge to the size of its root."""
    for node in range(len(parents)):
        if parents[node] != 0:
            sizes[root_of(parents, node)] += 1


@kernel
def roots_of(parents: npt.NDArray[np.int64], nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The least node of each of these nodes' components."""
    roots = np.empty(len(nodes), dtype=np.int64)
    for i in range(len(nodes)):
        roots[i] = root_of(parents, nodes[i])
    return roots


@kernel
def root_of(parents: npt.NDArray[np.int64], node: int) -> int:
    while parents[node] != 0 and parents[node] != node + 1:
        parent = parents[node] - 1
        parents[node] = parents[parent]
        node = parents[node] - 1
    return node


@kernel
def similarity(left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32], measure: int, least: float = 0.0) -> float:
    """|L ∩ R| / |L ∪ R| (JACCARD) or / min(|L|, |R|) (CONTAINMENT) of sorted distinct arrays; 0 where one is empty.

    Where it is below `least` it may be given as 0, which is found out early.
    """
    i = j = shared = 0
    smaller, both = min(len(left), len(right)), len(left) + len(right)
    needed = least * smaller if measure == CONTAINMENT else least * both / (1 + least)  # shared at the least
    missing = smaller - int(needed)  # this many of the smaller set may be without a partner
    if missing < 0:
        return 0.0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        shared += a == b
        i += a <= b
        j += b <= a
        if (i if len(left) == smaller else j) - shared > missing:
            return 0.0
    if measure == CONTAINMENT:
        return shared / max(1, smaller)
    return shared / max(1, both - shared)


def warmup() -> None:
    """Compile for the types that `minhash` uses."""
    keys = np.ones(2, dtype=np.uint64)
    band_edges(keys, keys)
    edge, parents = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    join_edges(parents, edge, edge)
    count_members(parents, np.zeros(1, dtype=np.int32))
    roots_of(parents, edge)
