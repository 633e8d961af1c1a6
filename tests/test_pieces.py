"""Paragraphs and sentences: bytes and values by hand, and the same whatever the batch."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import Column
from corpusmill.stages.measure.pieces import SCORED, cut_pieces


def share_of_x(pieces: Column) -> Column:
    """Scores a line by its share of the letter x; null for a blank one."""
    lines = [(piece or "").strip() for piece in pieces.to_pylist()]
    return pa.array([line.count("x") / len(line) if line else None for line in lines], pa.float32())


def scored(texts: list[str | None]) -> list[tuple[list[dict[str, float]], float | None]]:
    pieces = cut_pieces(pa.array(texts, type=pa.large_string()))
    lists, highest = pieces.scored(share_of_x(pieces.text))
    assert lists.type == SCORED
    return list(zip(lists.to_pylist(), highest.to_pylist(), strict=True))  # type: ignore[arg-type]  # untyped in Arrow


def test_spans_are_bytes_of_the_document() -> None:
    first, second, third = scored(["ä\n\nxa", None, "x"])
    assert first == ([{"start": 0, "end": 2, "score": 0.0}, {"start": 4, "end": 6, "score": 0.5}], 0.5)
    assert second == ([], None)
    assert third == ([{"start": 0, "end": 1, "score": 1.0}], 1.0)
    assert scored(["", " \n\n"]) == [([], None), ([], None)]
    assert scored([]) == []


@given(st.lists(st.one_of(st.none(), st.text(alphabet="xé \n", max_size=12)), max_size=6), st.integers(0, 6))
def test_spans_are_the_lines_and_slices_change_nothing(texts: list[str | None], start: int) -> None:
    whole = scored(texts)
    pieces = cut_pieces(pa.array(texts, type=pa.large_string()).slice(start))
    lists, highest = pieces.scored(share_of_x(pieces.text))
    assert list(zip(lists.to_pylist(), highest.to_pylist(), strict=True)) == whole[start:]
    for text, (spans, _) in zip(texts, whole, strict=True):
        data = (text or "").encode()
        cut = [data[int(span["start"]) : int(span["end"])] for span in spans]
        assert cut == [line for line in data.split(b"\n") if line.strip()]


SENTENCES = [
    ["Dr. Smith came. ", "He saw 3.5 m. of wall! ", "(Then he left.) ", '"Why?" ', "asked J. R. Jones."],
    ["你好。", "“他说什么？”", "再见！"],
    ["これは本です。", "「はい」と言った。"],
    ["مرحبا بك؟ ", "نعم۔ ", "شكرا"],
    ["यह घर है। ", "वह पेड़ है।"],
    ["wait... ", "What"],
    ["no full stop.then more"],
    ["One.\n", "Two. ", "Three"],
    ["สวัสดี ครับ ผม ชื่อ"],
]


def test_sentences_by_hand() -> None:
    for expected in SENTENCES:
        text = "".join(expected)
        found = cut_pieces(pa.array(["x. Y", text], type=pa.large_string()).slice(1), "sentence").text.to_pylist()
        if expected[0].startswith("Dr."):  # titles are not known: a sentence too many, no text lost
            assert found == ["Dr. ", "Smith came. ", *expected[1:]]
        elif expected[0].startswith("wait"):
            assert found == [text]
        else:
            assert found == expected


@given(st.lists(st.text(alphabet="aB .?!。”“\n(中J", max_size=20), max_size=4))
def test_sentences_lose_nothing(texts: list[str]) -> None:
    pieces = cut_pieces(pa.array(texts, type=pa.large_string()), "sentence")
    joined = [""] * len(texts)
    for row, piece in zip(pieces.document.tolist(), pieces.text.to_pylist(), strict=True):
        joined[row] += piece or ""
    assert joined == texts
