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
    parent = np.arange(num_nodes)
    for edge in range(len(left)):
        a, b = _root(parent, left[edge]), _root(parent, right[edge])
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b
    for node in range(num_nodes):
        parent[node] = _root(parent, node)
    return parent


@kernel
def _root(parent: npt.NDArray[np.int64], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def similarity(left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32], measure: int) -> float:
    """|L ∩ R| / |L ∪ R| (JACCARD) or / min(|L|, |R|) (CONTAINMENT) of sorted distinct arrays; 0 where one is empty."""
    i = j = shared = 0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        shared += a == b
        i += a <= b
        j += b <= a
    if measure == CONTAINMENT:
        return shared / max(1, min(len(left), len(right)))
    return shared / max(1, len(left) + len(right) - shared)


def warmup() -> None:
    """Compile for the types that `minhash` uses."""
    edge = np.zeros(1, dtype=np.int64)
    component_roots(1, edge, edge)
