"""What-if: the same decisions as a build with the other rules, from stored measures, and refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from report_run import built_run
from small_corpus import run_recipe

from corpusmill.pipeline.cli import cli
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status

TEXTS = {f"doc-{n}": " ".join(f"w{n}x{word}" for word in range(n)) + " the of" for n in range(1, 60)}
TEXTS |= {f"copy-{n}": TEXTS[f"doc-{n}"] for n in range(1, 60, 7)}


def recipe(folder: Path, **gopher: Any) -> dict[str, Any]:
    for name in ("web", "books"):
        lines = [json.dumps({"id": key, "text": text, "lang": "en"}) for key, text in TEXTS.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines[:: 1 if name == "web" else 2]) + "\n", encoding="utf-8")
    settings = {"min_words": 20, "max_dup_ngram_ratios": [], "max_top_ngram_ratios": []} | gopher
    return {
        "format": 1,
        "name": "tried",
        "sources": {n: {"read": "jsonl", "paths": [f"{folder}/{n}.jsonl"], "id": "id"} for n in ("web", "books")},
        "stages": [{"gopher": settings}, {"drop": {"when": "num_bytes > 320", "as": "long"}}],
    }


def ask(run: Path | str, *rules: str) -> Any:
    arguments = ["what-if", str(run), "--json", *(part for rule in rules for part in ("--rule", rule))]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def fates(run: Path) -> dict[str, dict[str, int]]:
    """Documents by rule, of each source, as the books of a run have them."""
    sources = read_status(RunFolder(str(run)))["sources"]
    return {
        name: {"kept": books["documents"]["kept"], **books["documents"]["dropped"]} for name, books in sources.items()
    }


def test_equals_a_build_with_the_other_thresholds(tmp_path: Path) -> None:
    run_recipe(recipe(tmp_path), tmp_path / "first")
    run_recipe(recipe(tmp_path, min_words=30, max_words=50), tmp_path / "second")
    found = ask(tmp_path / "first", "gopher.min_words=30", "gopher.max_words = 50")
    for moment, run in (("now", "first"), ("then", "second")):
        counted = {
            name: {row["rule"]: row["documents"][moment] for row in flow["rows"] if row["documents"][moment]}
            for name, flow in found["sources"].items()
        }
        assert counted == fates(tmp_path / run), moment
    assert found["tokens"] == "unknown"
    (first, *_) = found["sources"]["web"]["rows"]
    assert first["rule"] == "kept"
    assert first["bytes"]["now"] > first["bytes"]["then"] > 0


def test_further_rules_come_last_and_null_switches_one_off(tmp_path: Path) -> None:
    run_recipe(recipe(tmp_path), tmp_path / "run")
    found = ask(tmp_path / "run", "gopher.min_words=null", "tiny: gopher_words < 5 and source = 'web'")
    web = {row["rule"]: row["documents"] for row in found["sources"]["web"]["rows"]}
    assert web["gopher.too_few_words"]["then"] == 0
    small = [text for text in TEXTS.values() if len(text.split()) < 5]
    assert web["tiny"] == {"now": 0, "then": len(small)}
    assert "tiny" not in {row["rule"] for row in found["sources"]["books"]["rows"]}


def test_what_a_gather_never_saw_is_counted() -> None:
    found = ask(built_run().url, "long: num_bytes > 60")
    web = {row["rule"]: row["documents"] for row in found["sources"]["web"]["rows"]}
    assert web["exact.duplicate"] == {"now": 1, "then": 0}  # both copies are long now
    assert web["kept"] == {"now": 3, "then": 0}
    assert web["long"]["then"] == 4
    assert found["sources"]["web"]["not_seen_by"] == {}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("toxicity > 0.8", "nothing in this run measured toxicity"),
        ("random() > 0.5", "'random' is not allowed"),
        ("gopher.min_words=3", "the recipe has no stage 'gopher'"),
        ("exact.columns=3", "no such setting"),
        ("num_bytes >", "syntax error"),
    ],
)
def test_mistakes(rule: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        ask(built_run().url, rule)


def test_settings_that_need_text_are_refused(tmp_path: Path) -> None:
    run_recipe(recipe(tmp_path), tmp_path / "run")
    with pytest.raises(RequestError, match="gopher: only thresholds can be tried here"):
        ask(tmp_path / "run", "gopher.segmenter=whitespace")


def test_a_table_for_people(tmp_path: Path) -> None:
    run_recipe(recipe(tmp_path), tmp_path / "run")
    done = CliRunner().invoke(cli, ["what-if", str(tmp_path / "run"), "--rule", "gopher.min_words=30"])
    assert done.exit_code == 0
    assert "gopher.too_few_words" in done.stdout
    assert "tokens: unknown" in done.stdout
