import json
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gather_rounds import documents, run_gather, run_without_parts, split_parts

from corpusmill.stages.gather.decontaminate import Decontaminate

DATA = os.environ.get("CORPUSMILL_DATA")
QUESTIONS = "benchmarks/benchmark-questions-a.jsonl.zst"
needs_data = pytest.mark.skipif(DATA is None, reason="CORPUSMILL_DATA is not set")

LONG = (
    "A farmer has twelve red hens and each of them lays three brown eggs every week, so how many eggs does "
    "the farmer have after five weeks if he sells none?"
)
ITEMS = [
    {"benchmark": "farm", "id": 7, "question": LONG, "answer": "180"},
    {"benchmark": "farm", "subset": "short", "id": "a", "question": "Who painted Guernica?", "answer": "Picasso"},
    {"benchmark": "zh", "id": "b", "question": "水的沸点是多少摄氏度？", "choices": ["90", "100"], "answer": "B"},
    {"benchmark": "zh", "id": "c", "question": "水的沸点？", "answer": "100"},
    {"benchmark": "farm", "id": "d", "question": "Why not?", "answer": "because"},
    {"benchmark": "zh", "id": "e", "question": "下列哪一项是光合作用的主要产物之一？", "answer": "氧气"},
    {"benchmark": "th", "id": "f", "question": "ประเทศใดมีประชากรมากที่สุดในโลก", "answer": "อินเดีย"},
]
PADDING = "The committee met again on Tuesday and, having read the minutes, adjourned until the following month."


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "farm.jsonl"
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ITEMS), encoding="utf-8")
    return path


def found(stage: Decontaminate, texts: Sequence[str]) -> list[str | None]:
    """The item that drops each text."""
    decisions, _ = run_gather(stage, [[documents(texts)]])
    lines = decisions[0].to_pylist()
    assert all(line["keep"] is not (line["rule"] == "decontaminate.evaluation_item") for line in lines)
    return [json.loads(line["value"]) if line["value"] else None for line in lines]


def words_changed(first: int, last: int) -> str:
    words = LONG.split()
    return " ".join([*words[:first], *("other" for _ in words[first:last]), *words[last:]])


@pytest.mark.parametrize(
    ("passage", "item"),
    [
        ("", None),
        (LONG, "farm/7"),
        (LONG.upper().replace(" ", "\n  "), "farm/7"),
        (re.sub(r"[^\w\s]", "", LONG), "farm/7"),
        (LONG.replace("twelve", "thirteen"), "farm/7"),  # one word changed
        (LONG.replace("twelve ", ""), "farm/7"),
        (LONG.replace("twelve", "twelve big"), "farm/7"),
        (" ".join(LONG.split()[:13]), "farm/7"),  # 13 of 31 words from the beginning: 0.42
        (" ".join(LONG.split()[:12]), None),  # 12 of 31: 0.39
        (" ".join(LONG.split()[10:]), "farm/7"),  # 21 of 31 from elsewhere: 0.68
        (" ".join(LONG.split()[10:30]), None),  # 20 of 31: 0.645
        (words_changed(5, 15), "farm/7"),  # 21 of 31 in two runs
        (words_changed(5, 16), None),
        ("Who painted Guernica?", "farm/short/a"),
        ("who painted “guernica”", "farm/short/a"),
        ("Who painted the Guernica?", None),  # short items are found whole or not at all
        ("水的沸点是多少摄氏度", "zh/b"),
        ("水 的 沸点，是多少 摄氏度", "zh/b"),
        ("水的沸点是多少度", None),
        ("水的沸点？", None),  # 4 characters: not decidable
        ("Why not?", None),
        ("下列哪一项是光合作用的重要产物之一", "zh/e"),  # one of 17 characters changed
        ("下列哪项是光合作用的主要产物之一", "zh/e"),
        ("光合作用的产物", None),
        ("ประเทศใดมีประชากรมากที่สุดในจีน", "th/f"),
    ],
)
def test_what_is_found(suite: Path, passage: str, item: str | None) -> None:
    stage = Decontaminate(suites=(suite,))
    assert found(stage, [f"{PADDING} {passage} {PADDING}"]) == found(stage, [passage]) == [item]


def test_too_short_items_are_listed(suite: Path) -> None:
    assert Decontaminate(suites=(suite,)).open().undecidable() == ["zh/c", "farm/d"]


def test_evidence_shows_both_texts(suite: Path) -> None:
    text = f"{PADDING} 水的沸点是多少摄氏度：100 {PADDING}"
    decisions, rounds = run_gather(Decontaminate(suites=(suite,)), [[documents(["clean", text], ids=["x", "y"])]])
    (line,) = rounds["judge"].to_pylist()
    assert (line["id"], line["item"], line["decidable"], line["answer_near"]) == ("y", "zh/b", True, True)
    assert (line["passage"], line["question"]) == ("水的沸点是多少摄氏度", "水的沸点是多少摄氏度？")
    assert line["answer"] == "100"
    assert text.encode()[line["start"] : line["end"]].decode() == line["passage"]
    measured = decisions[0].select(["decontaminate_item", "decontaminate_overlap"]).to_pylist()
    assert [list(entry.values()) for entry in measured] == [[None, None], ["zh/b", 1.0]]


