"""FineWeb2: limits by language, its stop words, files of thresholds, and thresholds derived from texts."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from corpusmill.pipeline.cli import cli
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.derive_thresholds import derive_thresholds
from corpusmill.stages.measure.fineweb2 import SHIPPED, Fineweb2, load_thresholds


def fired(text: str, lang: str | None, stage: Fineweb2) -> list[str]:
    batch = pa.record_batch({"text": pa.array([text], pa.large_string()), "lang": pa.array([lang], pa.string())})
    columns = stage.open().measure(batch, Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    table = pa.table(columns | {"lang": batch.column("lang")})
    return [rule.name for rule in stage.rules() if evaluate([rule], table).first[0] == 0]


GERMAN = (
    "Der alte Fluss fließt durch das Tal und die Mühle steht am Ufer. Im Frühling kommen viele Menschen mit ihren "
    "Kindern, die den Müller von früher noch kennen. Er erzählt ihnen gern, wie das Mehl gemahlen wurde und warum das "
    "Rad sich heute nicht mehr dreht. Als die Brücke gebaut wurde, verlor er seine Kunden."
)


def test_limits_are_those_of_the_language() -> None:
    stage = Fineweb2()
    assert fired(GERMAN, "de", stage) == []
    assert fired(GERMAN, "ru", stage) == ["fineweb2.too_few_stop_words"]  # no Russian function word
    many = "\n".join(f"{word} und der Tag" for word in GERMAN.split()[:40])
    assert "fineweb2.too_many_line_breaks" in fired(many, "de", stage)  # 0.25 a word; German allows 0.152
    assert "fineweb2.too_many_line_breaks" not in fired(many, "hi", stage)  # Hindi 0.316


def test_a_language_without_thresholds() -> None:
    assert fired(GERMAN, "xx", Fineweb2()) == []
    assert fired(GERMAN, "xx", Fineweb2(drop_other_languages=True)) == ["fineweb2.no_thresholds"]
    assert fired("kurz", "xx", Fineweb2()) == ["fineweb2.too_few_words"]


def test_shipped_thresholds_are_fineweb2s() -> None:
    zh = load_thresholds(SHIPPED)["zh"]
    assert (zh["min_terminal_line_ratio"], zh["max_line_break_ratio"], zh["max_dup_line_ratio"]) == (
        0.106,
        0.178,
        0.287,
    )
    assert zh["max_top_ngram_ratios"][0] == 0.256
    assert zh["max_dup_ngram_ratios"][0] == 0.198
    assert all(len(limits["stop_words"]) >= 8 for limits in load_thresholds(SHIPPED).values())


def documents(count: int) -> list[str]:
    """Each with its own number of line breaks: i of 100 words."""
    made = []
    for i in range(count):
        words = ["the", "of", "and", "in", "to", "a", "is", "was"] * 5 + [f"w{chr(97 + i % 26)}{j}" for j in range(60)]
        made.append("".join(word + ("\n" if j < i % 100 else " ") for j, word in enumerate(words)))
    return made


def test_tails_are_where_numpy_finds_them() -> None:
    texts = documents(200)
    found = derive_thresholds([texts[:120], texts[120:]], "en", "auto", 0.1)
    breaks = [text.count("\n") / 100 for text in texts]
    assert found["max_line_break_ratio"] == round(float(np.quantile(breaks, 0.9)), 3)
    assert set(found["stop_words"]) == {"the", "of", "and", "in", "to", "a", "is", "was"}
    assert found["made_from"] == {"documents": 200, "segmenter": "auto", "tail": 0.1}
    assert found == derive_thresholds([texts], "en", "auto", 0.1)


def test_a_stage_uses_what_the_command_wrote(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"text": text}) for text in documents(150))
    (tmp_path / "good.jsonl").write_text(lines, encoding="utf-8")
    out = tmp_path / "thresholds.json"
    arguments = ["derive-thresholds", str(tmp_path / "good.jsonl"), "--out", str(out), "--language"]
    for language in ("xa", "xb"):
        done = CliRunner().invoke(cli, [*arguments, language, "--json"], catch_exceptions=False)
        assert done.exit_code == 0
    assert set(load_thresholds(out)) == {"xa", "xb"}
    stage = Fineweb2(thresholds=out, max_dup_line_char_ratio=None)
    limit = load_thresholds(out)["xa"]["max_line_break_ratio"]
    assert "fineweb2.too_many_line_breaks" in fired(documents(100)[99], "xa", stage)
    assert limit < 0.99


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="documents are too few"):
        derive_thresholds([["one"]], "en")
    (tmp_path / "bad.json").write_text('{"en": {"max_speed": 3}}')
    with pytest.raises(RequestError, match="en: no such threshold: max_speed"):
        Fineweb2(thresholds=tmp_path / "bad.json").rules()
    with pytest.raises(RequestError, match=r"absent.json: not a file of thresholds"):
        Fineweb2(thresholds=tmp_path / "absent.json").rules()
