"""Classifiers by language: each document by its own, null where there is none, whatever the batch."""

import pyarrow as pa

from corpusmill.stages.measure.by_language import LanguageClassifiers
from corpusmill.stages.measure.classifier import ClassifierWorker
from corpusmill.stages.measure.quality import SHIPPED

TEXTS = ["The bridge was completed in 1892.", "这座桥于1892年建成。", "Buy now!!!", "", None]
LANGS = ["en", "zh-Hans", "fr", "en", None]


def worker(lang: str) -> ClassifierWorker:
    return ClassifierWorker(SHIPPED[lang], "quality")


def texts(rows: slice = slice(None)) -> "pa.Array[pa.LargeStringScalar]":
    return pa.array(TEXTS[rows], type=pa.large_string())


def test_each_language_has_its_model_and_others_none() -> None:
    found = LanguageClassifiers({"en": worker("en"), "zh": worker("zh")})
    scores = found.scores(texts(), pa.array(LANGS, pa.string())).to_pylist()
    own = [worker(lang).scores(texts(slice(row, row + 1))).to_pylist()[0] for row, lang in enumerate(("en", "zh"))]
    assert scores == [*own, None, None, None]
    assert found.scores(texts(), None).to_pylist() == [None] * 5


def test_one_for_documents_without_a_language_and_the_same_for_several() -> None:
    found = LanguageClassifiers({"en": worker("en"), None: (shared := worker("zh")), "zh": shared})
    for lang, own in (("en", "en"), ("zh", "zh"), (None, "zh")):
        scores = found.scores(texts(), pa.array([lang] * 5, pa.string())).to_pylist()
        assert scores == worker(own).scores(texts()).to_pylist()
    assert found.scores(texts(), pa.array(["te"] * 5, pa.string())).to_pylist() == [None] * 5
    assert found.scores(texts(), None).to_pylist() == worker("zh").scores(texts()).to_pylist()
    alone = LanguageClassifiers({None: worker("zh")}).scores(texts(), pa.array(["te"] * 5, pa.string()))
    assert alone.to_pylist() == worker("zh").scores(texts()).to_pylist()
