"""Wikitext: what the reader of a wiki page sees of each kind of markup, and real articles against another stripper."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import read_file

from corpusmill.pipeline.document import RAW_SCHEMA
from corpusmill.stages.collect.jsonl import Jsonl
from corpusmill.stages.collect.wikidump import Wikidump
from corpusmill.stages.extract.wikitext import Wikitext, plain_text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("'''Bold''', ''italic'' and '''''both'''''.", "Bold, italic and both."),
        (
            "[[Paris]] and [[Paris|the city]] and [[Paris, Texas|]] and [[bus]]es",
            "Paris and the city and Paris and buses",
        ),
        ("[[:Category:Cats]] stays", "Category:Cats stays"),
        ("a[[Category:Cats]]b[[de:Katze]]c[[Datei:x.png|thumb|A [[cat]] sits]]d[[文件:x.jpg]]e", "abcde"),
        ("[http://x.org label text] [http://x.org] [//x.org y] http://x.org", "label text  y http://x.org"),
        ("a{{cite|b={{c|d}}}}e", "ae"),
        ("{{Infobox\n| a = [[b]]\n| c = {{d}}\n}}\nText.", "Text."),
        ("{{lang|fr|mot}}, {{convert|5|km|mi}}, {{nowrap|a b}}, 1{{ndash}}2", "mot, 5 km, a b, 1–2"),
        ("before {{never closed", "before never closed"),
        ("a }} b ]] c", "a  b  c"),
        ("[[a {{b]] c}} d", "a b c d"),
        ('x\n{| class="w"\n|-\n| 1 || 2\n{|\n| inner\n|}\n|}\ny', "x\n\ny"),
        ('a<ref>note [[b]]</ref>b<ref name=x />c<ref name="y">z</ref>', "abc"),
        ("a<!-- [[hidden]] -->b", "ab"),
        ("<nowiki>[[raw]] ''x'' {{y}}</nowiki>", "[[raw]] ''x'' {{y}}"),
        ("x<sup>2</sup><br/>y <math>a^2</math>", "x2\ny a^2"),
        ("a<gallery>\nx.jpg|y\n</gallery>b", "ab"),
        ("* one\n** two\n# three\n: four", "- one\n- two\n- three\nfour"),
        ("__NOTOC__a __TOC__", "a"),
        ("A &amp; B&nbsp;C &lt;tag&gt;", "A & B C <tag>"),
        ("Ayn ({{IPA|x}}; ) Rand", "Ayn Rand"),
        (
            "Intro\n== One ==\ntext\n=== Empty ===\n== Two ==\n=== Three ===\nmore\n== See also ==\n",
            "Intro\n\nOne\n\ntext\n\nTwo\n\nThree\n\nmore",
        ),
        ("北京（{{lang|zh|x}}）是[[中国|中华人民共和国]]的首都。", "北京（x）是中华人民共和国的首都。"),
    ],
)
def test_markup(wikitext: str, text: str) -> None:
    assert plain_text(wikitext) == text


def test_headings_are_a_setting() -> None:
    assert plain_text("a\n== H ==\nb", headings=False) == "a\n\nb"


def test_rows_have_text_or_reason() -> None:
    contents = [b"''text''", b"{{only|a template}}", None]
    rows = [
        {"id": str(i), "text": None if content else "ready", "content": content, "content_type": None}
        | dict.fromkeys(("url", "lang", "meta"))
        for i, content in enumerate(contents)
    ]
    texts, reasons = Wikitext().open().extract(pa.RecordBatch.from_pylist(rows, schema=RAW_SCHEMA))
    assert texts.to_pylist() == ["text", None, "ready"]
    assert reasons.to_pylist() == [None, "empty_document", None]


@given(st.text(alphabet="[]{}|'=<>!-/ref*#:&;\n a", max_size=60))
def test_any_markup_gives_text(wikitext: str) -> None:
    text = plain_text(wikitext)
    assert text == text.strip("\n")
    assert "\n\n\n" not in text


HOSTILE = {
    "open": ("{{" * 300_000, ""),
    "links": ("[[a|" * 150_000 + "]]" * 150_000, "a"),
    "tables": ("{|\n" * 200_000 + "|}\n" * 200_000, ""),
    "references": ("<ref>" * 200_000, ""),
    "comments": ("<!--" * 200_000, ""),
    "quotes": ("''" * 300_000, ""),
    "parentheses": ("( " * 100_000, "(" + " (" * 99_999),
    "addresses": ("[http://a" * 100_000, "[http://a" * 100_000),
    "labels": ("[http://a b" * 100_000, "[http://a b" * 100_000),
    "blanks": ("[http://a" + " " * 500_000, "[http://a"),
    "nowiki": ("<nowiki>" * 100_000, "<nowiki>" * 99_999),
    "heading": ("= " + " " * 300_000 + "x" + " " * 300_000 + "=", ""),
    "equals": ("=" * 500_000, "=" * 500_000),
    "target": ("[[" + "(" * 300_000 + "|]]", "(" * 300_000),
    "mixed": ("{{[[" * 100_000 + "}}", ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_markup_costs_linear_time(name: str) -> None:
    """All take under a second; quadratic time would be minutes, which whoever runs the test would see."""
    wikitext, text = HOSTILE[name]
    same = plain_text(wikitext) == text  # apart from the assert: pytest's difference of such strings takes for ever
    assert same


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")
def test_real_articles_agree_with_another_stripper() -> None:
    """Words of articles against the same ones as stripped by whoever prepared `domains/wiki-en`."""
    folder = Path(os.environ["CORPUSMILL_DATA"])
    others = [row["text"] for row in read_file(Jsonl(), folder / "domains" / "wiki-en.train.jsonl.zst", 16 << 20)[0]]
    pages, _ = read_file(Wikidump(), folder / "wikidumps" / "enwiki-2009-shortened.xml.bz2", 16 << 20)
    scores = []
    for page in pages:
        ours = plain_text(page["content"].decode())
        twins = [other for other in others if other[:40] == ours[:40] and len(other) > 2000]
        if len(twins) == 1:
            assert json.loads(page["meta"])["title"]
            assert not re.search(r"\{\{|\}\}|\[\[|\]\]|<ref", ours)
            ours_words, other_words = (Counter(re.findall(r"\w+", text.lower())) for text in (ours, twins[0]))
            scores.append(2 * (ours_words & other_words).total() / (ours_words.total() + other_words.total()))
    assert len(scores) > 40
    assert sorted(scores)[len(scores) // 2] > 0.97
    assert sum(scores) / len(scores) > 0.95
