import pyarrow as pa
from gather_rounds import InMemory
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import ROW_BITS
from corpusmill.stages.gather.candidate_components import EDGES, candidate_components

PARTS = (5, 3, (1 << 40) - 1)
rows = st.builds(lambda part, row: (PARTS[part] << ROW_BITS) + row, st.integers(0, 2), st.integers(0, 30))


def plain(edges: list[tuple[int, int]]) -> dict[int, set[int]]:
    """row -> all rows of its component, by merging sets."""
    component: dict[int, set[int]] = {}
    for a, b in edges:
        merged = component.get(a, {a}) | component.get(b, {b})
        for row in merged:
            component[row] = merged
    return component


@given(st.lists(st.tuples(rows, rows), max_size=40))
def test_components_are_those_of_merged_sets(edges: list[tuple[int, int]]) -> None:
    left, right = [a for a, _ in edges], [b for _, b in edges]
    table = pa.table({"key": left, "row": left, "other": right}, schema=EDGES)
    found = pa.concat_tables(list(candidate_components(InMemory(table)))).to_pylist()
    expected = plain(edges)
    assert [line["key"] for line in found] == sorted(expected)
    for line in found:
        members = expected[line["key"]]
        assert (line["component"], line["minhash_num_candidates"]) == (min(members), len(members))


def test_no_edges() -> None:
    assert sum(table.num_rows for table in candidate_components(None)) == 0
