"""Measures of source code, and the filters of StarCoder (Li et al. 2023, section 3; Lozhkov et al. 2024, section 2).

Those are the longest and the mean line, the share of letters and digits, XML that goes by another name, files that say
in their first lines that a program made them, and, where you ask for it, the share of comments. The language, which
only comments need, is told by the ending of the record's id or URL, or set; in one that is not listed comments are not
measured. A docstring is a comment; so is a triple-quoted string that begins a line.

Departure: numerals that are no decimal digits (², Ⅷ) are not counted as alphanumeric.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column, text_buffers
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.layout import lines_of
from corpusmill.stages.measure.words import character_counts

ENDINGS = {
    "HASH": "py pyi rb sh bash zsh pl pm r jl yaml yml toml cmake nim ps1 tf ex exs mk",
    "SLASH": "c h cc cpp cxx hpp hh cs java js jsx ts tsx go rs swift kt kts scala php dart m css scss proto zig sol",
    "DASH": "sql lua hs elm ada adb vhd vhdl",
    "PERCENT": "tex sty bib erl pro",
    "SEMICOLON": "lisp lsp clj cljs scm rkt el asm s ini",
    "MARKUP": "html htm xml svg md vue",
}
"""Family of kernels/comments.py -> endings of files."""

GENERATED = re.compile(
    r"auto-?generated|automatically generated|generated (?:automatically )?by|do not (?:edit|modify)|code generated",
    re.I,
)
HEAD_LINES = 5
XML_HEAD_CHARS = 100


@dataclass(frozen=True, kw_only=True)
class SourceCode(StageSettings):
    """A threshold of None switches its rule off."""

    name: ClassVar[str] = "source_code"
    kind: ClassVar[Kind] = "measure"

    ending: str | None = None  # of all files, such as "py"; None looks at each id and URL

    max_line_chars: int | None = threshold(1000)
    max_mean_line_chars: float | None = threshold(100.0)
    min_alnum_ratio: float | None = threshold(0.25)
    min_letter_ratio: float | None = threshold(0.25)
    max_lines: int | None = threshold(100_000)
    min_comment_ratio: float | None = threshold(None)  # StarCoder: 0.01
    max_comment_ratio: float | None = threshold(None)  # StarCoder: 0.8
    keep_generated: bool = threshold(False)
    keep_xml: bool = threshold(False)

    def __post_init__(self) -> None:
        if self.ending is not None and self.ending not in _families():
            raise ValueError(f"no such ending: {self.ending!r}; there is: {', '.join(sorted(_families()))}")

    def adds(self) -> dict[str, pa.DataType]:
        return {f"source_code_{name}": pa.int32() for name in MEASURES}

    def rules(self) -> tuple[Rule, ...]:
        made = []
        for rule, op, limit, columns in (
            ("a_very_long_line", ">", self.max_line_chars, ("longest_line",)),
            ("long_lines", ">", self.max_mean_line_chars, ("chars", "lines")),
            ("too_few_letters_and_digits", "<", self.min_alnum_ratio, ("alnum_chars", "chars")),
            ("too_few_letters", "<", self.min_letter_ratio, ("letter_chars", "chars")),
            ("too_many_lines", ">", self.max_lines, ("lines",)),
            ("too_few_comments", "<", self.min_comment_ratio, ("comment_chars", "chars")),
            ("mostly_comments", ">", self.max_comment_ratio, ("comment_chars", "chars")),
            ("generated", ">", None if self.keep_generated else 0, ("generated",)),
            ("xml", ">", None if self.keep_xml else 0, ("xml",)),
        ):
            if limit is not None:
                names = tuple(f"source_code_{name}" for name in columns)
                made.append(Rule(f"source_code.{rule}", names, "<" if op == "<" else ">", limit))
        return tuple(made)

    def open(self) -> "SourceCodeWorker":
        return SourceCodeWorker(self)


MEASURES = (
    "chars",
    "lines",  # line feeds, and one more unless the text ends with one
    "longest_line",
    "alnum_chars",
    "letter_chars",
    "comment_chars",  # null where the language is not known
    "generated",  # 1: the first lines say so
    "xml",  # 1: begins as XML
)


def _families() -> dict[str, str]:
    return {ending: family for family, endings in ENDINGS.items() for ending in endings.split()}


class SourceCodeWorker:
    """Adds comments and heads of files to what lines and characters were counted before."""

    def __init__(self, settings: SourceCode) -> None:
        from corpusmill.stages.kernels import comments

        self.settings = settings
        self.family = {ending: getattr(comments, family) for ending, family in _families().items()}

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.stages.kernels.comments import count_comment_chars

        lines, characters = lines_of(batch, scratch), character_counts(batch, scratch)
        data, offsets = text_buffers(batch.column("text"))
        comments = count_comment_chars(data, offsets, self._family_of_rows(batch))
        last = lines.first[1:] - 1
        heads = [_head(data, offsets, lines.first, lines.ends, row) for row in range(batch.num_rows)]
        counts: dict[str, npt.NDArray[np.int64]] = {
            "chars": characters["chars"],
            "lines": np.diff(lines.first) - (lines.num_chars[last] == 0),
            "longest_line": np.maximum.reduceat(lines.num_chars, lines.first[:-1]) if batch.num_rows else last,
            "alnum_chars": characters["letters"] + characters["digits"],
            "letter_chars": characters["letters"],
            "comment_chars": comments,
            "generated": np.array([GENERATED.search(head) is not None for head in heads], dtype=np.int64),
            "xml": np.array(["<?xml version=" in head[:XML_HEAD_CHARS] for head in heads], dtype=np.int64),
        }
        unknown = {"comment_chars": comments < 0}
        return {f"source_code_{name}": pa.array(counts[name], pa.int32(), mask=unknown.get(name)) for name in MEASURES}

    def _family_of_rows(self, batch: Batch) -> npt.NDArray[np.int64]:
        if self.settings.ending is not None:
            return np.full(batch.num_rows, self.family[self.settings.ending], dtype=np.int64)
        found = np.zeros(batch.num_rows, dtype=np.int64)
        for name in ("url", "id"):
            names = batch.column(name).to_pylist() if name in batch.schema.names else []
            for row, value in enumerate(names):
                ending = (value or "").rsplit("#", 1)[0].rsplit("?", 1)[0].rsplit(".", 1)[-1].lower()
                found[row] = found[row] or self.family.get(ending, 0)
        return found


def _head(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int32],
    row: int,
) -> str:
    """The first lines of a row, at most 4,096 bytes of them."""
    line = min(int(first[row]) + HEAD_LINES, int(first[row + 1])) - 1
    start = int(offsets[row])
    end = min(int(offsets[0]) + int(ends[line]), start + 4096)
    return data[start:end].tobytes().decode(errors="ignore")
