"""A datatrove step as a stage: one generator per unit, our collector as its exclusion writer.

What the step hands to its exclusion writer is dropped with the step's reason; what vanishes unseen counts as dropped
by `datatrove_<name>`. A step that yields documents in another order than it got them is refused, since rows are
written as soon as a later one has come out. What its own writers write lies outside the books.
"""

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.chain import Slab
from corpusmill.pipeline.columns import take
from corpusmill.pipeline.document import with_column
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.stage_entry import StageEntry

ROW = "corpusmill_row"


class Exclusions:
    """Takes the place of a filter's exclusion writer: remembers why each document went."""

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}

    def __enter__(self) -> "Exclusions":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, document: Any, rank: int = 0, **_: object) -> None:
        self.reasons[document.metadata[ROW]] = str(document.metadata.get("filter_reason") or "")


def run_datatrove(entry: StageEntry, slabs: Iterator[Slab], books: Books) -> Iterator[Slab]:
    """The slabs with the step's drops and text applied, in order."""
    step = entry.stage.open()
    name = type(step).__name__ if entry.label == entry.stage.name else entry.label
    exclusions = Exclusions()
    if hasattr(step, "exclusion_writer"):
        step.exclusion_writer = exclusions
    waiting: deque[tuple[int, Slab]] = deque()  # (number of the slab's first row, slab) given to the step
    came: dict[int, str] = {}  # row number -> text of the documents that came out

    def documents() -> Iterator[Any]:
        from datatrove.data import Document

        number = 0
        for slab in slabs:
            waiting.append((number, slab))
            live = slab.live()
            texts, ids, metas = (live.column(name).to_pylist() for name in ("text", "id", "meta"))
            urls, langs = (live.column(column).to_pylist() for column in ("url", "lang"))
            for position, text, doc_id, meta, url, lang in zip(
                slab.alive.tolist(), texts, ids, metas, urls, langs, strict=True
            ):
                extra = json.loads(meta) if meta else {}
                metadata = {"meta": extra, "url": url, "language": lang, ROW: number + position}
                yield Document(text=text, id=doc_id, metadata=metadata)
            number += slab.rows.num_rows

    def finish(first: int, slab: Slab) -> Slab:
        """Apply what came out and what did not to a slab whose documents are all through."""
        texts = slab.rows.column("text").to_pylist() if slab.rows.num_rows else []
        for position in slab.alive.tolist():
            number = first + position
            if number in came:
                texts[position] = came.pop(number)
                continue
            reason = exclusions.reasons.pop(number, "")
            rule = f"datatrove_{name}.{reason}" if reason else f"datatrove_{name}"
            books.dropped[rule] += 1
            slab.drop(np.array([position]), rule, None, None)
        changed = pa.array(texts, type=pa.large_string())
        slab.rows = with_column(slab.rows, "text", take(changed, np.arange(len(texts))))
        return slab

    last = -1
    for document in step.run(documents(), 0, 1):
        number = document.metadata.get(ROW, -1)
        if number <= last:
            raise CorpusmillError(
                f"{entry.label}: the datatrove step yields documents out of order or makes new ones; "
                "run it as a pipeline of its own and read its output as a source."
            )
        last = number
        came[number] = document.text
        while waiting and number >= waiting[0][0] + waiting[0][1].rows.num_rows:
            yield finish(*waiting.popleft())
    while waiting:
        yield finish(*waiting.popleft())
