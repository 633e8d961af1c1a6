"""Wiki dumps: pages cut out of any stream, each a document or one line in the books."""

import bz2
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import read_bytes, read_file, reasons

from corpusmill.stages.collect.wikidump import Pages, Wikidump

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="de">
  <siteinfo><sitename>Wiki</sitename><base>https://de.example.org/wiki/Wikipedia:Hauptseite</base></siteinfo>
"""


def page(
    number: int, text: str = "Ein ''Text''.", title: str = "Über uns", ns: str = "<ns>0</ns>", extra: str = ""
) -> str:
    revisions = "".join(
        f"<revision><id>{number}{i}</id><timestamp>2024-01-0{i}T00:00:00Z</timestamp>{extra}"
        f"<text xml:space='preserve'>{body}</text></revision>"
        for i, body in enumerate(["old text", text], 1)
    )
    return f"<page><title>{title}</title>{ns}<id>{number}</id>{revisions}</page>\n"


def dump(*pages: str) -> bytes:
    return (HEAD + "".join(pages) + "</mediawiki>").encode()


def test_last_revision_becomes_a_document(tmp_path: Path) -> None:
    (row,), refusals = read_bytes(Wikidump(), bz2.compress(dump(page(7, "1 &lt; 2 &amp; [[x]]"))), tmp_path)
    assert refusals == []
    assert row["id"] == "7"
    assert row["content"] == b"1 < 2 & [[x]]"
    assert row["lang"] == "de"
    assert row["url"] == "https://de.example.org/wiki/%C3%9Cber_uns"
    expected = {"title": "Über uns", "namespace": 0, "revision": "72", "date": "2024-01-02T00:00:00Z"}
    assert json.loads(row["meta"]) == expected


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (page(2, "#REDIRECT [[x]]"), "wikidump.redirect"),
        (page(2, ns='<ns>0</ns><redirect title="x" />'), "wikidump.redirect"),
        (page(2, ns="<ns>10</ns>"), "wikidump.namespace"),
        (page(2, ns="", title="Template:Box"), "wikidump.namespace"),
        (page(2, extra="<model>wikibase-item</model>"), "wikidump.not_wikitext"),
        (page(2, " \n"), "empty_document"),
        (page(2, "x" * (1 + (1 << 20))), "record_too_large"),
        (page(2, "x" * (4 << 20)), "record_too_large"),
        (page(2, "a & b"), "malformed_record"),
        (page(2, "a \x01 b"), "malformed_record"),
        ("<page><title>x</title></page>", "missing_field"),
    ],
)
def test_page_that_is_no_document_has_its_reason(bad: str, reason: str, tmp_path: Path) -> None:
    rows, refusals = read_bytes(Wikidump(), dump(page(1), bad, page(3)), tmp_path)
    assert [row["id"] for row in rows] == ["1", "3"]
    assert reasons(refusals) == [("1", reason)]


def test_invalid_utf8_costs_its_page(tmp_path: Path) -> None:
    content = dump(page(1), page(2, "MARK"), page(3)).replace(b"MARK", b"\xff")
    rows, refusals = read_bytes(Wikidump(), content, tmp_path)
    assert len(rows) == 2
    assert reasons(refusals) == [("1", "invalid_utf8")]


def test_namespaces_are_a_setting_and_old_dumps_have_none(tmp_path: Path) -> None:
    pages = dump(page(1, ns="<ns>4</ns>"), page(2), page(3, ns="", title="Plain"), page(4, ns="", title="2001: A film"))
    assert [row["id"] for row in read_bytes(Wikidump(), pages, tmp_path)[0]] == ["2", "3", "4"]
    assert [row["id"] for row in read_bytes(Wikidump(namespaces=(4,)), pages, tmp_path)[0]] == ["1"]


def test_cut_dump_keeps_the_pages_before(tmp_path: Path) -> None:
    whole = dump(page(1), page(2))
    rows, refusals = read_bytes(Wikidump(), whole[:-60], tmp_path)
    assert [row["id"] for row in rows] == ["1"]
    assert reasons(refusals) == [("end", "truncated_input")]
    packed = bz2.compress(whole)
    assert [refusal.reason for refusal in read_bytes(Wikidump(), packed[:-20], tmp_path)[1]] == ["truncated_input"]


def test_no_dump_empty_dump_and_empty_file(tmp_path: Path) -> None:
    assert reasons(read_bytes(Wikidump(), b"hello", tmp_path)[1]) == [("all", "malformed_record")]
    assert read_bytes(Wikidump(), dump(), tmp_path) == ([], [])
    assert read_bytes(Wikidump(), b"", tmp_path) == ([], [])


@given(st.integers(1, 60), st.integers(20, 400))
def test_pages_do_not_depend_on_chunks(size: int, max_bytes: int) -> None:
    parts = ["<page>é</page>", "<page>" + "x" * 300 + "</page>", " <pages> ", "<page></page>"]
    data = "".join(parts).encode()
    whole = list(Pages(iter([data]), max_bytes))
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    pages = Pages(iter(chunks), max_bytes)
    assert list(pages) == whole
    assert [page is None for page in whole] == [
        len(part.encode()) > max_bytes for part in (parts[0], parts[1], parts[3])
    ]
    assert pages.damage is None


@pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")
def test_real_dumps_are_accounted_for_page_by_page() -> None:
    """Every `<page>` of 98 dumps is a document or a refusal; none fails."""
    folder = Path(os.environ["CORPUSMILL_DATA"]) / "wikidumps"
    files = [*folder.glob("*.bz2"), *folder.glob("minidumps/*.bz2")]
    assert len(files) == 98
    count: Counter[str] = Counter()
    for file in files:
        rows, refusals = read_file(Wikidump(), file, 16 << 20)
        count.update(refusal.reason for refusal in refusals)
        count["documents"] += len(rows)
        assert len(rows) + len(refusals) == bz2.decompress(file.read_bytes()).count(b"<page>"), file
    assert set(count) == {"documents", "wikidump.namespace", "wikidump.redirect", "wikidump.not_wikitext"}
    assert count["documents"] > 1100
