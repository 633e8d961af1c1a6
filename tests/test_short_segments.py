"""Segments of one and two characters: what the tables hold is what the library gives, for every pair of a model."""

import numpy as np
import pyarrow as pa
import pytest
from test_segment_encoder import LEFT_TO_THE_LIBRARY, VARIANTS, both

from corpusmill.stages.kernels.segment_table import new_table
from corpusmill.stages.tokens.segment_encoder import SegmentEncoder


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in LEFT_TO_THE_LIBRARY])
def test_every_character_and_pair_of_the_model(variant: str) -> None:
    ours, library = both(variant)
    assert isinstance(ours, SegmentEncoder)
    ours.table = new_table()
    pieces = [piece.text.replace("\u2581", " ") for piece in ours.model.pieces]
    characters = sorted(set("".join(pieces)))
    pairs = {text[at : at + 2] for text in pieces for at in range(len(text) - 1)}
    texts = [
        *characters,
        *sorted(pairs),
        *(a + b for a in characters[::7] for b in characters[::5]),
        "\u2581",
        "法\u2581",
    ]
    column = pa.array([*texts, *texts], pa.large_string())
    ids, offsets = ours.encode(column)
    expected, ends = library.encode(column)
    assert np.array_equal(offsets, ends)
    assert np.array_equal(ids, expected)
    assert np.array_equal(ours.lossless(column, ids, offsets), library.lossless(column, expected, ends))
    ours.table = new_table()


def test_most_of_them_never_reach_the_table_of_segments() -> None:
    ours, _ = both("lossless")
    assert isinstance(ours, SegmentEncoder)
    ours.table = new_table()
    ours.encode(pa.array(["法律规定独立行使" * 5], pa.large_string()))
    before = int((ours.table.packed != 0).sum())
    ours.encode(pa.array(list("法律规定独立行使"), pa.large_string()))
    assert int((ours.table.packed != 0).sum()) == before
    assert int((ours.tables.alone != 0).sum()) > 50
    ours.table = new_table()
