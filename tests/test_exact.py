import random

import pyarrow as pa
import pytest
from gather_rounds import documents, dropped_ids, run_gather, run_without_parts, split_parts
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.stage import DECISION_SCHEMA
from corpusmill.stages.gather.exact import Exact


def kept(texts: list[str], stage: Exact) -> list[bool]:
    decisions, _ = run_gather(stage, [[documents(texts)]])
    return [bool(keep) for keep in decisions[0].column("keep").to_pylist()]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [  # the weakest normalisation under which the two are the same text, "" for none
        ("a b", "a b", "none"),
        ("a b", " a \n\t b\u3000", "whitespace"),
        ("a b", "a\u00a0b", "whitespace"),
        ("a b", "ab", ""),
        ("a b", "A, b!", "words"),
        ("Straße É", "straße é", "words"),
        ("don't", "don t", "words"),
        ("don't", "dont", ""),
        ("漢字。", "漢字", "words"),
        ("कि", "की", ""),
        ("がく", "かく", ""),
        ("שָׁלוֹם", "שלום", "words"),
        ("ＡＢＣ", "abc", "words"),
        ("co\u00adoperate", "cooperate", "words"),
        ("1.5", "15", ""),
    ],
)
def test_normalisations(left: str, right: str, same: str) -> None:
    order = ["none", "whitespace", "words"]
    for number, normalize in enumerate(order):
        expected = bool(same) and number >= order.index(same)
        stage = Exact(normalize=normalize)  # type: ignore[arg-type]  # a plain string from the table
        assert kept([left, right], stage) == [True, not expected], normalize


@pytest.mark.parametrize(("text", "normalize"), [("", "none"), (" \n", "whitespace"), ("?!", "words")])
def test_nothing_left_to_compare_is_kept(text: str, normalize: str) -> None:
    assert kept([text, text], Exact(normalize=normalize)) == [True, True]  # type: ignore[arg-type]


def test_decision_names_the_winner() -> None:
    parts = [[documents(["x y", "other"])], [documents(["x  y"], first_row=1 << 24)]]
    decisions, rounds = run_gather(Exact(), parts, num_ranges=3)
    line = decisions[1].to_pylist()[0]
    assert decisions[1].schema.names == [*DECISION_SCHEMA.names, "exact_cluster_size"]
    assert (line["keep"], line["rule"], line["value"], line["threshold"]) == (False, "exact.duplicate", "2", "1")
    assert line["winner"] == 0
    assert line["exact_cluster_size"] == 2
    first = decisions[0].to_pylist()
    assert [entry["exact_cluster_size"] for entry in first] == [2, 1]
    assert first[0]["group"] == line["group"]
    assert first[1]["group"] is None
    evidence = rounds["groups"].to_pylist()
    assert [(entry["id"], entry["winner_id"]) for entry in evidence] == [
        ("s/00000000", None),
        ("s/16777216", "s/00000000"),
    ]


@pytest.mark.parametrize(
    ("stage", "winner"),
    [
        (Exact(), "a"),
        (Exact(keep="longest"), "c"),
        (Exact(keep="shortest"), "b"),
        (Exact(keep="highest", by="quality"), "d"),
        (Exact(keep="lowest", by="quality"), "b"),
        (Exact(keep="longest", prefer_sources=("books",)), "b"),
        (Exact(prefer_sources=("none", "wiki")), "d"),
    ],
)
def test_keep_policy(stage: Exact, winner: str) -> None:
    batch = documents(
        ["x  y", "x y", "x    y", "x  y"],
        ids=["a", "b", "c", "d"],
        sources=["web", "books", "web", "wiki"],
        quality=pa.array([None, 0.2, 0.4, 0.9], pa.float32()),
    )
    decisions, _ = run_gather(stage, [[batch]])
    assert dropped_ids([[batch]], decisions) == {name: ("exact.duplicate", winner) for name in "abcd" if name != winner}


@pytest.mark.parametrize(("keep", "by"), [("highest", None), ("first", "quality")])
def test_policy_is_checked(keep: str, by: str | None) -> None:
    with pytest.raises(ValueError, match="measured column"):
        Exact(keep=keep, by=by)  # type: ignore[arg-type]  # a plain string from the table


@settings(max_examples=30)
@given(
    texts=st.lists(st.text("ab \n漢", max_size=4), max_size=20),
    num_parts=st.integers(1, 4),
    num_ranges=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_fates_do_not_depend_on_parts_order_or_ranges(
    texts: list[str], num_parts: int, num_ranges: int, seed: int
) -> None:
    ids = [f"s/{i:03d}" for i in range(len(texts))]
    seen: dict[str, str] = {}
    expected = {}
    for name, text in zip(ids, texts, strict=True):  # a second implementation: a dictionary
        plain = " ".join(text.split())
        if plain and plain in seen:
            expected[name] = ("exact.duplicate", seen[plain])
        else:
            seen[plain] = name
    shuffled = list(range(len(texts)))
    random.Random(seed).shuffle(shuffled)
    parts = split_parts(texts, ids, [shuffled[i::num_parts] for i in range(num_parts)])
    decisions, _ = run_gather(Exact(), parts, num_ranges)
    assert dropped_ids(parts, decisions) == expected
    assert sum(table.num_rows for table in decisions) == len(texts)


def test_a_corpus_without_parts() -> None:
    run_without_parts(Exact())


def test_urls_can_be_compared_instead() -> None:
    batch = documents(["a", "b", "a", "a"], ids=list("abcd"))
    urls = pa.array(["http://www.x.org/p/", "https://x.org/p#top", None, "no url"], pa.string())
    parts = [[batch.set_column(batch.schema.get_field_index("url"), "url", urls)]]
    decisions, _ = run_gather(Exact(compare="url"), parts)
    assert dropped_ids(parts, decisions) == {"b": ("exact.duplicate_url", "a")}
