"""language: known languages, undefined text, rules, and that a batch may be cut anywhere."""

import json
import os
import sys
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule, Scratch, measure_settings
from corpusmill.stages.measure.language import Language
from corpusmill.stages.models.model_file import MODELS, load_model

DATA = Path(os.environ.get("CORPUSMILL_DATA", ""))
needs_data = pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is unset")

SENTENCES = [  # article 1 of the Universal Declaration of Human Rights
    ("en", "All human beings are born free and equal in dignity and rights."),
    ("de", "Alle Menschen sind frei und gleich an Würde und Rechten geboren."),
    ("fr", "Tous les êtres humains naissent libres et égaux en dignité et en droits."),
    ("zh", "人人生而自由，在尊严和权利上一律平等。"),
    ("ja", "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"),
    ("ko", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."),
    ("th", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ"),
    ("ar", "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق."),
    ("hi", "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।"),
    ("ru", "Все люди рождаются свободными и равными в своем достоинстве и правах."),
    (None, ""),
    (None, " \n\u3000\n"),
    (None, None),
]


def batch_of(documents: list[str | None]) -> Batch:
    return pa.record_batch({"text": pa.array(documents, type=pa.large_string())})


def test_known_languages_and_undefined_text() -> None:
    stage = Language()
    columns = stage.open().measure(batch_of([text for _, text in SENTENCES]), Scratch())
    assert columns["lang"].to_pylist() == [lang for lang, _ in SENTENCES]
    assert [score is None for score in columns["language_score"].to_pylist()] == [lang is None for lang, _ in SENTENCES]
    assert {name: column.type for name, column in columns.items()} == stage.adds()


def test_line_feeds_count_as_spaces() -> None:
    worker = Language().open()
    one, other = worker.measure(batch_of(["Ein Satz\nund\n\nnoch einer", "Ein Satz und  noch einer"]), Scratch())[
        "language_score"
    ].to_pylist()
    assert one == other


def test_splitting_and_reordering_change_nothing() -> None:
    worker = Language().open()
    batch = batch_of([text for _, text in SENTENCES])
    whole = worker.measure(batch, Scratch())
    parts = [worker.measure(batch.slice(start, 3), Scratch()) for start in range(0, batch.num_rows, 3)]
    for name, column in whole.items():
        assert column.to_pylist() == [value for part in parts for value in part[name].to_pylist()]
    order = list(range(batch.num_rows))[::-1]
    backwards = worker.measure(batch.take(pa.array(order)), Scratch())
    assert backwards["language_score"].to_pylist() == whole["language_score"].to_pylist()[::-1]


def test_rules_follow_the_settings_and_are_no_measure() -> None:
    assert Language().rules() == ()
    assert Language(keep=("en", "zh"), min_score=0.65).rules() == (
        Rule("language.unwanted_language", value=("lang",), op="not in", limit=("en", "zh")),
        Rule("language.low_score", value=("language_score",), op="<", limit=0.65),
    )
    assert measure_settings(Language(keep=("en",), min_score=0.5)) == measure_settings(Language())


def test_a_model_by_path(tmp_path: Path) -> None:
    path = tmp_path / "copy.bin"
    path.write_bytes((MODELS / "lid.176.ftz").read_bytes())
    stage = Language(model=path)
    assert stage.files() == (path,)
    assert stage.open().measure(batch_of(["Guten Morgen, wie geht es dir?"]), Scratch())["lang"].to_pylist() == ["de"]


def test_letters_in_the_scripts_of_the_label() -> None:
    columns = Language().open().measure(batch_of(["これは本です。", "Das ist Москва.", "", "12"]), Scratch())
    assert columns["lang"].to_pylist()[:2] == ["ja", "de"]
    assert columns["language_num_letters"].to_pylist() == [6, 12, 0, 0]
    assert columns["language_num_script_letters"].to_pylist()[:3] == [6, 6, None]


def test_paragraphs_in_another_language_are_counted() -> None:
    english = "The museum opens at nine in the morning and the garden at ten."
    chinese = "人人生而自由，在尊严和权利上一律平等。"
    text = f"{english}\n{english}\n\n{chinese}\nshort\n"
    stage = Language(paragraphs=True, max_other_share=0.3, min_script_share=0.5)
    columns = stage.open().measure(batch_of([text, english, "", None]), Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    assert columns["lang"].to_pylist() == ["en", "en", None, None]
    spans = columns["language_paragraphs"].to_pylist()
    assert spans[0] is not None
    data = text.encode()
    found = [(span["lang"], data[span["start"] : span["end"]].decode()) for span in spans[0]]
    assert found == [("en", english), ("en", english), ("zh", chinese)]
    letters = sum(map(str.isalpha, english))
    assert columns["language_num_paragraph_letters"].to_pylist() == [2 * letters + 17, letters, 0, 0]
    assert columns["language_num_other_letters"].to_pylist() == [17, 0, 0, 0]
    assert [rule.name for rule in stage.rules()] == ["language.foreign_script", "language.mixed_languages"]
    with pytest.raises(RequestError, match="Set paragraphs: true"):
        Language(max_other_share=0.5)


def test_paragraphs_do_not_depend_on_the_batch() -> None:
    worker = Language(paragraphs=True).open()
    batch = batch_of(["\n".join(text or "" for _, text in SENTENCES), *(text for _, text in SENTENCES)])
    whole = worker.measure(batch, Scratch())
    parts = [worker.measure(batch.slice(row, 1), Scratch()) for row in range(batch.num_rows)]
    for name, column in whole.items():
        assert column.to_pylist() == [value for part in parts for value in part[name].to_pylist()]


def test_importing_the_stage_loads_no_library() -> None:
    import subprocess

    code = "import sys, corpusmill.stages.measure.language; assert not {'fasttext', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_data
def test_scores_equal_fasttext_on_many_languages() -> None:
    content = (DATA / "lid" / "ntrex-sentences-train.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(BytesIO(content)).read().split(b"\n")
    texts = [json.loads(line)["text"] for line in lines[::7] if line]
    columns = Language().open().measure(batch_of(texts), Scratch())
    labels, scores = load_model(MODELS / "lid.176.ftz").predict([text.replace("\n", " ") for text in texts])
    assert columns["lang"].to_pylist() == [label[0].removeprefix("__label__") for label in labels]
    assert columns["language_score"].to_pylist() == pytest.approx([float(s[0]) for s in scores], abs=1e-5)
