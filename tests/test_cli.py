"""The command line: help with an example for every command, exit codes, one JSON object each, a recipe's whole way."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_corpus import small_recipe, write_corpus

from corpusmill.pipeline.cli import cli, main

COMMANDS = sorted(cli.commands)
FIXED = [
    "quickstart",
    "init",
    "check",
    "build",
    "status",
    "verify",
    "explain",
    "show",
    "report",
    "export",
    "stages",
    "clean",
    "warmup",
    "train-tokenizer",
    "train-classifier",
    "plan",
    "sweep",
    "fit",
    "choose",
    "fertility",
    "locate",
    "import",
]


def run(*arguments: str, expect: int = 0) -> str:
    """Stdout of a command run as a process, after its exit code is checked."""
    command = [sys.executable, "-c", "from corpusmill.pipeline.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=os.environ | {"COLUMNS": "140"})
    assert done.returncode == expect, done.stderr
    return done.stdout


def call(capsys: pytest.CaptureFixture[str], *arguments: str, expect: int = 0) -> Any:
    """The JSON object that a command prints, run in this process."""
    argv, sys.argv = sys.argv, ["corpusmill", *arguments, "--json"]
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = argv
    out, err = capsys.readouterr()
    assert code == expect, err
    return json.loads(out) if out.strip() else err


def test_the_commands_are_those_that_were_promised() -> None:
    assert set(FIXED) <= set(COMMANDS)  # more may be added


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_calls_the_command(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"])
    assert shown.exit_code == 0
    assert f"corpusmill {name}" in shown.output.split("Example:")[1]


def test_mistakes_exit_2_and_failures_1() -> None:
    run("no-such-command", expect=2)
    run("status", "/nowhere", expect=2)
    run("build", "/nowhere/recipe.yaml", expect=2)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_corpus(folder / "in", num_files=2, documents=40)
    tree = small_recipe(folder / "in", unit_bytes="64MB")
    tree["tokenizer"] = {"vocab_size": 400}
    tree["tokens"] = {"held_out": 0.05}
    tree["mixture"] = {"tokens": 20_000, "sequence_length": 32, "max_epochs": 4}
    (folder / "recipe.yaml").write_text(json.dumps(tree))  # JSON is YAML
    run("build", str(folder / "recipe.yaml"), "--run", str(folder / "run"))
    return folder / "recipe.yaml"


def test_json_of_the_commands_on_a_run(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(recipe.parent / "run")
    checked = call(capsys, "check", str(recipe))
    assert checked["ok"]
    assert {"name", "stages", "units", "bytes"} <= checked["phases"][0].keys()
    status = call(capsys, "status", folder)
    assert status["state"] == "complete"
    assert set(status["sources"]) == {"a", "b", "c"}
    documents = status["sources"]["a"]["documents"]
    assert documents["in"] == documents["kept"] + sum(documents["dropped"].values()) + sum(documents["failed"].values())
    assert status["sources"]["a"]["tokens"]["all"] > 1000
    assert call(capsys, "verify", folder)["ok"]
    wrong = recipe.with_name("wrong.yaml")
    wrong.write_text(recipe.read_text().replace('"normalize"', '"normalise"'))
    assert not call(capsys, "check", str(wrong), expect=2)["ok"]
    rows = call(capsys, "plan", str(recipe), "--run", folder, "--tokens", "30K")["rows"]
    assert sum(row["tokens"] for row in rows) == pytest.approx(30_000, abs=32)
    assert {"source", "bucket", "phase", "wanted", "realised", "tokens", "epochs"} == rows[0].keys()


def test_a_changed_bit_or_a_wrong_recipe_is_told_by_the_exit_code(recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(recipe.parent / "run", tmp_path / "run")
    (body, *_) = sorted((tmp_path / "run/tokens").rglob("*.bin"))
    data = bytearray(body.read_bytes())
    data[len(data) // 2] ^= 4
    body.write_bytes(data)
    assert f"{body.name}, MiB 0: damaged" in run("verify", str(tmp_path / "run"), expect=1)
    (tmp_path / "wrong.yaml").write_text(recipe.read_text() + "unheard_of: 1\n")
    run("check", str(tmp_path / "wrong.yaml"), "--json", expect=2)


def test_the_disk_s_errors_have_no_traceback(recipe: Path) -> None:
    command = [sys.executable, "-c", "from corpusmill.pipeline.cli import main; main()"]
    export = ["export", str(recipe.parent / "run"), "--to", "jsonl", "--out", str(recipe / "below-a-file")]
    done = subprocess.run([*command, *export], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {recipe}")
    assert done.stderr.count("\n") == 1
    with subprocess.Popen([*command, "stages"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as stages:
        assert stages.stdout is not None
        assert stages.stderr is not None
        stages.stdout.read(10)
        stages.stdout.close()
        assert stages.stderr.read() == b""


def test_a_build_says_what_dropped_nearly_all_and_what_measured_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path / "in", num_files=1, documents=20, sources="ab")
    stages = [{"quality": {"min_score": 0.1}}, {"drop": {"when": "source = 'b'", "as": "of_b"}}]
    tree = small_recipe(tmp_path / "in", stages=stages)
    tree["sources"] = {name: {"read": "jsonl", "paths": [str(tmp_path / f"in/{name}*")]} for name in "ab"}
    (tmp_path / "recipe.yaml").write_text(json.dumps(tree))
    status = json.loads(run("build", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run"), "--json"))
    warnings = status["warnings"]
    seen = f"`corpusmill show {tmp_path}/run --dropped of_b`"
    assert f"b: 20 of 20 documents dropped, 20 by of_b: {seen}" in warnings
    # Nothing says the language of these documents, and the models are by language.
    assert "a: no document has a value for quality.low_quality, so nothing was dropped by it" in warnings
    assert status["sources"]["a"]["documents"]["not_measured"] == {"quality.low_quality": 20}


def test_a_recipe_without_tokens_leaves_no_tokens_to_plan_on(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(recipe.parent / "run", tmp_path / "run")
    tree = json.loads(recipe.read_text())
    for section in ("tokenizer", "tokens", "mixture"):
        del tree[section]
    (tmp_path / "recipe.yaml").write_text(json.dumps(tree))
    folder = str(tmp_path / "run")
    status = call(capsys, "build", str(tmp_path / "recipe.yaml"), "--run", folder)
    assert all(source["tokens"] == {} for source in status["sources"].values())
    assert "no token shards are here" in call(capsys, "plan", str(recipe), "--run", folder, expect=2)
    again = call(capsys, "build", str(recipe), "--run", folder)
    assert again["sources"] == call(capsys, "status", str(recipe.parent / "run"))["sources"]
    assert call(capsys, "verify", folder)["ok"]


def test_a_shown_text_does_not_steer_the_terminal(tmp_path: Path) -> None:
    text = "red \x1b[31m text \u202e and \x9b2J\nsecond line\tand tab, 猫"
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": text}) + "\n")
    tree = {"format": 1, "name": "t", "sources": {"a": {"read": "jsonl", "paths": [str(tmp_path / "x.jsonl")]}}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(tree))
    run("build", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run"))
    shown = run("show", str(tmp_path / "run"))
    assert "red \ufffd[31m text \ufffd and \ufffd2J\nsecond line\tand tab, 猫" in shown


def test_show_and_explain_agree(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(recipe.parent / "run")
    dropped = call(capsys, "show", folder, "--dropped", "exact", "-n", "5")["documents"]
    assert dropped
    for document in dropped:
        found = call(capsys, "explain", folder, document["id"])
        assert (found["fate"], found["rule"]) == ("dropped", "exact.duplicate")
        other = call(capsys, "explain", folder, found["duplicate_of"]["id"])
        assert other["fate"] == "kept"
    kept = call(capsys, "show", folder, "-n", "3")["documents"]
    for document in kept:
        shard = call(capsys, "explain", folder, document["id"])["shard"]
        assert shard["num_tokens"] > 10
    assert "no document" in call(capsys, "explain", folder, "a/none", expect=2)


@pytest.mark.parametrize("form", ["parquet", "jsonl", "megatron"])
def test_export(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    folder = str(recipe.parent / "run")
    made = call(capsys, "export", folder, "--to", form, "--out", str(tmp_path / "out"))
    assert made["files"]
    assert all((tmp_path / "out" / name).exists() for name in made["files"])


def test_a_clean_run_has_nothing_to_clean_and_stages_lists_them_all(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from corpusmill.stages.names import STAGES

    assert call(capsys, "clean", str(recipe.parent / "run"), "--dry-run")["files"] == []
    assert [stage["name"] for stage in call(capsys, "stages")["stages"]] == list(STAGES)


def test_init_gives_a_recipe_that_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", str(tmp_path / "new"))
    monkeypatch.chdir(tmp_path / "new")
    run("check", "recipe.yaml")
    run("build", "recipe.yaml", "--json")
    run("init", str(tmp_path / "new"), expect=2)
