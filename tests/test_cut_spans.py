from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.stage import SPANS
from corpusmill.stages.gather.cut_spans import joined_spans, span_lists

SPAN = st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(1, 5))  # document, start, bytes
LARGEST = ((1 << 24) - 1, (1 << 38) - 2)


def as_lists(spans: list[tuple[int, int, int]]) -> dict[int, list[dict[str, Any]]]:
    table = np.array(spans, dtype=np.int64).reshape(-1, 3)
    document, start, end = joined_spans(table[:, 0], table[:, 1], table[:, 1] + table[:, 2])
    documents, lists, sizes = span_lists(document, start, end, "cut")
    assert lists.type == SPANS
    found = dict(zip(documents.tolist(), lists.to_pylist(), strict=True))
    assert sizes.tolist() == [sum(span["end"] - span["start"] for span in each) for each in found.values()]
    return found


@given(spans=st.lists(SPAN, max_size=12))
def test_spans_cover_the_same_bytes_and_neither_meet_nor_overlap(spans: list[tuple[int, int, int]]) -> None:
    found = as_lists(spans)
    assert list(found) == sorted({document for document, _, _ in spans})
    for document, each in found.items():
        covered = {at for d, start, size in spans if d == document for at in range(start, start + size)}
        edges = [edge for span in each for edge in (span["start"], span["end"])]
        assert edges == sorted(set(edges))  # ascending, with a gap between
        assert covered == {at for span in each for at in range(span["start"], span["end"])}
        assert {span["how"] for span in each} == {"cut"}


def test_the_last_byte_of_the_last_document() -> None:
    document, at = LARGEST
    assert as_lists([(document, at, 1), (0, at, 1)]) == {
        d: [{"start": at, "end": at + 1, "how": "cut"}] for d in (0, document)
    }
