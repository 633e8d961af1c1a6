"""quality: the model of the document's language, null elsewhere, and the windows of its training."""

import json
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.stage import Rule, Scratch, measure_settings
from corpusmill.stages.measure.quality import SHIPPED, Quality, QualityWorker
from corpusmill.stages.models.train_quality import MAX_WINDOWS, WINDOW_CHARS, windows

ARTICLE = (
    "The bridge was completed in 1892 after eleven years of work. Its engineers had first proposed an arch of stone, "
    "which the council rejected because of the cost. The iron span that replaced it is still in use today.\n\n"
) * 5
MENU = "Home\nAbout us\nContact\nLogin | Register\nCart (0)\nBest price!!!\nBuy now\nClick here\nSitemap\nNext >>\n" * 6
ZH_ARTICLE = "这座桥于1892年建成，历时十一年。工程师最初提出建造石拱桥，但由于费用过高，市议会没有采纳。" * 8
ZH_MENU = "首页\n登录 注册\n彩票\n在线客服\n点击进入\n娱乐城 开户\n上一页 下一页\n友情链接\n" * 8


def batch_of(rows: list[tuple[str | None, str | None]]) -> Batch:
    texts, langs = [text for text, _ in rows], [lang for _, lang in rows]
    return pa.record_batch({"text": pa.array(texts, type=pa.large_string()), "lang": pa.array(langs, pa.string())})


@cache
def worker() -> QualityWorker:
    return Quality().open()


def measured(rows: list[tuple[str | None, str | None]]) -> list[float | None]:
    column = worker().measure(batch_of(rows), Scratch())["quality"]
    assert column.type == Quality().adds()["quality"]
    scores: list[float | None] = column.to_pylist()
    return scores


def test_articles_lie_above_menus() -> None:
    article, menu = measured([(ARTICLE, "en"), (MENU, "en")])
    assert (article or 0) > 0.5 > (menu or 1)
    article, menu = measured([(ZH_ARTICLE, "zh"), (ZH_MENU, "zh")])
    assert (article or 0) > 0.5 > (menu or 1)


def test_other_languages_and_empty_texts_are_undefined() -> None:
    rows = [(ARTICLE, "de"), (ARTICLE, None), ("", "en"), (None, "zh"), (" \n", "en")]
    assert measured([*rows]) == [None] * 5


def test_splitting_changes_nothing() -> None:
    pages = [(ARTICLE, "en"), (ZH_MENU, "zh"), (MENU, "fr"), (MENU, "en")]
    rows: list[tuple[str | None, str | None]] = [*pages, (None, None)]
    assert measured(rows) == [score for row in rows for score in measured([row])]


def test_one_model_for_all_languages() -> None:
    stage = Quality(model=SHIPPED["en"])
    column = stage.open().measure(batch_of([(ARTICLE, "de"), (ARTICLE, None)]), Scratch())["quality"].to_pylist()
    assert column == measured([(ARTICLE, "en")]) * 2
    assert stage.files() == (SHIPPED["en"], SHIPPED["en"].with_suffix(".json"))


def test_the_rule() -> None:
    assert Quality().rules() == ()
    assert Quality(min_score=0.3).rules() == (Rule("quality.low_quality", value=("quality",), op="<", limit=0.3),)
    assert measure_settings(Quality(min_score=0.3)) == measure_settings(Quality())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_cards_hold_what_was_measured(lang: str) -> None:
    card = json.loads(Path(SHIPPED[lang]).with_suffix(".json").read_text(encoding="utf-8"))
    assert card["text"] == "layout"
    assert card["held_out"][0]["auc"] >= 0.95
    assert {row["positive"] for row in card["sources"]} == {True, False}
    assert all(row["license"] for row in card["sources"])
    aucs = [row["auc"] for row in card["leave_one_source_out"]]
    assert len(aucs) == {"en": 24, "zh": 12}[lang]
    assert sum(aucs) / len(aucs) >= {"en": 0.88, "zh": 0.95}[lang]
    assert min(aucs) >= {"en": 0.70, "zh": 0.90}[lang]


def test_windows_are_equal_and_spread() -> None:
    length = WINDOW_CHARS["en"]
    assert list(windows("", "en")) == [""]
    assert list(windows("a" * length, "en")) == ["a" * length]
    assert [len(window) for window in windows("a" * (3 * length + 5), "en")] == [length] * 3
    assert [len(window) for window in windows("a" * (100 * length), "en")] == [length] * MAX_WINDOWS
