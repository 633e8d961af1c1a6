"""Finds what has a checkable form in a column of texts, counts it by type, and replaces it by the type's tag, or by a
stand-in of the same form.

A pattern has three steps, each narrower than the one before: an RE2 expression that Arrow tries on the whole column, an
exact expression that Python tries on the documents so found, and a check of the value (a checksum, a table).
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column, with_column
from corpusmill.pipeline.errors import RequestError


@dataclass(frozen=True)
class Pattern:
    """`quick` (RE2) finds every text in which `exact` can match; what its group `value` holds is shown to `accepts`
    with the match, and where it `may_run_on` into another number, shorter too."""

    quick: str
    exact: re.Pattern[str]
    accepts: Callable[[str, re.Match[str]], bool]
    may_run_on: bool = False

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        at = 0
        while match := self.exact.search(text, at):
            start = match.start("value")
            for end in _ends(match["value"], start) if self.may_run_on else (match.end("value"),):
                if self.accepts(text[start:end], match):
                    yield start, end
                    at = max(end, match.start() + 1)
                    break
            else:
                at = match.start() + 1


class Finder(Protocol):
    """What finds one type: `quick` is an RE2 expression that matches every text in which `spans` finds something."""

    @property
    def quick(self) -> str: ...

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Spans in characters, in order."""


Replace = Literal["tag", "stand_in", "nothing"]
StandIn = Callable[[str, str, random.Random], str]
"""(type, value, randomness) → what stands in for it."""


def check_types(stage: str, types: tuple[str, ...], patterns: Mapping[str, Finder]) -> None:
    """RequestError for a type that is none."""
    unknown = [name for name in types if name not in patterns]
    if unknown:
        raise RequestError(f"{stage}.types: '{unknown[0]}' is unknown, expected of {', '.join(patterns)}.")


def counted_columns(stage: str, types: tuple[str, ...]) -> dict[str, pa.DataType]:
    """What a masking stage adds: a count per type, and of all together."""
    return {name: pa.int32() for name in [*(f"{stage}_num_{kind}" for kind in types), f"{stage}_num_found"]}


class MaskingWorker:
    """Has nothing to load: the patterns are code. Where types overlap, the first in the order of `patterns` wins.

    A stand-in follows from a hash of the document, the type and the value: the same value in a document gets the same
    stand-in, and in another document another one, whatever came before.
    """

    def __init__(
        self,
        stage: str,
        patterns: Mapping[str, Finder],
        types: tuple[str, ...],
        *,
        replace: Replace,
        stand_in: StandIn,
    ) -> None:
        self.stage, self.types, self.replace, self.stand_in = stage, types, replace, stand_in
        self.patterns = {name: pattern for name, pattern in patterns.items() if name in types}

    def change(self, batch: Batch) -> tuple[Batch, dict[str, Column]]:
        text = batch.column("text")
        counts = {name: np.zeros(len(text), dtype=np.int32) for name in self.types}
        masked: list[str] = []
        changed = np.zeros(len(text), dtype=bool)
        for row, names in sorted(self._suspects(text).items()):
            document = text[row].as_py()
            spans = find_spans(document, {name: self.patterns[name] for name in names})
            for _, _, name in spans:
                counts[name][row] += 1
            if spans and self.replace != "nothing":
                masked.append(self._replaced(document, spans))
                changed[row] = True
        if masked:
            replaced = pc.replace_with_mask(text, pa.array(changed), pa.array(masked, type=pa.large_string()))
            batch = with_column(batch, "text", replaced)
        columns: dict[str, Column] = {f"{self.stage}_num_{name}": pa.array(counts[name]) for name in self.types}
        columns[f"{self.stage}_num_found"] = pa.array(sum(counts.values(), np.zeros(len(text), dtype=np.int32)))
        return batch, columns

    def _replaced(self, document: str, spans: list[tuple[int, int, str]]) -> str:
        if self.replace == "tag":
            return mask_spans(document, spans)
        digest = hashlib.blake2b(document.encode(), digest_size=16).hexdigest()
        parts, at = [], 0
        for start, end, name in spans:
            value = document[start:end]
            parts += [document[at:start], self.stand_in(name, value, random.Random(f"{digest} {name} {value}"))]
            at = end
        return "".join([*parts, document[at:]])

    def _suspects(self, text: Column) -> dict[int, list[str]]:
        """Row → the types whose filter found something in it, in winning order."""
        found: dict[int, list[str]] = {}
        for name, pattern in self.patterns.items():
            hits = pc.match_substring_regex(text, pattern.quick).to_pylist()
            for row in [row for row, hit in enumerate(hits) if hit]:
                found.setdefault(row, []).append(name)
        return found


def find_spans(text: str, patterns: Mapping[str, Finder]) -> list[tuple[int, int, str]]:
    """Spans (start, end, type) in characters, sorted, not overlapping."""
    spans: list[tuple[int, int, str]] = []
    for name, pattern in patterns.items():
        for start, end in pattern.spans(text):
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


def _ends(value: str, start: int) -> Iterator[int]:
    """The end of `value`, then the place before each of its separators from the right: what follows a number after
    a blank may be another number."""
    yield start + len(value)
    for at in range(len(value) - 1, 0, -1):
        if value[at] in " .-\u00a0" and value[at - 1].isdigit():
            yield start + at