def test_short_items_that_are_common_without_their_answer_drop_nothing(suite: Path) -> None:
    stage = Decontaminate(suites=(suite,), common_documents=1)
    question = "Who painted Guernica?"
    answered = question + " Picasso did."
    assert found(stage, [question, answered, answered]) == ["farm/short/a"] * 3
    assert found(stage, [question, question, answered]) == [None] * 3
    assert found(stage, [LONG] * 3) == ["farm/7"] * 3  # long ones are decidable however often they are met


def test_function_words_alone_are_nobodys_question(tmp_path: Path) -> None:
    path = tmp_path / "suite.jsonl"
    questions = [
        "What do you do?",
        "Who are you?",
        "Who are the Beatles?",
        "What would you do if you were in my place?",
    ]
    path.write_text("\n".join(json.dumps({"id": str(i), "question": text}) for i, text in enumerate(questions)) + "\n")
    stage = Decontaminate(suites=(path,))
    assert stage.open().undecidable() == ["suite/0", "suite/1"]
    assert found(stage, [questions[0], questions[2].upper(), questions[3]]) == [None, "suite/2", "suite/3"]


@pytest.mark.parametrize("action", ["cut", "mark"])
def test_passages_can_be_cut_or_marked(suite: Path, action: str) -> None:
    text = f"Ä {LONG} and then: who painted guernica?"
    stage = Decontaminate(suites=(suite,), action=action)  # type: ignore[arg-type]  # a plain string from the table
    decisions, _ = run_gather(stage, [[documents(["clean", text])]])
    clean, line = decisions[0].to_pylist()
    assert (clean["keep"], clean["cut"]) == (True, None)
    assert line["keep"]
    assert {span["how"] for span in line["cut"]} == {action}
    cut = [text.encode()[span["start"] : span["end"]].decode() for span in line["cut"]]
    assert cut == [LONG.rstrip("?"), "who painted guernica"]


def test_fates_do_not_depend_on_parts_or_ranges(suite: Path) -> None:
    short = "Who painted Guernica?"
    texts = [LONG, PADDING, short, "", LONG[:100], short + " Picasso", "水的沸点是多少摄氏度"]
    ids = [f"s/{i}" for i in range(len(texts))]
    stage = Decontaminate(suites=(suite,))
    fates = []
    for parts, num_ranges in (([range(7)], 1), ([[6, 2, 0], [1, 5], [4, 3]], 4)):
        made = split_parts(texts, ids, parts, batch_rows=2)
        decisions, rounds = run_gather(stage, made, num_ranges)
        told = rounds["judge"].drop_columns(["key"]).sort_by([("id", "ascending"), ("item", "ascending")]).to_pylist()
        fates.append((told, sum(table.column("keep").to_pylist().count(False) for table in decisions)))
    assert fates[0] == fates[1]


def test_suites_can_be_patterns(suite: Path) -> None:
    assert Decontaminate(suites=(suite.parent / "*.jsonl",)).files() == (suite,)
    assert Decontaminate(suites=(suite.parent / "none-*.x",)).files() == (suite.parent / "none-*.x",)  # check names it


@pytest.mark.parametrize("settings_", [{"min_overlap": 0}, {"min_beginning": 1.5}, {"min_words": 2}])
def test_settings_are_checked(settings_: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings_))):
        Decontaminate(suites=(), **settings_)  # type: ignore[arg-type]  # wrong on purpose


