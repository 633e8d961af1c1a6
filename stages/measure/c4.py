"""C4's cleaning (Raffel et al. 2020, section 2.2): bad lines are cut out, and documents with little left are dropped.

The rules and their order are those of datatrove 0.10's C4QualityFilter, which follows the code of C4; the changed text
is the same, byte for byte. The number of sentences depends on the segmenter: datatrove asks spaCy, whose sentences
`segmenter: spacy-en` gives; ours is in kernels/sentences.py. A document that a rule drops where it stands ('{', lorem
ipsum), or of which no line is left, keeps its text, so that it can be looked at. FineWeb used
`terminal_punctuation: false`.

C4's terminal punctuation is ASCII: keep the default to English, or switch that rule off. Its list of bad words is not
here: see the stage `toxicity`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column, text_buffers, with_column
from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold


@dataclass(frozen=True, kw_only=True)
class C4(StageSettings):
    """What cuts a line is set by switches, which change the text; only `min_sentences` decides afterwards."""

    name: ClassVar[str] = "c4"
    kind: ClassVar[Kind] = "change"

    citations: bool = True  # remove [1], [edit], [citation needed]
    terminal_punctuation: bool = True  # cut lines that do not end in . ? ! " '
    min_line_words: int | None = 3  # cut shorter lines
    max_word_chars: int | None = 1000  # cut lines with a longer word
    javascript: bool = True  # cut lines that say javascript
    policy: bool = True  # cut lines about cookies, terms of use and privacy policy
    lorem_ipsum: bool = True  # drop the document
    curly_brackets: bool = True  # drop documents with '{' in a line not cut before

    segmenter: Literal["auto", "spacy-en"] = "auto"  # of sentences

    min_sentences: int | None = threshold(5)

    def adds(self) -> dict[str, pa.DataType]:
        return {f"c4_{name}": pa.int32() for name in MEASURES}

    def rules(self) -> tuple[Rule, ...]:
        made = [
            Rule("c4.lorem_ipsum", ("c4_lorem_ipsum",), ">", 0),
            Rule("c4.curly_bracket", ("c4_curly_brackets",), ">", 0),
        ]
        if self.min_sentences is not None:
            made.append(Rule("c4.too_few_sentences", ("c4_sentences",), "<", self.min_sentences))
        return tuple(made)

    def open(self) -> "C4Worker":
        return C4Worker(self)


MEASURES = (
    "lines",
    "kept_lines",
    "sentences",  # in kept lines; null where the document was ended by lorem ipsum or '{'
    "long_word_lines",
    "non_terminal_lines",
    "short_lines",
    "javascript_lines",
    "policy_lines",
    "citations",
    "lorem_ipsum",
    "curly_brackets",
)


class C4Worker:
    """Cuts lines in one pass, then counts sentences in what is left."""

    def __init__(self, settings: C4) -> None:
        self.settings = settings

    def change(self, batch: Batch) -> tuple[Batch, dict[str, Column]]:
        from corpusmill.stages.kernels import c4_lines
        from corpusmill.stages.kernels.characters import character_classes

        wanted, text = self.settings, batch.column("text")
        data, offsets, counted = c4_lines.keep_lines(
            *text_buffers(text),
            character_classes(),
            c4_lines.MARKS if wanted.citations else c4_lines.NEVER,
            c4_lines.LOREM_IPSUM if wanted.lorem_ipsum else c4_lines.NEVER,
            c4_lines.JAVASCRIPT if wanted.javascript else c4_lines.NEVER,
            c4_lines.POLICY if wanted.policy else c4_lines.NEVER,
            -1 if wanted.max_word_chars is None else wanted.max_word_chars,
            -1 if wanted.min_line_words is None else wanted.min_line_words,
            wanted.terminal_punctuation,
            wanted.curly_brackets,
        )
        buffers = pa.py_buffer(cast("Any", offsets)), pa.py_buffer(cast("Any", data))
        kept: Column = pa.LargeStringArray.from_buffers(len(text), *buffers)
        if text.null_count:
            kept = cast("Column", pc.if_else(pc.is_valid(text), kept, pa.scalar(None, pa.large_string())))
        batch = with_column(batch, "text", kept)
        counts = dict(zip(c4_lines.COUNTS, counted.T, strict=True))
        counts["sentences"] = np.where(counts["kept_lines"] > 0, self.sentences(batch, counts["kept_lines"]), 0)
        ended = counts["lorem_ipsum"] + counts["curly_brackets"] > 0
        masks = {"sentences": ended}
        return batch, {f"c4_{name}": pa.array(counts[name], pa.int32(), mask=masks.get(name)) for name in MEASURES}

    def sentences(self, batch: Batch, kept_lines: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64 [rows]: sentences in all lines of the text that is left."""
        data, offsets = text_buffers(batch.column("text"))
        if self.settings.segmenter == "spacy-en":
            from corpusmill.stages.kernels.spacy_words import count_spacy_sentences, find_spacy_words

            first, starts, num_bytes, _, _, flags = find_spacy_words(data, offsets)
            return count_spacy_sentences(data, offsets, first, starts, num_bytes, flags)
        from corpusmill.stages.kernels.characters import character_classes
        from corpusmill.stages.kernels.sentences import count_sentence_breaks

        return kept_lines + count_sentence_breaks(data, offsets, character_classes())
