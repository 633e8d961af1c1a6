"""Charsets of pages: the same text in many encodings, labelled rightly, wrongly and not at all."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import read_file

from corpusmill.stages.collect.warc import Warc
from corpusmill.stages.extract.charset import decode_page

CHINESE = "机器学习是人工智能的一个分支，研究计算机怎样模拟或实现人类的学习行为，以获取新的知识或技能。"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。"
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему."
GERMAN = "Die Straße führt über die Brücke; ältere Häuser säumen sie, und schöne Gärten dazu – für alle."
KOREAN = (
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았다."
)

CASES = [
    (CHINESE, "gb18030"),
    (CHINESE, "gbk"),
    (JAPANESE, "shift_jis"),
    (JAPANESE, "euc_jp"),
    (JAPANESE, "iso2022_jp"),
    (RUSSIAN, "windows-1251"),
    (RUSSIAN, "koi8-r"),
    (GERMAN, "windows-1252"),
    (KOREAN, "euc-kr"),
]


def as_page(text: str, meta: str = "") -> str:
    return f"<html><head>{meta}<title>{text[:10]}</title></head><body><p>{text * 3}</p></body></html>"


@pytest.mark.parametrize(("text", "encoding"), CASES)
@pytest.mark.parametrize("where", ["header", "meta", "nowhere"])
def test_label_in_header_or_page_or_nowhere(text: str, encoding: str, where: str) -> None:
    page = as_page(text, f'<meta charset="{encoding}">' if where == "meta" else "")
    header = f"text/html; charset={encoding}" if where == "header" else "text/html"
    assert decode_page(page.encode(encoding), header) == page


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, RUSSIAN, GERMAN, KOREAN])
@pytest.mark.parametrize("label", ["iso-8859-1", "gb2312", "utf-8", "nonsense", ""])
def test_utf8_is_utf8_whatever_the_label(text: str, label: str) -> None:
    page = as_page(text, f'<meta charset="{label}">')
    assert decode_page(page.encode(), f"text/html; charset={label}") == page


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_wins_and_goes(encoding: str) -> None:
    page = as_page(CHINESE)
    assert decode_page(page.encode(encoding), "text/html; charset=windows-1252") == page


def test_meta_label_of_the_old_form() -> None:
    meta = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">'
    page = as_page(RUSSIAN, meta)
    assert decode_page(page.encode("windows-1251"), None) == page


def test_a_few_broken_bytes_are_gaps_and_many_are_no_charset() -> None:
    page = as_page(CHINESE * 10).encode("gbk")
    got = decode_page(page + b"\xff\xff", "text/html; charset=gbk")
    assert got is not None
    assert "\ufffd" in got
    assert decode_page(as_page(CHINESE).encode("gbk") + b"\xff" * 40, "text/html; charset=gbk") is None


@given(st.binary(max_size=400), st.sampled_from([None, "text/html; charset=utf-16", "text/html; charset=utf-7", "x"]))
def test_any_bytes_give_text_or_none(content: bytes, content_type: str | None) -> None:
    got = decode_page(content, content_type)
    if got is not None:
        got.encode("utf-8")


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")
def test_pages_of_the_web_are_nearly_all_readable() -> None:
    path = Path(os.environ["CORPUSMILL_DATA"]) / "html-gold" / "trafilatura-eval-a.warc.gz"
    rows, _ = read_file(Warc(), path, 16 << 20)
    decoded = [decode_page(row["content"], row["content_type"]) for row in rows]
    assert len(decoded) == 200
    assert sum(page is None for page in decoded) == 0
    assert sum("\ufffd" in (page or "") for page in decoded) <= 6


TRADITIONAL = "臺灣大學的研究人員今天宣布，他們在人工智慧領域取得了新的進展，研究歷時三年，並得到了委員會的資助。"


@pytest.mark.parametrize(("text", "encoding"), [*CASES, (TRADITIONAL, "big5")])
@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "us-ascii"])
def test_a_server_that_says_latin_1_knows_less_than_the_page(text: str, encoding: str, label: str) -> None:
    page = as_page(text, f'<meta charset="{encoding}">')
    assert decode_page(page.encode(encoding), f"text/html; charset={label}") == page


@pytest.mark.parametrize(
    ("text", "encoding"), [case for case in [*CASES, (TRADITIONAL, "big5")] if case[0] not in (RUSSIAN, GERMAN)]
)
def test_east_asian_text_that_is_called_latin_1(text: str, encoding: str) -> None:
    page = as_page(text, '<meta charset="iso-8859-1">')
    assert decode_page(page.encode(encoding), "text/html; charset=iso-8859-1") == page


@pytest.mark.parametrize(
    "text",
    [
        GERMAN,
        "Le théâtre où naquit l'œuvre, à la fenêtre : « déjà vu », ça et là, Noël.",
        "El niño comió piñas; ¿cuándo volverá? ¡Mañana!",
        "Smörgåsbord på svenska är väldigt gott.",
    ],
)
@pytest.mark.parametrize("times", [1, 20])
def test_latin_1_stays_latin_1(text: str, times: int) -> None:
    page = as_page(text * times)
    for meta in ("", '<meta charset="iso-8859-1">'):
        page = as_page(text * times, meta)
        assert decode_page(page.encode("cp1252"), "text/html; charset=iso-8859-1") == page


@pytest.mark.parametrize(
    ("text", "label", "encoding"),
    [
        ("똠방각하와 펲시콜라, 햏자의 샾", "euc-kr", "cp949"),
        ("①㈱髙﨑 ～", "shift_jis", "cp932"),
        ("镕 € 㐀", "gb2312", "gb18030"),
    ],
)
def test_characters_that_browsers_read_beyond_the_standard(text: str, label: str, encoding: str) -> None:
    page = as_page(text)
    assert decode_page(page.encode(encoding), f"text/html; charset={label}") == page
