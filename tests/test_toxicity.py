"""toxicity: the shipped model reaches its floors on texts it never saw, and leaves clean documents alone."""

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.language_codes import language_code
from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.stage import Rule, Scratch, measure_settings
from corpusmill.pipeline.stage_entry import StageEntry
from corpusmill.stages.measure.toxicity import DEFAULT_MAX_SCORE, OFF, SHIPPED, Toxicity, ToxicityWorker
from corpusmill.stages.models import train_toxicity
from corpusmill.stages.models.labelled_examples import read_rows
from corpusmill.stages.models.model_file import MODELS
from corpusmill.stages.models.operating_points import roc_auc
from corpusmill.stages.models.train_classifier import score_texts

DATA = Path(os.environ.get("CORPUSMILL_DATA", ""))
needs_data = pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is unset")
MODEL = MODELS / "toxicity.ftz"

TOXIC = [
    "you stupid bitch, shut the fuck up",
    "all of them are worthless scum and should be killed",
    "你这个傻逼，滚出去",
    "ihr seid alle dreckige Schweine, verpisst euch",
]
CLEAN = [
    "The museum opens at nine and the garden at ten.",
    "本法自公布之日起施行，国务院有关部门应当制定实施办法。",
    "子曰：學而時習之，不亦說乎？",
    "Der Zug nach Köln fährt heute von Gleis drei ab.",
    "def main() -> None:\n    print('kill -9 the process')",
    "The killing of the king in act two is told, not shown.",
]


@cache
def worker() -> ToxicityWorker:
    return Toxicity().open()


def batch_of(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, type=pa.large_string())})


def measured(texts: list[str | None], lang: str | None = None) -> list[float | None]:
    langs = pa.array([lang] * len(texts), pa.string())
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string()), "lang": langs})
    column = worker().measure(batch, Scratch())["toxicity"]
    assert column.type == Toxicity().adds()["toxicity"]
    scores: list[float | None] = column.to_pylist()
    return scores


def test_insults_lie_above_half_and_clean_text_below_the_default() -> None:
    assert min(score or 0 for score in measured([*TOXIC])) > 0.5
    assert max(score or 0 for score in measured([*CLEAN])) < DEFAULT_MAX_SCORE


def test_text_without_words_is_undefined() -> None:
    assert measured(["", None, " \n", "@user https://example.com"]) == [None] * 4


def test_splitting_changes_nothing() -> None:
    texts: list[str | None] = [*TOXIC, None, *CLEAN]
    assert measured(texts) == [score for text in texts for score in measured([text])]


def test_german_documents_get_a_model_of_their_own() -> None:
    german, clean = TOXIC[3], CLEAN[3]
    for lang in ("de", "de-AT", "deu_Latn"):
        own = measured([german, clean], lang)
        assert (
            own
            == Toxicity(model=SHIPPED["de"])
            .open()
            .measure(batch_of([german, clean]), Scratch())["toxicity"]
            .to_pylist()
        )
        assert own != measured([german, clean], "fr")
        assert own != measured([german, clean])
    assert measured([german, clean]) == measured([german, clean], "fr")


@needs_data
def test_news_in_any_language_is_not_dropped() -> None:
    """NTREX: the same news in 128 languages, in passages of twelve sentences. The model for six languages dropped more
    than half of them in Telugu, Burmese, Khmer, Gujarati, Tibetan and Korean."""
    passages: dict[str, list[str]] = {}
    for row in read_rows(Path(os.environ["CORPUSMILL_DATA"]) / "lid/ntrex-sentences-train.jsonl.zst"):
        passages.setdefault(row["lang"], []).append(row["text"])
    dropped, judged = {}, set()
    for lang, sentences in passages.items():
        texts: list[str | None] = ["\n".join(sentences[at : at + 12]) for at in range(0, len(sentences), 12)]
        scores = measured(texts, lang)
        judged |= {language_code(lang)} if any(score is not None for score in scores) else set()
        table = pa.table({"toxicity": pa.array(scores, pa.float32()), "lang": [language_code(lang)] * len(texts)})
        dropped[lang] = int((evaluate(Toxicity().rules(), table).first >= 0).sum())
    assert len(dropped) == 128
    assert {lang: count for lang, count in dropped.items() if count} == {}
    assert judged == {"en", "zh", "de", "ko", "ar", "fr"}


def test_korean_is_judged_where_the_recipe_says_so() -> None:
    korean = StageEntry(Toxicity(), "toxicity", per_language=(("ko", Toxicity(max_score=0.5)),))
    table = pa.table({"toxicity": pa.array([0.9, 0.9, 0.9], pa.float32()), "lang": ["ko", "en", None]})
    assert evaluate(korean.rules("web"), table).first.tolist() == [0, 0, 0]
    assert evaluate(Toxicity().rules(), table).first.tolist() == [-1, 0, 0]


