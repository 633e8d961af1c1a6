"""What gathers cut, mask or mark of documents: spans joined where they meet, and the lists that decisions hold."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.document import Column
from corpusmill.stages.gather.keep_policy import group_bounds

Numbers = npt.NDArray[np.int64]


def joined_spans(document: Numbers, start: Numbers, end: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Document, start and end of the spans sorted, overlapping and adjoining ones of a document as one.

    Documents are numbers below 2^25 (a part has 2^24); starts and ends are bytes of their texts, below 2^38.
    """
    order = np.lexsort((start, document))
    document, start, end = document[order], start[order], end[order]
    place = document << 38
    reach = np.maximum.accumulate(place + end)  # of all spans so far; those of earlier documents end below `place`
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = place[1:] + start[1:] > reach[:-1]
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(order)) - 1
    return document[first], start[first], (reach - place)[last] if len(order) else end


def span_lists(document: Numbers, start: Numbers, end: Numbers, how: str) -> tuple[Numbers, Column, Numbers]:
    """The documents that have spans (given sorted), their spans as SPANS, and the bytes of these."""
    bounds = group_bounds(document.astype(np.uint64))
    fields: Any = [pa.array(start), pa.array(end), cast("Any", pa).repeat(how, len(start))]
    spans = pa.StructArray.from_arrays(fields, names=["start", "end", "how"])
    lists = cast("Any", pa).ListArray.from_arrays(bounds.astype(np.int32), spans)
    sizes = np.add.reduceat(end - start, bounds[:-1]) if len(start) else end
    return document[bounds[:-1]], cast("Column", lists), sizes
