"""toxic_passages: what is above the score or on a list goes, everything else stays byte for byte."""

from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.pipeline.stage import Rule
from corpusmill.stages.clean.toxic_passages import ToxicPassages

INSULT = "You stupid bitch, shut the fuck up."
PLAIN = ["The museum opens at nine.", "Its garden opens at ten.", "我喜欢这座花园。"]


def changed(stage: ToxicPassages, texts: list[str | None]) -> tuple[list[str | None], dict[str, list[object]]]:
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string())})
    made, columns = stage.open().change(batch)
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    return made.column("text").to_pylist(), {name: column.to_pylist() for name, column in columns.items()}


def test_a_toxic_sentence_is_cut_and_counted() -> None:
    text = f"{PLAIN[0]} {INSULT} {PLAIN[1]}\n{PLAIN[2]}"
    made, columns = changed(ToxicPassages(max_score=0.5), [text, PLAIN[1], "", None])
    assert made == [f"{PLAIN[0]} {PLAIN[1]}\n{PLAIN[2]}", PLAIN[1], "", None]
    assert columns["toxic_passages_num_cut"] == [1, 0, 0, 0]
    assert columns["toxic_passages_num_bytes"] == [len(INSULT) + 1, 0, 0, 0]
    assert columns["toxic_passages_num_all_bytes"] == [len(text.encode()), len(PLAIN[1]), 0, 0]


def test_paragraphs_and_tags() -> None:
    text = f"{PLAIN[0]}\n\n{INSULT}\n\n{PLAIN[1]}"
    made, _ = changed(ToxicPassages(max_score=0.5, unit="paragraph", how="tag"), [text])
    assert made == [f"{PLAIN[0]}\n\n[TOXIC]\n\n{PLAIN[1]}"]


def test_by_a_list_alone(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("garden\n花园\n", encoding="utf-8")
    stage = ToxicPassages(max_score=None, lists=(path,))
    made, _ = changed(stage, [" ".join(PLAIN), "Gardens."])
    assert made == [f"{PLAIN[0]} ", "Gardens."]
    assert stage.files() == (path,)


def test_nothing_found_gives_the_same_batch() -> None:
    batch = pa.record_batch({"text": pa.array([*PLAIN, None], type=pa.large_string())})
    assert ToxicPassages().open().change(batch)[0] is batch


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_splitting_a_batch_changes_nothing(cut: int) -> None:
    texts: list[str | None] = [f"{PLAIN[0]} {INSULT}", None, INSULT, " ".join(PLAIN)]
    stage = ToxicPassages(max_score=0.5)
    whole, _ = changed(stage, texts)
    assert whole == [*changed(stage, texts[:cut])[0], *changed(stage, texts[cut:])[0]]


def test_the_rule() -> None:
    share = ("toxic_passages_num_bytes", "toxic_passages_num_all_bytes")
    assert ToxicPassages().rules() == (Rule("toxic_passages.mostly_toxic", value=share, op=">", limit=0.3),)
    assert ToxicPassages(max_cut_share=None).rules() == ()