def test_an_insult_among_sentences_shows_in_its_own() -> None:
    stage = Toxicity(sentences=True, max_score=None, max_sentence_score=0.5)
    text = " ".join([*CLEAN[:1] * 9, "You stupid bitch, shut the fuck up!", *CLEAN[:1] * 9])
    columns = stage.open().measure(batch_of([text]), Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    (spans,) = columns["toxicity_sentences"].to_pylist()
    assert spans is not None
    assert [text[s["start"] : s["end"]].strip() for s in spans if s["score"] > 0.5] == [
        "You stupid bitch, shut the fuck up!"
    ]
    assert [rule.name for rule in stage.rules()] == ["toxicity.toxic_sentence"]
    with pytest.raises(RequestError, match="Set sentences: true"):
        Toxicity(max_sentence_score=0.9)


def test_an_insult_in_a_long_text_shows_in_its_paragraph() -> None:
    stage = Toxicity(paragraphs=True, max_score=None, max_paragraph_score=0.9)
    text = "\n\n".join([*CLEAN * 20, TOXIC[0], *CLEAN])
    batch = pa.record_batch({"text": pa.array(["", text], type=pa.large_string())})
    columns = stage.open().measure(batch, Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    assert columns["toxicity"].to_pylist()[1] < 0.1  # type: ignore[operator]  # Arrow's values are untyped
    assert columns["toxicity_max_paragraph"].to_pylist() == [None, pytest.approx(measured([TOXIC[0]])[0])]
    start = text.encode().index(TOXIC[0].encode())
    spans = columns["toxicity_paragraphs"].to_pylist()[1]
    assert spans is not None
    assert [(s["start"], s["end"]) for s in spans if s["score"] > 0.9] == [(start, start + len(TOXIC[0].encode()))]
    limit = Rule("toxicity.toxic_paragraph", value=("toxicity_max_paragraph",), op=">", limit=0.9, by_language=OFF)
    assert stage.rules() == (limit,)
    with pytest.raises(RequestError, match="Set paragraphs: true"):
        Toxicity(max_paragraph_score=0.9)


def test_the_rule() -> None:
    rule = Rule("toxicity.toxic", value=("toxicity",), op=">", limit=DEFAULT_MAX_SCORE)
    assert Toxicity(model=MODEL).rules() == (rule,)
    assert Toxicity().rules() == (replace(rule, by_language=OFF),)
    assert Toxicity(max_score=None).rules() == ()
    assert measure_settings(Toxicity(max_score=0.5)) == measure_settings(Toxicity())
    assert MODEL in Toxicity().files()


def test_the_card_names_every_licence_and_the_threshold() -> None:
    card = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["default_threshold"] == DEFAULT_MAX_SCORE
    assert {row["source"] for row in card["sources"]} >= {"cold", "davidson2017", "germeval2018", "beep-korean"}
    assert all(row["license"] and "NC" not in row["license"] for row in card["sources"])
    assert all(row["num_flagged"] <= 0.005 * row["num_documents"] for row in card["clean_documents"])


@needs_data
def test_held_out_comments_reach_the_floors() -> None:
    sets = {  # language → sources, least ROC-AUC, least recall at the default threshold
        "en": (("davidson2017", "stormfront-sentences"), 0.92, 0.60),
        "zh": (("cold",), 0.94, 0.55),
        "ko": (("beep-korean",), 0.78, 0.50),
        "de": (("germeval2018",), 0.87, 0.40),
    }
    examples = [e for e in train_toxicity.labelled_comments(DATA) if e.held_out(10)]
    for lang, (sources, auc_floor, recall_floor) in sets.items():
        chosen = [e for e in examples if e.source in sources]
        positive = np.array([e.positive for e in chosen])
        scores = np.array([score or 0.0 for score in measured([e.text for e in chosen], lang)])
        assert roc_auc(positive, scores) >= auc_floor, lang
        assert np.mean(scores[positive] > DEFAULT_MAX_SCORE) >= recall_floor, lang


@needs_data
@pytest.mark.parametrize("model", SHIPPED.values())
def test_clean_documents_of_every_domain_pass(model: Path) -> None:
    """Whole documents of the part of each domain that was not trained on."""
    for file in sorted((DATA / "domains").glob("*.val.jsonl.zst")):
        scores = score_texts(model, [row["text"] for row in read_rows(file)], train_toxicity.SETTINGS)
        assert np.mean(scores > DEFAULT_MAX_SCORE) <= 0.005, file.name
