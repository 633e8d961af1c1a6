"""Scores the paragraphs of each document: a short insult in a long clean text shows here and not in its own score.

A paragraph is a line that is not blank. All paragraphs of a batch are one Arrow array over the text's own buffer, so
they are prepared and scored together and nothing is copied before.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.document import Column, text_buffers

PARAGRAPHS = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("score", pa.float32())]))


def score_paragraphs(text: Column, score: Callable[[Column], Column]) -> tuple[Column, Column]:
    """Per document: its paragraphs with their bytes in its UTF-8 text and scores, and the highest score (float32).

    Paragraphs without a score are left out; a document without any has an empty list and a null.
    """
    data, offsets = text_buffers(text)
    ends = np.flatnonzero(data[offsets[0] : offsets[-1]] == 10) + offsets[0] + 1
    cuts = np.union1d(ends, offsets).astype(np.int64)  # a line feed stays at the end of its paragraph
    _, _, buffer = text.buffers()
    pieces = pa.Array.from_buffers(pa.large_string(), len(cuts) - 1, [None, pa.py_buffer(cuts.tobytes()), buffer])
    scores = score(pieces).to_numpy(zero_copy_only=False)
    scored = np.flatnonzero(~np.isnan(scores))
    starts, stops, scores = cuts[:-1][scored], cuts[1:][scored], scores[scored].astype(np.float32)
    stops = stops - (data[stops - 1] == 10)
    document = np.searchsorted(offsets, starts, side="right") - 1
    spans = pa.StructArray.from_arrays(
        [pa.array(starts - offsets[document]), pa.array(stops - offsets[document]), pa.array(scores)],
        fields=list(PARAGRAPHS.value_type),
    )
    list_offsets = np.searchsorted(document, np.arange(len(text) + 1)).astype(np.int32)
    highest = np.full(len(text), -np.inf, dtype=np.float32)
    np.maximum.at(highest, document, scores)
    lists = pa.ListArray.from_arrays(cast("Any", pa.array(list_offsets)), spans)
    return lists, pa.array(highest, mask=np.isneginf(highest))
