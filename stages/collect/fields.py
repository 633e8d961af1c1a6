"""From a record (a dictionary, whatever file it came from) to a document: which of its fields are what.

`text`, `id`, `url` and `lang` are taken by name; all others go to `meta`, as JSON, in their order.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from corpusmill.pipeline.document import RawBatch
from corpusmill.pipeline.stage import StageSettings


@dataclass(frozen=True, kw_only=True)
class Fields(StageSettings):
    """Settings of every reader of records."""

    text: str = "text"
    id: str | None = None  # None: <file name>#<record>; with a name, a record without that field is refused
    url: str | None = "url"
    lang: str | None = "lang"

    def add(self, batch: RawBatch, record: dict[str, Any], place: str, max_document_bytes: int) -> None:
        """Adds `record`, which is used up, to `batch`; `place` is its id where none is named; raises BadRecord."""
        text = _take_text(record, self.text, max_document_bytes)
        record_id = place if self.id is None else _take_id(record, self.id)
        url = _take_string(record, self.url)
        lang = _take_string(record, self.lang)
        batch.add(record_id, text, url=url, lang=lang, meta=_meta(record))


class BadRecord(Exception):
    """A record that can be no document; the reason is one of FAILED_REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


def to_json(value: object) -> str:
    """`value` as compact JSON; other types than JSON's (a date of a Parquet column) as their `str`."""
    return _ENCODER.encode(value)


def _meta(record: dict[str, Any]) -> str | None:
    """What is left of `record` as JSON, None where nothing is."""
    if not record:
        return None
    try:
        return to_json(record)
    except ValueError:  # JSON has no NaN and no infinity, Parquet and 1e999 have
        return to_json(_finite(record))


def _finite(value: Any) -> Any:
    """`value` with null for every number that is none."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _take_text(record: dict[str, Any], field: str, max_bytes: int) -> str:
    """Takes the document's text out of `record`; raises BadRecord."""
    if field not in record:
        raise BadRecord("missing_field", f"no field '{field}' among {sorted(record)[:20]}")
    text = record.pop(field)
    if text is None:
        raise BadRecord("null_text", f"field '{field}' is null, expected a string")
    if not isinstance(text, str):
        raise BadRecord("malformed_record", f"field '{field}' is a {type(text).__name__}, expected a string")
    if not text or text.isspace():
        raise BadRecord("empty_document", f"field '{field}' holds nothing but whitespace")
    if len(text) * 4 > max_bytes and len(text.encode("utf-8")) > max_bytes:
        raise BadRecord("record_too_large", f"the text is longer than max_document_bytes, {max_bytes}")
    return text


def _take_id(record: dict[str, Any], field: str) -> str:
    """Takes the id out of `record`: a string that is not empty, or a whole number; raises BadRecord."""
    if field not in record:
        raise BadRecord("missing_field", f"no field '{field}', which the recipe names as id")
    value = record.pop(field)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise BadRecord("malformed_record", f"id field '{field}' is {value!r:.100}, expected a string or a number")
    return str(value)


def _take_string(record: dict[str, Any], field: str | None) -> str | None:
    """Takes a string out of `record`; what is no string stays there, for `meta`."""
    if field is None or not isinstance(record.get(field), str):
        return None
    value: str = record.pop(field)
    return value
