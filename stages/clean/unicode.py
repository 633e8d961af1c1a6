"""Normalises the Unicode of a text: composed characters, one kind of line end, nothing invisible that says nothing.

Composition is NFC of UAX #15. Line ends are the mandatory breaks of UAX #14 (CR LF, CR, NEL, VT, FF, LS, PS), all
written as a line feed. Removed: control characters but tab and line feed, byte-order marks (U+FEFF) anywhere, blanks
(tab and the characters of category Zs) at the end of a line. Joiners and bidirectional marks stay: Arabic, Persian,
Hindi and emoji need them. Mojibake ("donâ€™t") is mended by ftfy where the recipe asks.

Cost: a document that needs nothing is only read, by one RE2 automaton over the Arrow buffer; Python sees
the others alone. A batch in which nothing changes is given back as it came, without a copy.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column, with_column
from corpusmill.pipeline.stage import Kind, StageSettings

LINE_ENDS = "\r\x0b\x0c\x85\u2028\u2029"
BLANKS = "\t \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
CONTROLS = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class Normalize(StageSettings):
    """What is changed; each part can be switched off. Applying it twice is the same as applying it once."""

    name: ClassVar[str] = "normalize"
    kind: ClassVar[Kind] = "change"
    depends: ClassVar[tuple[str, ...]] = ("ftfy",)

    compose: bool = True  # NFC
    line_ends: bool = True
    controls: bool = True
    byte_order_marks: bool = True
    trailing_blanks: bool = True
    mojibake: bool = False  # ftfy's fix_encoding: every document that is not ASCII passes through Python

    def adds(self) -> dict[str, pa.DataType]:
        return {
            "normalize_num_line_ends": pa.int32(),  # line ends rewritten; CR LF is one
            "normalize_num_controls": pa.int32(),  # control characters removed
            "normalize_num_byte_order_marks": pa.int32(),
            "normalize_num_trailing_blanks": pa.int32(),  # characters
            "normalize_composed": pa.bool_(),  # NFC changed the text
            "normalize_mojibake": pa.bool_(),  # ftfy changed the text
        }

    def open(self) -> "NormalizeWorker":
        return NormalizeWorker(self)


class NormalizeWorker:
    """Finds the documents that need work in the Arrow buffer, and works on those in Python."""

    def __init__(self, settings: Normalize) -> None:
        self.settings = settings
        self.suspicious = suspicious_pattern(settings)

    def change(self, batch: Batch) -> tuple[Batch, dict[str, Column]]:
        text = batch.column("text")
        rows = self._rows_to_mend(text)
        counts = np.zeros((len(COUNTED), len(text)), dtype=np.int32)
        mended: list[str] = []
        for row in rows:
            document, counts[:, row] = self._mend(text[row].as_py())
            mended.append(document)
        if mended:
            mask = np.zeros(len(text), dtype=bool)
            mask[rows] = True
            replaced = pc.replace_with_mask(text, pa.array(mask), pa.array(mended, type=pa.large_string()))
            batch = with_column(batch, "text", replaced)
        types = self.settings.adds()
        columns = {name: pa.array(counts[i]).cast(types[name]) for i, name in enumerate(types)}
        return batch, columns

    def _rows_to_mend(self, text: Column) -> list[int]:
        found = pc.match_substring_regex(text, self.suspicious) if self.suspicious else pa.array([False] * len(text))
        if self.settings.mojibake:
            found = pc.or_kleene(found, pc.invert(pc.string_is_ascii(text)))
        return [row for row, suspicious in enumerate(found.to_pylist()) if suspicious]

    def _mend(self, document: str) -> tuple[str, tuple[int, ...]]:
        """The document and its counts in the order of `COUNTED`. Mending is repeated until nothing changes,
        which matters for mojibake alone: what ftfy decodes may hold a line end, what is composed may be mojibake."""
        total = np.zeros(len(COUNTED), dtype=np.int64)
        while True:
            mended, counts = self._mend_once(document)
            total += counts
            if mended == document or not self.settings.mojibake:
                return mended, (*total[:4].tolist(), int(total[4] > 0), int(total[5] > 0))
            document = mended

    def _mend_once(self, document: str) -> tuple[str, tuple[int, ...]]:
        settings = self.settings
        num_line_ends = num_controls = num_marks = num_blanks = composed = repaired = 0
        if settings.mojibake:
            document, repaired = _repair_mojibake(document)
        if settings.line_ends:
            document, num_line_ends = _LINE_END.subn("\n", document)
        if settings.controls:
            document, num_controls = _CONTROL.subn("", document)
        if settings.byte_order_marks:
            num_marks = document.count(BYTE_ORDER_MARK)
            document = document.replace(BYTE_ORDER_MARK, "") if num_marks else document
        if settings.compose and not unicodedata.is_normalized("NFC", document):
            document, composed = unicodedata.normalize("NFC", document), 1
        if settings.trailing_blanks:
            trimmed = "\n".join([line.rstrip(BLANKS) for line in document.split("\n")])
            num_blanks = len(document) - len(trimmed)
            document = trimmed
        return document, (num_line_ends, num_controls, num_marks, num_blanks, composed, repaired)


COUNTED = ("line_ends", "controls", "byte_order_marks", "trailing_blanks", "composed", "mojibake")

_LINE_END = re.compile(f"\r\n|[{LINE_ENDS}]")
_CONTROL = re.compile(f"[{CONTROLS}]")


def _repair_mojibake(document: str) -> tuple[str, int]:
    import ftfy

    repaired = ftfy.fix_encoding(document)
    return repaired, int(repaired != document)


def suspicious_pattern(settings: Normalize) -> str:
    """An RE2 pattern that finds every document which `settings` may change ('' when nothing can).

    For NFC these are the characters whose NFC_Quick_Check is not Yes, and two non-starters in a row, which may be
    out of order (UAX #15, section 9).
    """
    parts = []
    if settings.line_ends:
        parts.append(f"[{_escaped(map(ord, LINE_ENDS))}]")
    if settings.controls:
        parts.append(r"[\x00-\x08\x0e-\x1f\x7f-\x{84}\x{86}-\x{9f}]")
    if settings.byte_order_marks:
        parts.append(r"\x{feff}")
    if settings.trailing_blanks:
        parts.append(rf"[{_escaped(map(ord, BLANKS))}](?:\n|\z)")
    if settings.compose:
        not_quick, non_starters = composition_classes()
        parts.append(f"[{not_quick}]|[{non_starters}][{non_starters}]")
    return "|".join(parts)


@cache
def composition_classes() -> tuple[str, str]:
    """Two RE2 character classes: characters whose NFC_Quick_Check is No or Maybe, and those with a combining class.

    Made from this interpreter's Unicode data, which is also what normalises, in about half a second once per process.
    """
    not_quick = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}  # Hangul vowels and finals compose by rule
    non_starters = set()
    for code in range(0xC0, 0x110000):
        if 0xAC00 <= code < 0xE000:  # Hangul syllables are composed already; surrogates are no text
            continue
        character = chr(code)
        decomposition = unicodedata.decomposition(character)
        if decomposition and not decomposition.startswith("<"):
            if unicodedata.normalize("NFC", character) != character:
                not_quick.add(code)
            not_quick.update(int(second, 16) for second in decomposition.split()[1:])
        if unicodedata.combining(character):
            non_starters.add(code)
    return _escaped(not_quick), _escaped(non_starters)


def _escaped(codes: Iterable[int]) -> str:
    """Code points as the inside of an RE2 class, neighbours joined to ranges."""
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" if low < high else f"\\x{{{low:x}}}" for low, high in ranges)
