import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from gather_rounds import documents, run_gather, run_without_parts, split_parts
from small_corpus import run_recipe

from corpusmill.pipeline.cli import cli
from corpusmill.pipeline.explain import explain
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.gather.known import Known
from corpusmill.stages.gather.saved_index import BloomSize, new_index
from corpusmill.stages.gather.shingling import PRESETS, Scheme

WORDS = [a + b + c for a in "bdfgk" for b in "aeio" for c in "lmn"]
SCHEME = Scheme(bands=40, rows=1, size=2, unit="word", same_numbers=False)


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(pairwise(words))


def corpora(seed: int) -> tuple[list[str], list[str]]:
    """Old texts, and new ones of which two in three are an old one with up to 8 words changed."""
    rng = random.Random(seed)
    old = [rng.choices(WORDS, k=30) for _ in range(40)]
    new = []
    for i in range(30):
        words = list(rng.choice(old)) if i % 3 else rng.choices(WORDS, k=30)
        for _ in range(rng.randrange(8)):
            words[rng.randrange(30)] = rng.choice(WORDS)
        new.append(" ".join(words))
    return [" ".join(words) for words in old], new


@pytest.mark.parametrize("measure", ["jaccard", "containment"])
@pytest.mark.parametrize("parts", [[range(30)], [[*range(29, 9, -2)], [*range(9)], [*range(10, 30, 2), 9]]])
def test_the_rule_in_plain_python(tmp_path: Path, measure: str, parts: list[list[int]]) -> None:
    """40 bands of one row bring together all but every pair that shares a few shingles."""
    old, new = corpora(1)
    index = new_index(str(tmp_path / "index"), SCHEME, None).add(
        "a", [documents(old[:25], ids=[f"o/{i}" for i in range(25)])]
    )
    index.add("b", [documents(old[25:], ids=[f"o/{i}" for i in range(25, 40)])])
    ids = [f"n/{i:02d}" for i in range(30)]
    stage = Known(index=tmp_path / "index", min_similarity=0.4, measure=measure)  # type: ignore[arg-type]
    decisions, rounds = run_gather(stage, split_parts(new, ids, parts), num_ranges=3)
    found = {line["id"]: line for line in rounds["compare"].to_pylist() if line["known"]}
    for name, text in zip(ids, new, strict=True):
        mine = shingles(text)
        theirs = {f"o/{i}": shingles(other) for i, other in enumerate(old)}
        true = {
            other: len(mine & members) / (len(mine | members) if measure == "jaccard" else min(len(mine), len(members)))
            for other, members in theirs.items()
        }
        assert (name in found) == (max(true.values()) >= 0.4), (name, max(true.values()))
        if name in found:
            line = found[name]
            assert line["similarity"] == pytest.approx(true[line["winner_id"]])
            assert line["estimated"] == pytest.approx(line["similarity"], abs=0.4)
            assert line["batch"] == ("a" if int(line["winner_id"][2:]) < 25 else "b")
            assert line["shared_bands"] >= 1
    assert 5 < len(found) < 25
    assert sum(table.column("keep").to_pylist().count(False) for table in decisions) == len(found)


def test_probes_are_limited_to_those_sharing_most_bands(tmp_path: Path) -> None:
    old, new = corpora(2)
    new_index(str(tmp_path / "index"), SCHEME, None).add("a", [documents(old)])
    lost = []
    for probes in (1, 256):
        stage = Known(index=tmp_path / "index", min_similarity=0.5, max_probes=probes)
        _, rounds = run_gather(stage, [[documents(new)]])
        lost.append({line["id"] for line in rounds["compare"].to_pylist() if line["known"]})
    assert lost[0] <= lost[1]
    assert len(lost[0]) >= 0.9 * len(lost[1]) > 5


def test_a_bloom_index(tmp_path: Path) -> None:
    old, _ = corpora(3)
    new_index(str(tmp_path / "index"), SCHEME, BloomSize(100, 1e-6)).add("a", [documents(old)])
    other = "entirely other words that were never in that index of ours"
    decisions, _ = run_gather(Known(index=tmp_path / "index"), [[documents([old[4], other, "", old[7]])]])
    assert decisions[0].column("keep").to_pylist() == [False, True, True, False]
    assert decisions[0].column("rule").to_pylist()[0] == "known.probably_in_bloom_index"


def test_empty_corpus_and_empty_index(tmp_path: Path) -> None:
    new_index(str(tmp_path / "index"), PRESETS["fineweb"], None).add("none", [])
    stage = Known(index=tmp_path / "index")
    run_without_parts(stage)
    decisions, _ = run_gather(stage, [[], [documents(["", "one two"])]])
    assert [table.num_rows for table in decisions] == [0, 2]


@pytest.mark.parametrize("settings", [{"min_similarity": 0}, {"max_probes": 0}])
def test_settings_are_checked(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Known(index=Path("x"), **settings)  # type: ignore[arg-type]  # wrong on purpose


def build(folder: Path, name: str, texts: list[str], stages: list[object]) -> str:
    lines = [json.dumps({"id": f"{name}{i}", "text": text}) for i, text in enumerate(texts)]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    sources = {"s": {"read": "jsonl", "paths": [str(folder / f"{name}.jsonl")], "id": "id"}}
    run_recipe({"format": 1, "name": name, "sources": sources, "stages": stages}, folder / name)
    return str(folder / name)


def command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, arguments)
    return (
        (2, str(done.exception)) if done.exception and not isinstance(done.exception, SystemExit) else (0, done.output)
    )


def test_a_second_month_against_the_first(tmp_path: Path) -> None:
    """Build, index add, index query, build with `known`, explain: the whole way with real commands."""
    old, _ = corpora(4)
    old = [f"{text} {text[::-1]}" for text in old]
    first = build(tmp_path, "october", old, ["minhash"])
    index = str(tmp_path / "index")
    code, told = command("index", "add", index, first)
    assert (code, told) == (0, f"{index}: 40 documents added as october; 40 in all\n")
    second = build(tmp_path, "november", [old[3] + " bal", "nothing like it at all in there", old[9]], ["minhash"])
    found = json.loads(command("index", "query", index, second, "--json")[1])
    assert [(line["id"], line["duplicate_of"]) for line in found["found"]] == [
        ("s/november0", "s/october3"),
        ("s/november2", "s/october9"),
    ]
    assert (
        found["found"][1] | {"true": 1.0, "estimated": 1.0, "shared_bands": 14, "batch": "october"} == found["found"][1]
    )
    assert "2 documents of" in command("index", "query", index, second)[1]
    third = build(tmp_path, "november-new", [old[3] + " bal", "nothing like it"], [{"known": {"index": index}}])
    told_of = explain(RunFolder(third), "s/november-new0")
    assert (told_of["fate"], told_of["rule"]) == ("dropped", "known.near_duplicate")
    assert told_of["duplicate_of"]["id"] == "s/october3"
    assert told_of["duplicate_of"]["batch"] == "october"
    assert 0.75 < told_of["duplicate_of"]["true"] == told_of["value"] < 1
    code, told = command("index", "add", index, third)
    assert code == 0
    assert "1 documents added as november-new; 41 in all" in told
    assert "batch 'november-new' is there already" in command("index", "add", index, third)[1]
    assert "size is 5, asked for is 24" in command("index", "add", index, third, "--preset", "nemotron")[1].replace(
        "bands is 14, asked for is 20", "size is 5, asked for is 24"
    )
    assert "fineweb" not in command("index", "info", index)[1]
    assert json.loads(command("index", "info", index, "--json")[1])["scheme"]["bands"] == 14
