"""The whole report: it asks nothing of a network, shows hostile and right-to-left text safely, and counts right."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_run import ARABIC, CHINESE, run_with_sweep

from corpusmill.pipeline.report import read_report, write_report
from corpusmill.pipeline.report.page import percent, printable, render, shown, size
from corpusmill.pipeline.run_folder import RunFolder

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Outline(HTMLParser):
    """Collects tags, checks that they nest, and keeps the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page() -> str:
    write_report(run_with_sweep())
    return Path(run_with_sweep().path("report.html")).read_text(encoding="utf-8")


def test_is_well_formed_and_asks_nothing_of_a_network(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert not re.search(r"<(script|link|img|iframe|object)\b", page)
    assert not re.search(r"https?://|@import|url\(", page)
    addresses = [value for _, name, value in outline.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith("#") for value in addresses)
    assert "default-src 'none'" in page


def test_links_lead_to_sections(page: str) -> None:
    attributes = Outline(page).attributes
    targets = {value for tag, name, value in attributes if tag == "section" and name == "id"}
    assert {value[1:] for _, name, value in attributes if name == "href"} == targets
    assert {"overview", "waterfall", "languages", "values", "dropped", "tokens", "sweep-main"} <= targets


def test_shows_the_numbers_of_the_run(page: str) -> None:
    text = Outline(page).text
    for expected in ("exact.duplicate", "short: < 12", "null_text", "natural-0", "207"):  # 207 tokens, val included
        assert expected in text
    report = json.loads(Path(run_with_sweep().path("report.json")).read_text(encoding="utf-8"))
    assert report["format"] == 1
    documents = report["sources"]["web"]["documents"]
    assert documents == {"in": 7, "kept": 3, "dropped": {"short": 2, "controls": 1, "exact.duplicate": 1}, "failed": {}}
    assert report == json.loads(json.dumps(read_report(run_with_sweep())))


def test_hostile_text_stays_text() -> None:
    report = read_report(run_with_sweep())
    hostile = "<script>alert(1)</script>\x00\x1b]\x7f' onload='x"
    example = {
        "id": hostile,
        "lang": hostile,
        "value": hostile,
        "threshold": hostile,
        "winner": hostile,
        "text": hostile,
    }
    group = {"rule": hostile, "phase": hostile, "failed": False, "examples": [example | {"more": 3}]}
    page = render(report | {"dropped": [group], "run": hostile})
    outline = Outline(page)
    assert outline.open == []
    assert "<script" not in page
    assert not any(name == "onload" for _, name, _ in outline.attributes)
    assert "\u2400\u241b]\u2421" in page


def test_arabic_and_chinese_are_themselves() -> None:
    report = read_report(run_with_sweep())
    base = {"id": "a", "value": 1, "threshold": 2.0, "winner": None, "more": 0}
    examples = [base | {"lang": "ar", "text": ARABIC}, base | {"lang": "zh", "text": CHINESE}]
    page = render(report | {"dropped": [{"rule": "r", "phase": "p", "failed": False, "examples": examples}]})
    assert f"<blockquote dir='auto' lang='ar'>{ARABIC}</blockquote>" in page
    assert f"<blockquote dir='auto' lang='zh'>{CHINESE}</blockquote>" in page


def test_an_unfinished_or_empty_run_has_a_report_too(tmp_path: Path) -> None:
    write_report(RunFolder(str(tmp_path)))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert Outline(page).open == []
    assert "run is empty" in page


def test_two_reports_of_one_run_are_equal() -> None:
    assert render(read_report(run_with_sweep())) == render(read_report(run_with_sweep()))


@pytest.mark.parametrize(
    ("num_bytes", "written"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_340_000, "2.3 MB"), (5e12, "5.00 TB")]
)
def test_size(num_bytes: float, written: str) -> None:
    assert size(num_bytes) == written


def test_small_formats() -> None:
    assert percent(1, 8) == "12.5%"
    assert percent(0, 0) == ""
    assert shown(0.123456) == "0.1235"
    assert shown(["en", "zh"]) == "en, zh"
    assert shown(None) == "None"
    assert printable("a\tb\n\x07\x7f") == "a\tb\n\u2407\u2421"
