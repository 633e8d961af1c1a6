"""The documents of the shipped sample each meet their fate, in the stages of the quickstart's own recipe."""

import json
from collections import Counter
from importlib.resources import as_file, files
from typing import Any

import pytest
import yaml
from small_corpus import run_recipe

from corpusmill.pipeline.explain import explain
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import FAILED_REASONS
from corpusmill.stages.clean.personal_data import PersonalData

SAMPLE = files("corpusmill.stages.collect.sample")
RECORDS = [json.loads(line) for line in SAMPLE.joinpath("documents.jsonl").read_text("utf-8").splitlines()]
PAGES: dict[str, dict[str, Any]] = json.loads(SAMPLE.joinpath("page_fates.json").read_text("utf-8"))

FATES = {f"sample/{record['id']}": record["fate"] for record in RECORDS if record["text"] is not None}
FATES |= {f"pages/{name}": fate for name, fate in PAGES.items()}

TYPES = PersonalData().types


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The sources `sample` and `pages` through the quickstart's stages; its other sources are this machine's."""
    tree = yaml.safe_load(files("corpusmill.pipeline.templates").joinpath("quickstart.yaml").read_text("utf-8"))
    folder = tmp_path_factory.mktemp("sample") / "run"
    with as_file(SAMPLE) as sample:
        text = json.dumps({key: tree[key] for key in ("format", "name", "seed", "stages", "sources")})
        tree = json.loads(text.replace("${sample}", str(sample)))
        tree["sources"] = {name: tree["sources"][name] for name in ("sample", "pages")}
        for entry in tree["stages"]:
            for settings in entry.values() if isinstance(entry, dict) else ():
                settings.pop("only", None)
        run_recipe(tree, folder)
    return RunFolder(str(folder))


def test_every_document_meets_its_fate(run: RunFolder) -> None:
    wrong = {}
    for name, fate in FATES.items():
        answer = explain(run, name)
        winner = (answer["duplicate_of"] or {}).get("id")
        counts = {key.removeprefix("personal_data_num_"): value for key, value in answer["measures"].items()}
        masked = [key for key in TYPES if counts.get(key)]
        got = (answer["fate"], answer["rule"], winner, masked)
        if got != wanted(fate):
            wrong[name] = (got, wanted(fate), answer["value"], answer["threshold"])
    assert wrong == {}


def wanted(fate: dict[str, Any]) -> tuple[str, str | None, str | None, list[str]]:
    rule = fate.get("rule")
    name = "kept" if fate["kept"] else "failed" if rule in FAILED_REASONS else "dropped"
    winner = f"sample/{fate['duplicate_of']}" if "duplicate_of" in fate else None
    return name, rule, winner, fate.get("masked", [])


def test_null_record_fails_under_its_line_number(run: RunFolder) -> None:
    (line,) = [number for number, record in enumerate(RECORDS) if record["text"] is None]
    answer = explain(run, f"sample/documents.jsonl#{line}")
    assert (answer["fate"], answer["rule"]) == ("failed", "null_text")


def test_pages_of_every_charset_read_as_they_were_written(run: RunFolder) -> None:
    from corpusmill.pipeline.explain import show

    kept = {document["id"]: document["text"] for document in show(run, None, 1000)}
    pages = {name: fate for name, fate in PAGES.items() if fate["kept"]}
    assert len({fate["charset"] for fate in pages.values()}) == 4
    for name, fate in pages.items():
        text = kept[f"pages/{name}"]
        assert fate["says"] in text
        for around in ("Archive", "Most read", "Cookies", "window.loaded"):
            assert around not in text


def test_sample_is_what_it_says() -> None:
    languages = Counter(record["lang"] for record in RECORDS if record["fate"]["kept"])
    assert len(languages) == 10
    assert min(languages.values()) >= 5
    assert len(RECORDS) >= 80
    ids = [record["id"] for record in RECORDS]
    assert ids == sorted(set(ids))
    texts = {record["id"]: record["text"] for record in RECORDS}
    for record in RECORDS:
        fate = record["fate"]
        if fate.get("rule") == "minhash.near_duplicate":
            assert five_gram_jaccard(record["text"], texts[fate["duplicate_of"]]) > 0.8, record["id"]


def five_gram_jaccard(one: str, other: str) -> float:
    """True similarity by word 5-grams, by character 5-grams where words are not written apart."""
    sets = []
    for text in (one, other):
        tokens: list[str] = text.lower().split()
        if len(tokens) * 15 < len(text):
            tokens = [letter for letter in text if letter.isalnum()]
        sets.append({tuple(tokens[at : at + 5]) for at in range(len(tokens) - 4)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])
