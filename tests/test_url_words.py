"""url_words: listed words between separators, or anywhere where the list says so."""

from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.pipeline.stage import Rule, Scratch
from corpusmill.stages.measure.url_words import UrlWords

URLS = [
    ("https://example.com/best-casino-bonus", 1),
    ("https://xxx.example.com/XXX/xxx-xxx", 4),
    ("http://freepornvideos.example/watch?v=1", 1),
    ("https://www.essex.ac.uk/sussex", 0),
    ("https://example.com/analysis/milford-sound", 0),
    ("https://example.org/casino", 1),
    ("https://de.wikipedia.org/wiki/Staatsanalyse", 0),
    ("", 0),
    (None, None),
]


@pytest.mark.parametrize(("url", "expected"), URLS)
def test_the_default_list(url: str | None, expected: int | None) -> None:
    stage = UrlWords()
    columns = stage.open().measure(pa.record_batch({"url": pa.array([url], pa.string())}), Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    assert columns["url_words_num_found"].to_pylist() == [expected]


def test_a_list_of_ones_own_and_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("*shop*\nкупить\n")
    stage = UrlWords(lists=(path,), max_found=1)
    urls = pa.array(["https://webshop.example/shop/купить", "https://example.com/купитьсейчас"], pa.string())
    assert stage.open().measure(pa.record_batch({"url": urls}), Scratch())["url_words_num_found"].to_pylist() == [3, 0]
    assert stage.rules() == (Rule("url_words.listed", value=("url_words_num_found",), op=">", limit=1),)
    assert UrlWords(max_found=None).rules() == ()
