import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from corpusmill.stages.kernels.components import CONTAINMENT, JACCARD, component_roots, similarity


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40), st.randoms())
def test_components_are_scipys(num_nodes: int, pairs: list[tuple[int, int]], random: np.random.Generator) -> None:
    edges = np.array([(a % num_nodes, b % num_nodes) for a, b in pairs], dtype=np.int64).reshape(-1, 2)
    roots = component_roots(num_nodes, edges[:, 0].copy(), edges[:, 1].copy())
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(num_nodes, num_nodes))
    _, labels = connected_components(graph, directed=False)
    for root, label in zip(roots, labels, strict=True):
        assert root == np.flatnonzero(labels == label)[0]
    shuffled = list(range(len(edges)))
    random.shuffle(shuffled)
    again = component_roots(num_nodes, edges[shuffled, 1].copy(), edges[shuffled, 0].copy())
    assert np.array_equal(roots, again)


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_similarity_is_that_of_sets(left: set[int], right: set[int]) -> None:
    ours, theirs = (np.array(sorted(members), dtype=np.uint32) for members in (left, right))
    shared = len(left & right)
    assert similarity(ours, theirs, JACCARD) == pytest.approx(shared / max(1, len(left | right)), abs=0)
    assert similarity(ours, theirs, CONTAINMENT) == pytest.approx(shared / max(1, min(len(left), len(right))), abs=0)
