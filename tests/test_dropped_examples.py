from typing import Any

import pytest
from report_run import CHINESE, ENGLISH, built_run

from corpusmill.pipeline.report import dropped_examples as module
from corpusmill.pipeline.report.dropped_examples import examples_by_rule


def by_rule() -> dict[str, Any]:
    return {group["rule"]: group for group in examples_by_rule(built_run())}


def test_every_rule_that_dropped_has_examples_with_value_and_text() -> None:
    groups = by_rule()
    assert list(groups) == ["controls", "short", "exact.duplicate", "null_text"]
    short = {example["id"]: example for example in groups["short"]["examples"]}
    assert short["web/zh"]["text"] == CHINESE
    assert short["web/zh"]["lang"] == "zh"
    assert short["web/short"]["value"] == 9
    assert groups["controls"]["examples"][0]["value"] == 50
    assert groups["null_text"]["failed"] is True
    assert groups["null_text"]["examples"][0]["text"] is None


def test_a_duplicate_names_the_document_that_stayed() -> None:
    group = by_rule()["exact.duplicate"]
    assert group["phase"] == "exact"
    (example,) = group["examples"]
    assert {example["id"], example["winner"]} == {"web/good", "web/copy"}
    assert example["text"] == ENGLISH


def test_texts_are_shortened_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXT_CHARACTERS", 5)
    monkeypatch.setattr(module, "EXAMPLES_PER_RULE", 1)
    short = by_rule()["short"]["examples"]
    assert len(short) == 1
    assert by_rule()["controls"]["examples"][0]["text"] == "12345"
    assert by_rule()["controls"]["examples"][0]["more"] == 15
