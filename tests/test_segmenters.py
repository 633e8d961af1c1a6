"""Segmenters by name: words, what they need, and that measures take what any of them gives."""

import pyarrow as pa
import pytest
from hypothesis import given
from unicode_texts import BATCHES

from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.segmenters import SEGMENTERS, layout, segmenter_depends


def words(text: str, segmenter: str) -> list[str]:
    return layout(batch_of([text]), Scratch(), segmenter).words(0)


def batch_of(texts: list[str | None]) -> pa.RecordBatch:
    langs = pa.array([None] * len(texts), pa.string())
    return pa.record_batch({"text": pa.array(texts, pa.large_string()), "lang": langs})


@given(BATCHES)
def test_whitespace_is_str_split(texts: list[str]) -> None:
    found = layout(batch_of([*texts]), Scratch(), "whitespace")
    assert [found.words(row) for row in range(len(texts))] == [text.split() for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我们在北京大学学习中文。", ["我们", "在", "北京", "大学", "学习", "中文", "。"]),
        ("東京大学で日本語を勉強", ["東京", "大学", "で", "日本語", "を", "勉強"]),
        ("ภาษาไทยเป็นภาษาที่สวยงาม", ["ภาษา", "ไทย", "เป็น", "ภาษา", "ที่", "สวยงาม"]),
        ("ພາສາລາວເປັນພາສາ", ["ພາສາ", "ລາວ", "ເປັນ", "ພາສາ"]),
        ("ភាសាខ្មែរជាភាសា", ["ភាសាខ្មែរ", "ជា", "ភាសា"]),
        ("မြန်မာဘာသာစကား", ["မြန်မာဘာသာ", "စကား"]),
        ("a 😀 don't", ["a", "😀", "don't"]),
    ],
)
def test_icu_cuts_scripts_without_spaces_by_dictionary(text: str, expected: list[str]) -> None:
    pytest.importorskip("icu4py")
    assert words(text, "icu") == expected


@pytest.mark.parametrize("segmenter", ["auto", "spacy-en", "whitespace", "icu"])
def test_measures_take_any_words(segmenter: str) -> None:
    if segmenter == "icu":
        pytest.importorskip("icu4py")
    stage = Gopher(segmenter=segmenter)  # type: ignore[arg-type]  # one of its literals
    columns = stage.open().measure(batch_of(["我们在北京大学学习中文。A b.", None, ""]), Scratch())
    assert columns["gopher_words"].to_pylist()[1:] == [0, 0]
    assert stage.depends == segmenter_depends(segmenter)


def test_every_segmenter_is_listed() -> None:
    assert set(SEGMENTERS) == {"auto", "spacy-en", "whitespace", "icu", "datatrove"}
    assert segmenter_depends("icu") == ("icu4py",)
