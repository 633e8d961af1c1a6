import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.span_edges import draw_in, pass_blanks


def buffers(*texts: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    return text_buffers(pa.array(texts, pa.large_string()))


@pytest.mark.parametrize(
    ("text", "start", "stop", "whole_words", "drawn"),
    [
        ("one two three", 2, 9, True, "two"),
        ("one two three", 2, 9, False, "e two t"),
        ("one two three", 0, 13, True, "one two three"),
        ("one two three", 1, 3, True, ""),
        ("one two three", 4, 7, True, "two"),
        ("äöü", 1, 5, False, "ö"),
        ("漢字漢字", 1, 11, True, "字漢"),
        ("ab", 1, 1, True, ""),
    ],
)
def test_spans_are_drawn_in(text: str, start: int, stop: int, whole_words: bool, drawn: str) -> None:
    starts, stops = np.array([start]), np.array([stop])
    draw_in(*buffers("before", text), np.array([1]), starts, stops, whole_words)
    assert text.encode()[starts[0] : stops[0]].decode() == drawn


@pytest.mark.parametrize(("text", "stop", "passed"), [("a b", 1, 2), ("a", 1, 1), ("a \t\n", 1, 4), ("ab", 1, 1)])
def test_blanks_are_passed_up_to_the_end_of_the_text(text: str, stop: int, passed: int) -> None:
    stops = np.array([stop])
    pass_blanks(*buffers("before", text, " after"), np.array([1]), stops)
    assert stops.tolist() == [passed]
