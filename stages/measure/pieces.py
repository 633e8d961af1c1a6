"""Cuts documents into paragraphs or sentences and scores each: a short insult in a long clean text, or a passage in
another language, shows here and not in the score of the whole.

A paragraph is a line that is not blank; a sentence ends inside a line where `kernels/sentence_spans.py` says. The
pieces of a batch are one Arrow array over the text's own buffer, so they are prepared and scored together and nothing
is copied before.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Column, text_buffers

Unit = Literal["paragraph", "sentence"]
SCORED = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("score", pa.float32())]))
LABELLED = pa.list_(
    pa.struct([("start", pa.int64()), ("end", pa.int64()), ("lang", pa.string()), ("score", pa.float32())])
)


@dataclass(frozen=True)
class Pieces:
    """The P pieces of N documents, in order; `text` has them with the blanks behind them."""

    text: Column  # P
    document: npt.NDArray[np.int64]  # P, row of the document
    starts: npt.NDArray[np.int64]  # P, bytes in the document
    ends: npt.NDArray[np.int64]  # P, without a line feed at the end
    num_documents: int

    def lists(self, kind: pa.DataType, chosen: npt.NDArray[np.int64], *values: Column) -> Column:
        """Per document the list of its chosen pieces: start, end and `values`, as `kind` names them."""
        columns = [pa.array(self.starts[chosen]), pa.array(self.ends[chosen]), *values]
        structs = pa.StructArray.from_arrays(columns, fields=list(cast("Any", kind).value_type))
        bounds = np.searchsorted(self.document[chosen], np.arange(self.num_documents + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(cast("Any", pa.array(bounds)), structs)

    def scored(self, scores: Column) -> tuple[Column, Column]:
        """Per document: its pieces with their scores [P], and the highest (float32).

        Pieces without a score are left out; a document without any has an empty list and a null.
        """
        values = scores.to_numpy(zero_copy_only=False)
        known = np.flatnonzero(~np.isnan(values))
        kept = values[known].astype(np.float32)
        highest = np.full(self.num_documents, -np.inf, dtype=np.float32)
        np.maximum.at(highest, self.document[known], kept)
        return self.lists(SCORED, known, pa.array(kept)), pa.array(highest, mask=np.isneginf(highest))


def cut_pieces(text: Column, unit: Unit = "paragraph") -> Pieces:
    """All pieces of the texts, blank ones too; nothing of a text is left out."""
    data, offsets = text_buffers(text)
    ends = np.flatnonzero(data[offsets[0] : offsets[-1]] == 10) + offsets[0] + 1
    cuts = np.union1d(ends, offsets).astype(np.int64)  # a line feed stays at the end of its paragraph
    if unit == "sentence":
        from corpusmill.stages.kernels.characters import character_classes
        from corpusmill.stages.kernels.sentence_spans import find_sentence_starts

        cuts = np.union1d(cuts, find_sentence_starts(data, offsets, character_classes()))
    _, _, buffer = text.buffers()
    pieces = pa.Array.from_buffers(pa.large_string(), len(cuts) - 1, [None, pa.py_buffer(cuts.tobytes()), buffer])
    starts, stops = cuts[:-1], cuts[1:]
    stops = stops - (data[stops - 1] == 10)
    document = np.searchsorted(offsets, starts, side="right") - 1
    return Pieces(pieces, document, starts - offsets[document], stops - offsets[document], len(text))
