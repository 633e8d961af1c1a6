"""The drop stage: its rule's name, columns and verdicts, and expressions refused when the recipe is read."""

import pyarrow as pa
import pytest

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.decide.drop import Drop


def test_one_rule_named_as_asked() -> None:
    (rule,) = Drop(when="words_digits / words_chars > 0.5", rule="mostly_digits").rules()
    assert rule.name == "mostly_digits"
    assert rule.needs() == ("words_chars", "words_digits")
    table = pa.table(
        {"words_digits": pa.array([5, 6, 0], pa.int32()), "words_chars": pa.array([10, 10, 0], pa.int32())}
    )
    verdicts = evaluate([rule], table)
    assert verdicts.first.tolist() == [-1, 0, -1]  # 0 / 0 is not measured


def test_without_a_name_the_expression_names_the_rule() -> None:
    (rule,) = Drop(when="a >\n  1").rules()
    assert rule.name == "drop(a > 1)"


def test_measures_nothing() -> None:
    stage = Drop(when="a > 1")
    batch = pa.record_batch({"text": pa.array(["x"], pa.large_string())})
    assert stage.open().measure(batch, Scratch()) == {} == stage.adds()


@pytest.mark.parametrize(("when", "message"), [("", "is empty"), ("  ", "is empty"), ("random() > 0", "random")])
def test_refused_when_made(when: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Drop(when=when)
