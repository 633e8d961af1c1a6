"""FineWeb's own quality rules (Penedo et al. 2024, "The FineWeb Datasets", section 3.5), as datatrove 0.10 has them.

Given the same words, the counts are those of its FineWebQualityFilter; words matter for `too_many_line_breaks` alone.
Characters that end a sentence are datatrove's, of all scripts.
"""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.layout import lines_of
from corpusmill.stages.measure.segmenters import Segmenter, segmenter_depends
from corpusmill.stages.measure.words import character_counts, repeated_pieces, word_counts


@dataclass(frozen=True, kw_only=True)
class Fineweb(StageSettings):
    """A threshold of None switches its rule off. A document of white space alone is `fineweb.blank`."""

    name: ClassVar[str] = "fineweb"
    kind: ClassVar[Kind] = "measure"

    segmenter: Segmenter = "auto"
    short_line_chars: int = 30  # a line of so many characters or fewer is short

    min_terminal_line_ratio: float | None = threshold(0.12)
    keep_without_terminal_lines: bool = threshold(False)  # the rule spares documents that have none: poems, lists
    max_short_line_ratio: float | None = threshold(0.67)
    max_dup_line_char_ratio: float | None = threshold(0.01)
    max_line_break_ratio: float | None = threshold(0.3)  # line feeds per word

    def adds(self) -> dict[str, pa.DataType]:
        return {f"fineweb_{name}": pa.int32() for name in MEASURES}

    def rules(self) -> tuple[Rule, ...]:
        made = [Rule("fineweb.blank", ("fineweb_lines",), "=", 0)]
        if self.min_terminal_line_ratio is not None:
            made.append(self._terminal_rule(self.min_terminal_line_ratio))
        for name, numerator, denominator, limit in (
            ("mostly_short_lines", "short_lines", "lines", self.max_short_line_ratio),
            ("repeated_lines", "dup_line_chars", "line_chars", self.max_dup_line_char_ratio),
            ("too_many_line_breaks", "newlines", "words", self.max_line_break_ratio),
        ):
            if limit is not None:
                made.append(Rule(f"fineweb.{name}", (f"fineweb_{numerator}", f"fineweb_{denominator}"), ">", limit))
        return tuple(made)

    def _terminal_rule(self, limit: float) -> Rule:
        columns = ("fineweb_terminal_lines", "fineweb_lines")
        name = "fineweb.few_lines_end_a_sentence"
        if not self.keep_without_terminal_lines:
            return Rule(name, columns, "<", limit)
        return Rule(name, when=f"{columns[0]} > 0 and {columns[0]} / {columns[1]} < {limit!r}", columns=columns)

    @property
    def depends(self) -> tuple[str, ...]:  # type: ignore[override]
        return segmenter_depends(self.segmenter)

    def open(self) -> "FinewebWorker":
        return FinewebWorker(self)


MEASURES = (
    "lines",  # between line feeds, not only white space
    "terminal_lines",  # of these: end a sentence
    "short_lines",
    "dup_line_chars",  # characters of lines seen before in the document
    "line_chars",  # characters but line feeds
    "newlines",
    "words",
)


class FinewebWorker:
    """Adds the line counts to what words and characters were counted before."""

    def __init__(self, settings: Fineweb) -> None:
        self.settings = settings

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.stages.kernels.line_counts import COUNTS, count_lines
        from corpusmill.stages.kernels.repeated_pieces import FULL

        lines = lines_of(batch, scratch)
        counted = count_lines(lines.first, lines.num_chars, lines.flags, self.settings.short_line_chars)
        characters = character_counts(batch, scratch)
        counts = dict(zip(COUNTS, counted.T, strict=True))
        counts["dup_line_chars"] = repeated_pieces(batch, scratch, FULL)["later_chars"]
        counts["line_chars"] = characters["chars"] - characters["newlines"]
        counts["newlines"] = characters["newlines"]
        counts["words"] = word_counts(batch, scratch, self.settings.segmenter)["words"]
        return {f"fineweb_{name}": pa.array(counts[name], pa.int32()) for name in MEASURES}
