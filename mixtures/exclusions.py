"""Takes documents out of a run that is under way: from a position on they have no loss, and nothing else moves.

The rows stay where they are, so every other token is read at the step at which it would have been. Attention is kept
out of them by the document numbers of the batch (`segments.py`), as out of any other document.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.provenance import ranges_of_ids
from corpusmill.mixtures.segments import IGNORED
from corpusmill.pipeline.errors import RequestError

Ints = npt.NDArray[np.int64]


class Exclusions:
    """Documents, by id, that are trained on no more from position `from_position` on."""

    def __init__(self, loader: PlanLoader, ids: Collection[str], from_position: int = 0) -> None:
        """Finds the documents in the plan's sources. Raises RequestError for ids that none of them has."""
        self.loader = loader
        self.from_position = from_position
        self.ranges: dict[int, tuple[Ints, Ints]] = {}
        num_found = 0
        for index, rows in enumerate(loader.sources):
            starts, lengths = ranges_of_ids(rows.reader.source, rows.reader.run, ids)
            num_found += len(starts)
            if len(starts):
                self.ranges[index] = starts, starts + lengths
        if num_found < len(set(ids)):
            raise RequestError(
                f"exclude: {len(set(ids))} ids, {num_found} of them in the sources of the plan: "
                "take out of the list what was never in (corpusmill explain RUN ID says where a document went)."
            )

    def mask(self, first: int, targets: Ints) -> int:
        """Takes the loss from the excluded documents' tokens in `targets` [rows, T] of positions `first` and on, in
        place. Gives the number of targets masked."""
        num_masked = 0
        located = self.loader.locate(np.arange(first, first + len(targets), dtype=np.int64))
        for slot, (source, row) in enumerate(zip(located.source.tolist(), located.row.tolist(), strict=True)):
            if source not in self.ranges or first + slot < self.from_position:
                continue
            starts, ends = self.ranges[source]
            inputs = self.loader.sources[source].tokens_of(row)
            # A target is excluded with its own document, and with the document that it would be predicted from.
            hidden = (_inside(inputs + 1, starts, ends) | _inside(inputs, starts, ends)) & (inputs >= 0)
            targets[slot][hidden] = IGNORED
            num_masked += int(hidden.sum())
        return num_masked


def _inside(tokens: Ints, starts: Ints, ends: Ints) -> npt.NDArray[np.bool_]:
    """Whether each token lies in one of the ranges, which are sorted and apart."""
    index = np.searchsorted(starts, tokens, side="right") - 1
    inside: npt.NDArray[np.bool_] = (index >= 0) & (tokens < ends[index])
    return inside
