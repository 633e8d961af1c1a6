"""FineWeb's rules: every threshold from both sides, and the measures against a plain reading of the filter."""

import pyarrow as pa
import pytest
from hypothesis import given
from unicode_texts import BATCHES

from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.kernels import characters as chars
from corpusmill.stages.measure.fineweb import MEASURES, Fineweb
from corpusmill.stages.measure.segmenters import segment_by_script

CLASSES = chars.character_classes()


def batch_of(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, type=pa.large_string())})


def measure(texts: list[str]) -> list[dict[str, int]]:
    columns = Fineweb().open().measure(batch_of(texts), Scratch())
    assert {name: column.type for name, column in columns.items()} == Fineweb().adds()
    return [{name: columns[f"fineweb_{name}"][row].as_py() for name in MEASURES} for row in range(len(texts))]


def fired(text: str, settings: Fineweb | None = None) -> list[str]:
    stage = settings or Fineweb()
    columns = pa.table(stage.open().measure(batch_of([text]), Scratch()))
    return [rule.name for rule in stage.rules() if evaluate([rule], columns).first[0] == 0]


def reference(text: str) -> dict[str, int]:
    lines = [line for line in text.split("\n") if line.strip()]
    return {
        "lines": len(lines),
        "terminal_lines": sum(bool(int(CLASSES[ord(line[-1])]) & chars.TERMINAL) for line in lines),
        "short_lines": sum(len(line) <= 30 for line in lines),
        "dup_line_chars": sum(len(line) for at, line in enumerate(lines) if line in lines[:at]),
        "line_chars": len(text.replace("\n", "")),
        "newlines": text.count("\n"),
        "words": len(segment_by_script(batch_of([text])).words(0)),
    }


@given(BATCHES)
def test_measures_equal_the_reference(texts: list[str]) -> None:
    assert measure(texts) == [reference(text) for text in texts]


LINES = [f"line number {at} of a text of long lines" for at in range(100)]  # more than 30 characters each


def text_of(num_terminal: int, num_lines: int) -> str:
    return "\n".join(line + ("." if at < num_terminal else "") for at, line in enumerate(LINES[:num_lines]))


@pytest.mark.parametrize(
    ("text", "rule", "falls"),
    [
        ("", "fineweb.blank", True),
        (" \n\u3000\n", "fineweb.blank", True),
        ("x", "fineweb.blank", False),
        (text_of(11, 100), "fineweb.few_lines_end_a_sentence", True),
        (text_of(12, 100), "fineweb.few_lines_end_a_sentence", False),
        (text_of(0, 5), "fineweb.few_lines_end_a_sentence", True),
        ("。", "fineweb.few_lines_end_a_sentence", False),
        ("end. ", "fineweb.few_lines_end_a_sentence", True),  # as in datatrove: nothing is stripped
        ("\n".join(LINES[:33] + [f"{n:030}" for n in range(67)]), "fineweb.mostly_short_lines", False),
        ("\n".join(LINES[:32] + [f"{n:030}" for n in range(68)]), "fineweb.mostly_short_lines", True),
        ("\n".join(LINES[:32] + [f"{n:031}" for n in range(68)]), "fineweb.mostly_short_lines", False),
        ("x" * 98 + "\na\na", "fineweb.repeated_lines", False),  # 1 of 100
        ("x" * 97 + "\na\na", "fineweb.repeated_lines", True),  # 1 of 99
        ("a b c d e f g\n\n\nh i j", "fineweb.too_many_line_breaks", False),  # 3 of 10
        ("a b c d e f g\n\n\nh i", "fineweb.too_many_line_breaks", True),
    ],
)
def test_each_threshold_from_both_sides(text: str, rule: str, falls: bool) -> None:
    assert (rule in fired(text)) is falls


def test_documents_without_terminal_lines_can_be_spared() -> None:
    spare = Fineweb(keep_without_terminal_lines=True)
    assert "fineweb.few_lines_end_a_sentence" not in fired(text_of(0, 5), spare)
    assert "fineweb.few_lines_end_a_sentence" in fired(text_of(1, 100), spare)
    assert "fineweb.few_lines_end_a_sentence" not in fired(text_of(12, 100), spare)
