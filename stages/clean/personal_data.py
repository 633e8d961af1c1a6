"""Finds personal data that has a checkable form, and masks it with the type's tag: `write to [EMAIL]`.

Types, each from its specification, in the order in which they win where they overlap:

    url_credentials  user:password of a URL (RFC 3986, 3.2.1)
    email            addr-spec of RFC 5322 without quotes, under a known top-level domain
    iban             ISO 13616: length of the country, remainder 1 modulo 97
    cn_id            GB 11643: region, date, check digit modulo 11
    card             ISO/IEC 7812: issuer, length, Luhn's check digit
    us_ssn           area, group and serial that can be issued, with dashes or blanks
    cn_mobile        11 digits, 13x to 19x
    phone            E.164: `+`, country code, as many digits as the country has
    ip               IPv4 and IPv6 that are globally routable: neither private nor reserved for documentation

Names, places and dates are not masked: they cannot be told from public ones by form. What stands inside a longer
identifier, number, version, path or DOI stays. Only ASCII letters and digits count as its neighbours, since
Chinese, Japanese and Thai put no blank around a number.

Cost: one RE2 pass per type over the Arrow buffer finds the documents that may hold it; Python sees those alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column, with_column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold
from corpusmill.stages.clean.personal_patterns import PATTERNS


@dataclass(frozen=True, kw_only=True)
class PersonalData(StageSettings):
    """Counts per type; masks where `mask` is true; drops documents with more than `max_found` where that is set."""

    name: ClassVar[str] = "personal_data"
    kind: ClassVar[Kind] = "change"

    types: tuple[str, ...] = tuple(PATTERNS)
    mask: bool = True  # false: counted only
    max_found: int | None = threshold(None)  # of all types together

    def __post_init__(self) -> None:
        unknown = [name for name in self.types if name not in PATTERNS]
        if unknown:
            raise RequestError(f"personal_data.types: '{unknown[0]}' is unknown, expected of {', '.join(PATTERNS)}.")

    def adds(self) -> dict[str, pa.DataType]:
        names = [*(f"personal_data_num_{name}" for name in self.types), "personal_data_num_found"]
        return {name: pa.int32() for name in names}

    def rules(self) -> tuple[Rule, ...]:
        if self.max_found is None:
            return ()
        return (Rule("personal_data.too_much", value=("personal_data_num_found",), op=">", limit=self.max_found),)

    def open(self) -> "PersonalDataWorker":
        return PersonalDataWorker(self)


class PersonalDataWorker:
    """Has nothing to load: the patterns are code."""

    def __init__(self, settings: PersonalData) -> None:
        self.settings = settings
        self.types = tuple(name for name in PATTERNS if name in settings.types)  # in the order in which they win

    def change(self, batch: Batch) -> tuple[Batch, dict[str, Column]]:
        text = batch.column("text")
        suspects = self._suspects(text)
        counts = {name: np.zeros(len(text), dtype=np.int32) for name in self.types}
        masked: list[str] = []
        changed = np.zeros(len(text), dtype=bool)
        for row, names in sorted(suspects.items()):
            document = text[row].as_py()
            spans = find_personal_data(document, tuple(names))
            for _, _, name in spans:
                counts[name][row] += 1
            if spans and self.settings.mask:
                masked.append(mask_spans(document, spans))
                changed[row] = True
        if masked:
            replaced = pc.replace_with_mask(text, pa.array(changed), pa.array(masked, type=pa.large_string()))
            batch = with_column(batch, "text", replaced)
        types = self.settings.types
        columns: dict[str, Column] = {f"personal_data_num_{name}": pa.array(counts[name]) for name in types}
        columns["personal_data_num_found"] = pa.array(sum(counts.values(), np.zeros(len(text), dtype=np.int32)))
        return batch, columns

    def _suspects(self, text: Column) -> dict[int, list[str]]:
        """Row → the types whose filter found something in it, in winning order."""
        found: dict[int, list[str]] = {}
        for name in self.types:
            hits = pc.match_substring_regex(text, PATTERNS[name].quick).to_pylist()
            for row in [row for row, hit in enumerate(hits) if hit]:
                found.setdefault(row, []).append(name)
        return found


def find_personal_data(text: str, types: tuple[str, ...] = tuple(PATTERNS)) -> list[tuple[int, int, str]]:
    """Spans (start, end, type) in characters, sorted, not overlapping."""
    spans: list[tuple[int, int, str]] = []
    for name in types:
        for start, end in _matches(text, name):
            if all(end <= other_start or start >= other_end for other_start, other_end, _ in spans):
                spans.append((start, end, name))
    return sorted(spans)


def mask_spans(text: str, spans: list[tuple[int, int, str]]) -> str:
    """The text with each span replaced by its tag, such as [US_SSN]."""
    parts, at = [], 0
    for start, end, name in spans:
        parts += [text[at:start], f"[{name.upper()}]"]
        at = end
    return "".join([*parts, text[at:]])


def _matches(text: str, name: str) -> Iterator[tuple[int, int]]:
    pattern = PATTERNS[name]
    at = 0
    while match := pattern.exact.search(text, at):
        start = match.start("value")
        for end in _ends(match["value"], start) if pattern.may_run_on else (match.end("value"),):
            if pattern.accepts(text[start:end], match):
                yield start, end
                at = max(end, match.start() + 1)
                break
        else:
            at = match.start() + 1


def _ends(value: str, start: int) -> Iterator[int]:
    """The end of `value`, then the place before each of its separators from the right: what follows a number after
    a blank may be another number."""
    yield start + len(value)
    for at in range(len(value) - 1, 0, -1):
        if value[at] in " .-\u00a0" and value[at - 1].isdigit():
            yield start + at
