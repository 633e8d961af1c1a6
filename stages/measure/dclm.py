"""DCLM's line edits (Li et al. 2024, after RefinedWeb, Penedo et al. 2023): bad lines are cut out, and documents that
lose more than a twentieth of their words are dropped.

Steps, order and limits are those of DCLM's dclm_baseline_refinedweb.yaml, from `newline_removal_modifier` on; its
document filters are `gopher@dclm`, which comes before this stage. kernels/dclm_lines.py says what is easily missed.
DCLM counts words in two ways, and so do we: a line's are those of `str.split`, a document's are fastText's that begin
with a letter or number. `Read more...` is a regular expression to DCLM, so any three characters may follow `Read more`.

Departures: URLs are neither filtered nor cut out of texts. A document of which no line is left keeps its text, so that
it can be looked at. White space at the ends of the text goes even with all steps switched off.

English only. A line of Chinese, Japanese or Thai is one word between blanks, and goes: `min_line_words: null` keeps
such lines, and no other step knows their words.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column, text_buffers, with_column
from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold

MEASURES = (
    "lines",
    "kept_lines",
    "uppercase_lines",
    "numeric_lines",
    "counter_lines",
    "short_lines",
    "phrase_lines",  # blank without the phrases below
    "blank_lines",  # at an end of the text
    "phrases",
    "line_feeds",
    "words",  # before
    "removed_words",  # may be below 0: a word behind a wide blank counts only once the blank is gone
)


@dataclass(frozen=True, kw_only=True)
class Dclm(StageSettings):
    """What cuts a line is set by switches, which change the text; only `max_removed_word_ratio` decides afterwards."""

    name: ClassVar[str] = "dclm"
    kind: ClassVar[Kind] = "change"

    line_feeds: bool = True  # more than two in a row become two
    max_uppercase_ratio: float | None = 0.5  # of a line's characters; cut lines above
    max_digit_ratio: float | None = 0.999_999
    counters: bool = True  # cut lines such as '3 likes' and '1.2K views'
    min_line_words: int | None = 2  # cut shorter lines, but not empty ones
    phrases: bool = True  # remove 'items in cart', 'Read more...', 'Sign-in' from lines of at most 10 words

    max_removed_word_ratio: float | None = threshold(0.05)

    def adds(self) -> dict[str, pa.DataType]:
        return {f"dclm_{name}": pa.int32() for name in MEASURES}

    def rules(self) -> tuple[Rule, ...]:
        made = [Rule("dclm.no_line_left", ("dclm_kept_lines",), "<", 1), Rule("dclm.no_words", ("dclm_words",), "<", 1)]
        if self.max_removed_word_ratio is not None:
            share = ("dclm_removed_words", "dclm_words")
            made.append(Rule("dclm.too_many_words_removed", share, ">", self.max_removed_word_ratio))
        return tuple(made)

    def open(self) -> "DclmWorker":
        return DclmWorker(self)


class DclmWorker:
    """Edits a batch in one call."""

    def __init__(self, settings: Dclm) -> None:
        self.settings = settings

    def change(self, batch: Batch) -> tuple[Batch, dict[str, Column]]:
        from corpusmill.stages.kernels import dclm_lines

        wanted, text = self.settings, batch.column("text")
        data, offsets, counted = dclm_lines.edit_lines(
            *text_buffers(text),
            dclm_lines.line_classes(),
            dclm_lines.COUNTED if wanted.counters else dclm_lines.NEVER,
            dclm_lines.ANYWHERE if wanted.phrases else dclm_lines.NEVER,
            dclm_lines.SUFFIX,
            dclm_lines.PREFIX,
            1.0 if wanted.max_uppercase_ratio is None else float(wanted.max_uppercase_ratio),
            1.0 if wanted.max_digit_ratio is None else float(wanted.max_digit_ratio),
            0 if wanted.min_line_words is None else wanted.min_line_words,
            wanted.line_feeds,
        )
        buffers = pa.py_buffer(cast("Any", offsets)), pa.py_buffer(cast("Any", data))
        kept: Column = pa.LargeStringArray.from_buffers(len(text), *buffers)
        if text.null_count:
            kept = cast("Column", pc.if_else(pc.is_valid(text), kept, pa.scalar(None, pa.large_string())))
        counts = dict(zip(dclm_lines.COUNTS, counted.T, strict=True))
        counts["removed_words"] = counts["words"] - counts["kept_words"]
        columns: dict[str, Column] = {f"dclm_{name}": pa.array(counts[name], pa.int32()) for name in MEASURES}
        return with_column(batch, "text", kept), columns