def records(name: str) -> list[dict[str, Any]]:
    import io

    import zstandard

    with zstandard.open(Path(DATA or "") / name, "rb") as raw:
        return [json.loads(line) for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n")]


@needs_data
def test_recall_on_real_suites() -> None:
    """Every tenth item with at least 3 words or 8 CJK characters, planted into clean prose in four ways."""
    path = Path(DATA or "") / QUESTIONS
    rng = random.Random(5)
    planted: dict[str, list[tuple[str, str]]] = {"verbatim": [], "variant": [], "edited": [], "half": []}
    for record in records(QUESTIONS)[::10]:
        name, question = "/".join((record["benchmark"], record["subset"], record["id"])), record["question"]
        words = question.split()
        cjk = len(re.findall(r"[\u4e00-\u9fff]", question))
        if len(re.findall(r"\w\S*", question)) >= 3 or cjk >= 8:
            planted["verbatim"].append((name, question))
            planted["variant"].append((name, re.sub(r"[^\w\s]", " ", question).upper().replace(" ", " \n")))
        if len(words) >= 16:
            planted["half"].append((name, " ".join(words[: len(words) // 2])))
            at = rng.randrange(len(words))
            changed = rng.choice([[], ["zebra"], [words[at], "zebra"]])  # a word left out, changed, put in
            planted["edited"].append((name, " ".join([*words[:at], *changed, *words[at + 1 :]])))
    stage = Decontaminate(suites=(path,))
    worker = stage.open()
    listed = set(worker.undecidable())
    for way, least in (("verbatim", 1.0), ("variant", 1.0), ("edited", 0.95), ("half", 0.9)):
        pairs = planted[way]
        batch = documents([f"{PADDING}\n{text}\n{PADDING}" for _, text in pairs])
        _, rounds = run_gather(stage, [[batch]])
        hits = {(line["key"], line["item"]) for line in rounds["judge"].to_pylist()}
        missed = [name for row, (name, _) in enumerate(pairs) if (row, name) not in hits and name not in listed]
        assert len(missed) <= (1 - least) * len(pairs), (way, len(missed), len(pairs), missed[:20])


@needs_data
def test_planted_set() -> None:
    path = Path(DATA or "") / QUESTIONS
    rows = records("benchmarks/planted-contamination-a.jsonl.zst")
    got = found(Decontaminate(suites=(path,)), [row["text"] for row in rows])
    clean = [name for row, name in zip(rows, got, strict=True) if not row["contaminated"]]
    assert clean == [None] * len(clean)
    questions = {(row["benchmark"], row["subset"], row["id"]): row["question"] for row in records(QUESTIONS)}
    for row, name in zip(rows, got, strict=True):
        if row["contaminated"] and name is None:  # only halves of fewer than 16 words
            question = questions[row["benchmark"], row["subset"], row["question_id"]]
            assert row["kind"] == "first-half", row["id"]
            half = question[: len(question) // 2]
            assert len(re.findall(r"\w\S*", half)) + 0.375 * len(re.findall("[一-龥]", half)) < 16, half


DECON = Path(DATA or "") / "conformance/decon"


def decon_texts(name: str) -> list[str]:
    lines = (DECON / f"training/{name}.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line)["text"] for line in lines if line]


def decon_stage(reference: str, **settings: float) -> Decontaminate:
    suites = (DECON / f"reference/{reference}.jsonl",)
    return Decontaminate(suites=suites, suite_field="eval_key", item_field="doc_id", **settings)  # type: ignore[arg-type]


@needs_data
def test_conformance_cases() -> None:
    """Documents that allenai/decon's tests hold as contaminated with its reference questions, and its clean ones."""
    stage = decon_stage("question_reference")
    for path in sorted(DECON.glob("training/contaminated_*.jsonl")):
        if path.stem not in ("contaminated_mixed", "contaminated_edge_cases"):  # below: several documents each
            assert found(stage, decon_texts(path.stem)) == ["test-sat-en/101"], path.name
    assert found(stage, decon_texts("clean")) == [None] * 5


@needs_data
@pytest.mark.parametrize(
    "reference", ["question_reference", "question_answer_reference", "passage_question_answer_reference"]
)
def test_conformance_of_mixed_documents(reference: str) -> None:
    """What decon's test of this file asks: documents 0 and 3 hold items 101 and 102. A paraphrase, another subject and
    a worked solution of an item's equation do not hold its question."""
    expected = ["test-sat-en/101", None, None, "test-sat-en/102", None]
    assert found(decon_stage(reference), decon_texts("contaminated_mixed")) == expected


@needs_data
def test_conformance_of_edge_cases() -> None:
    """decon asks that a lower threshold finds no less. A passage without its question is two thirds of its item and is
    found; one that is reworded, or misspelt in three places, is no quotation of it."""
    texts = decon_texts("contaminated_edge_cases")
    assert found(decon_stage("question_reference"), texts) == [None, *["test-sat-en/101"] * 2, "test-sat-en/102", None]
    counts = []
    for overlap in (0.95, 0.65, 0.3):
        names = found(decon_stage("question_reference", min_overlap=overlap, min_beginning=overlap), texts)
        counts.append(sum(name is not None for name in names))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@needs_data
def test_conformance_of_several_items_in_one_document() -> None:
    _, rounds = run_gather(
        decon_stage("question_reference"), [[documents(decon_texts("contaminated_multiple_in_one"))]]
    )
    assert {line["item"] for line in rounds["judge"].to_pylist()} >= {"test-sat-en/101", "test-sat-en/102"}


def test_empty_corpus(suite: Path) -> None:
    run_without_parts(Decontaminate(suites=(suite,)))
    decisions, _ = run_gather(Decontaminate(suites=(suite,)), [[], [documents([""])]])
    assert [table.num_rows for table in decisions] == [0, 1]
    assert isinstance(decisions[0], pa.Table)
