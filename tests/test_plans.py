"""The command `plan` as its users run it: tables, JSON, a change in mid-run, documents taken out, mistakes."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from small_shards import write_shards

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.plan import Plan
from corpusmill.pipeline.cli import cli, main
from corpusmill.pipeline.cli.plans import steps_together

RECIPE: dict[str, Any] = {
    "format": 1,
    "name": "web-and-books",
    "sources": {"web": {"read": "text", "paths": ["*.txt"]}},
    "tokenizer": {"vocab_size": 400},
    "mixture": {
        "tokens": "64K",
        "sequence_length": 64,
        "max_epochs": {"books": 4},
        "phases": [
            {
                "name": "main",
                "share": 0.8,
                "weights": {"web": 3, "code": 1},
                "curriculum": {"order": ["code"], "pacing": "quadratic", "steps": 4, "replay": 0.1},
            },
            {"name": "anneal", "share": 0.2, "weights": {"web": 1}, "to": {"books": 1}, "learning_rate": 0.5},
        ],
    },
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_shards(tmp_path / "run", {"web": [30_000, 9000], "books": [8000], "code/b0": [9000], "code/b1": [5000]})
    return write_recipe(tmp_path, RECIPE)


def write_recipe(folder: Path, tree: dict[str, Any]) -> Path:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tree))
    return folder / "recipe.yaml"


def plan(recipe: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plan", str(recipe), "--run", str(recipe.parent / "run"), *arguments])


def facts(recipe: Path, *arguments: str) -> Any:
    done = plan(recipe, *arguments, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_the_table_of_a_curriculum(recipe: Path) -> None:
    shown = plan(recipe, "--plot", str(recipe.parent / "plan.html")).stdout
    assert "main-1 … main-4" in shown
    assert len(shown.splitlines()) < 20
    assert "the whole plan" in shown
    found = facts(recipe)
    phases = list(dict.fromkeys(row["phase"] for row in found["rows"]))
    assert phases == ["main-1", "main-2", "main-3", "main-4", "anneal"]
    assert found["tokens"] == 64_000 == sum(row["tokens"] for row in found["rows"])
    for phase in phases:
        rows = [row for row in found["rows"] if row["phase"] == phase]
        assert sum(row["wanted"] for row in rows) == pytest.approx(1)
        assert all(abs(row["wanted"] - row["realised"]) * sum(r["tokens"] for r in rows) <= 64 for row in rows)
    easy = [row["realised"] for row in found["rows"] if (row["source"], row["bucket"]) == ("code", "b0")]
    assert easy[0] > easy[3]
    assert {row["source"]: row["max_epochs"] for row in found["totals"]} == {"books": 4, "code": None, "web": None}
    assert "<polygon" in (recipe.parent / "plan.html").read_text()


def test_steps_of_a_phase_are_shown_together(recipe: Path) -> None:
    found = facts(recipe)["rows"]
    rows = steps_together(found)
    assert list(dict.fromkeys(row["phase"] for row in rows)) == ["main-1 … main-4", "anneal"]
    for phase in ("main", "anneal"):
        together = [row for row in rows if row["phase"].startswith(phase)]
        apart = [row for row in found if row["phase"].startswith(phase)]
        for key in ("tokens", "epochs"):
            assert sum(row[key] for row in together) == pytest.approx(sum(row[key] for row in apart))
        assert sum(row["wanted"] for row in together) == pytest.approx(1)
        for row in together:
            assert row["realised"] == pytest.approx(row["tokens"] / sum(each["tokens"] for each in together))


def test_a_change_in_mid_run(recipe: Path) -> None:
    before = facts(recipe)
    run = recipe.parent / "run"
    old = PlanLoader.open(run, Plan.load(run / "plans/main.json"))
    straight = old.rows(0, 500)
    changed = json.loads(json.dumps(RECIPE))
    changed["mixture"] = {"tokens": "64K", "sequence_length": 64, "weights": {"books": 1}, "max_epochs": {"books": 6}}
    write_recipe(recipe.parent, changed)
    found = facts(recipe, "--continue-from", "50", "--batch-rows", "10")
    assert {row["phase"] for row in found["rows"]} == {"consumed", "all"}
    assert found["changes"][0]["source"] == "books"
    assert found["changes"][0] == {"source": "books", "consumed": 0, "before": 6400, "after": 32_000} | {
        "epochs": pytest.approx(4.03, abs=0.01)
    }
    assert sum(row["consumed"] for row in found["changes"]) == 32_000
    assert sum(row["before"] for row in found["changes"]) == before["tokens"] - 32_000
    new = PlanLoader.open(run, Plan.load(run / "plans/main.json"))
    assert (new.rows(0, 500) == straight).all()
    # Asked again, it continues the same plan, not the continued one.
    assert facts(recipe, "--continue-from", "50", "--batch-rows", "10") == found
    assert "tokens before and after the change" in plan(recipe, "--continue-from", "500").stdout


def test_documents_taken_out(recipe: Path) -> None:
    facts(recipe)
    (recipe.parent / "ids.txt").write_text("web/0#100\n\nbooks/0#0\n")
    found = facts(recipe, "--exclude", str(recipe.parent / "ids.txt"), "--from", "40", "--batch-rows", "8")
    assert found["excluded"] == [{"from": 320, "documents": 2}]
    assert Plan.load(recipe.parent / "run/plans/main.json").excluded[0].position == 320


def test_what_packing_did(recipe: Path) -> None:
    found = facts(recipe, "--set", "mixture.packing=document", "--set", "mixture.phases=[]", "--tokens", "6400")
    # Documents of 100 tokens in rows of 64: each is cut in two, of 128 slots 100 are filled.
    web = next(row for row in found["packings"] if row["source"] == "web")
    assert web == {"source": "web", "documents": 390, "cut": 390, "rows": 780, "tokens": 39_000} | {
        "padding": 10_920,
        "filled": 39_000 / 49_920,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tokens", "many"), "expected a number such as 500M"),
        (("--tokens", "10"), "less than one sequence of 64"),
        (("--tokens", "900K"), "at most"),
        (("--set", "mixture.max_epochs={bokos: 3}"), "max_epochs.bokos: no such source"),
        (("--set", "mixture.phasse=[]"), "did you mean 'phases'"),
        (("--name", "../main"), "--name: '../main' is no name"),
        (("--continue-from", "5"), "plans/main.json is missing: make it with corpusmill plan"),
        (("--exclude", "ids.txt"), "--from STEP"),
        (("--from", "3"), "give both"),
        (("--exclude", "/nowhere/ids.txt", "--from", "3"), "plans/main.json is missing"),
        (("--run", "/nowhere"), "Build first: corpusmill build RECIPE --run /nowhere"),
    ],
)
def test_mistakes_say_the_way_out(
    recipe: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["corpusmill", "plan", str(recipe), "--run", str(recipe.parent / "run"), *arguments]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
