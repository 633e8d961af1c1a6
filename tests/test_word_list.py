"""Word lists: boundaries in every script, phrases, and the same whatever the batch."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule, Scratch
from corpusmill.stages.measure.word_list import WordFinder, WordList

CASES = [  # entry, text, how often
    ("ass", "Class, as and ass; ASS! (ass)", 3),
    ("ass", "assess the bass", 0),
    ("sex", "Essex Sussex sex", 1),
    ("blow job", "a blow\njob and blowjob and blow  job", 2),
    ("schwanz", "Schwanz, schwanzlos, ein Schwanz.", 2),
    ("straße", "Die STRASSE und die Straße", 1),
    ("хуй", "хуй, хуйня", 1),
    ("傻逼", "你这个傻逼，滚", 1),
    ("セックス", "セックス と セックスレス と アセックス", 1),
    ("変態", "この変態め", 1),
    ("씨발", "씨발아, 아씨발 씨발은", 2),
    ("เหี้ย", "ไอ้เหี้ยนี่", 1),
    ("เห", "เหี้ย", 0),  # without the vowel sign of its letter
    ("كلب", "يا كلب وكلبة", 1),
    ("ｆｕｃｋ", "fuck FUCK", 2),
    ("f*ck", "what the f*ck", 1),
    ("a b", "a", 0),
]


@pytest.mark.parametrize(("entry", "text", "expected"), CASES)
def test_boundaries(entry: str, text: str, expected: int) -> None:
    words, _, _ = WordFinder([entry]).find(pa.array([text], type=pa.large_string()))
    assert len(words) == expected


def counts(stage: WordList, texts: list[str | None]) -> list[tuple[object, object]]:
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string())})
    columns = stage.open().measure(batch, Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    return list(zip(*(column.to_pylist() for column in columns.values()), strict=True))


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("# a comment\nbad\nvery bad  # a phrase\n\n坏\n나쁜\n", encoding="utf-8")
    return path


def test_counts_and_rules(listed: Path) -> None:
    stage = WordList(lists=(listed,), max_found=2, max_share=0.1)
    found = counts(stage, ["Bad, very bad.", "好坏坏", "나쁜것 bad", "good", "", None])
    assert [number for number, _ in found] == [3, 2, 2, 0, 0, 0]
    assert found[3:] == [(0, 1), (0, 0), (0, 0)]
    assert stage.rules() == (
        Rule("word_list.too_many", value=("word_list_num_found",), op=">", limit=2),
        Rule("word_list.too_dense", value=("word_list_num_found", "word_list_num_words"), op=">", limit=0.1),
    )
    assert stage.files() == (listed,)


@given(st.lists(st.text(alphabet="bad very坏나쁜 .\n", max_size=20), max_size=5))
def test_splitting_changes_nothing(texts: list[str]) -> None:
    finder = WordFinder(["bad", "very bad", "坏", "나쁜"])
    words, first, _ = finder.find(pa.array(texts, type=pa.large_string()))
    for row, text in enumerate(texts):
        alone, _, _ = finder.find(pa.array([text], type=pa.large_string()))
        here = words[(words >= first[row]) & (words < first[row + 1])] - first[row]
        assert here.tolist() == alone.tolist()


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("# nothing\n")
    with pytest.raises(RequestError, match=r"none\.txt: no words are in it"):
        WordList(lists=(tmp_path / "none.txt",)).open()
