"""Records to documents; the readers' own tests cover the rest."""

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import RawBatch
from corpusmill.stages.collect.fields import BadRecord, Fields, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name not in ("text", "url", "lang")), JSON, max_size=5))
def test_meta_is_all_that_was_not_taken(others: dict[str, Any]) -> None:
    batch = RawBatch()
    Fields().add(batch, {"text": "a", **others}, "file#0", 100)
    meta = batch.rows[0][-1]
    assert (json.loads(meta) if meta is not None else {}) == others


@pytest.mark.parametrize("field", ["url", "lang"])
@pytest.mark.parametrize("value", [3, None, ["x"], ""])
def test_an_odd_url_or_language_stays_in_meta(field: str, value: Any) -> None:
    batch = RawBatch()
    Fields().add(batch, {"text": "a", field: value}, "file#0", 100)
    row = dict(zip(("id", "text", "content", "content_type", "url", "lang", "meta"), batch.rows[0], strict=True))
    if isinstance(value, str):
        assert row[field] == value
    else:
        assert row[field] is None
        assert json.loads(str(row["meta"])) == {field: value}


@pytest.mark.parametrize(
    ("text", "limit", "good"),
    [("x" * 100, 100, True), ("x" * 101, 100, False), ("字" * 33, 100, True), ("字" * 34, 100, False)],
)
def test_size_limit_counts_bytes(text: str, limit: int, good: bool) -> None:
    if good:
        Fields().add(RawBatch(), {"text": text}, "file#0", limit)
    else:
        with pytest.raises(BadRecord, match="record_too_large"):
            Fields().add(RawBatch(), {"text": text}, "file#0", limit)


def test_what_json_does_not_know_becomes_its_name() -> None:
    assert to_json({"d": datetime.date(2024, 2, 29)}) == '{"d":"2024-02-29"}'
