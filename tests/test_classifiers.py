"""`corpusmill train-classifier`: from files to a model that the stage takes, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from corpusmill.pipeline.cli import cli
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.classifier import Classifier

GOOD = "the museum opened a garden of {} old trees near the river in {}"
BAD = "click here to buy {} cheap pills now best price offer {} !!!"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, template in (("good", GOOD), ("bad", BAD)):
        rows = [
            {"text": template.format(number, number % 7), "source": f"{name}-{number % 2}"} for number in range(200)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def call(folder: Path, *options: str) -> Any:
    sides = ("--positive", f"{folder}/good.jsonl", "--negative", f"{folder}/bad.jsonl", "--out", f"{folder}/my.ftz")
    small = ("--dim", "4", "--epoch", "3", "--bucket", "1000", "--cutoff", "300")
    return CliRunner().invoke(cli, ["train-classifier", *sides, *small, *options], catch_exceptions=True)


def test_from_files_to_a_stage_with_the_threshold_of_its_card(files: Path) -> None:
    done = call(files, "--keep-share", "0.1", "--leave-one-source-out", "--json")
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)
    assert card["format"] == 1
    assert {key: value for key, value in card.items() if key not in ("format", "path")} == json.loads(
        (files / "my.json").read_text()
    )
    assert card["threshold"]["by"] == "kept share 0.1"
    assert [row["auc"] for row in card["leave_one_source_out"]] == pytest.approx([1.0] * 4, abs=0.05)
    stage = Classifier(model=files / "my.ftz", min_score="card")
    (rule,) = stage.rules()
    batch = pa.record_batch({"text": pa.array([GOOD, BAD], type=pa.large_string())})
    good, bad = stage.open().measure(batch, Scratch())["classifier"].to_pylist()
    assert good is not None
    assert bad is not None
    assert good >= float(str(rule.limit)) > bad


def test_the_tables_say_what_a_threshold_buys(files: Path) -> None:
    done = call(files, "--precision", "0.9")
    assert done.exit_code == 0, done.output
    assert "what a threshold buys" in done.stdout
    assert "threshold, precision" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep-share", "10"), "kept share is 10"),
        (("--keep-share", "0.1", "--precision", "0.9"), "follows from one of them"),
        (("--pool", "good.jsonl"), "--keep-share is not"),
        (("--text", "sentences"), "expected one of one_line"),
        (("--positive", "absent.jsonl"), "absent.jsonl: no such file"),
        (("--cutoff", "3"), "at least 257"),
    ],
)
def test_wrong_requests_are_refused(files: Path, options: tuple[str, ...], message: str) -> None:
    done = call(files, *options)
    assert isinstance(done.exception, RequestError)
    assert message in str(done.exception)
    assert not (files / "my.ftz").exists()
