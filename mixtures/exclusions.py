"""Takes documents out of a run that is under way: from a position on they are not read, and nothing else moves.

    corpusmill plan RUN --exclude ids.txt --from STEP

The rows stay where they are, so every other token is read at the step at which it would have been. Tokens of an
excluded document become end ids, so that no other document can attend to them, and have no loss. The ids lie beside the
plan and are named in it; every way of reading the plan applies them.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.plan import Excluded, Plan
from corpusmill.mixtures.provenance import ranges_of_ids
from corpusmill.mixtures.segments import IGNORED
from corpusmill.mixtures.sources import Place, Source, run_folder
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from corpusmill.mixtures.loader import SourceRows

Ints = npt.NDArray[np.int64]
EXCLUDED = "plans/excluded"  # in the run folder, one list of ids for each file


def exclude(plan: Plan, sources: list[Source], place: Place, ids: Collection[str], position: int) -> Plan:
    """The plan without these documents from `position` on; their ids are stored in the run folder.

    `sources` are the plan's. Raises RequestError for ids that none of them has.
    """
    run, wanted = run_folder(place), sorted(set(ids))
    if not wanted:
        raise RequestError("exclude: the list of ids is empty.")
    if not 0 <= position <= plan.num_rows:
        raise RequestError(f"exclude: position {position} is not in the plan, which has {plan.num_rows} rows.")
    found = sum(len(ranges_of_ids(source, run, wanted)[0]) for source in sources)
    if found < len(wanted):
        raise RequestError(
            f"exclude: {len(wanted)} ids, {found} of them in the sources of the plan: "
            "take out of the list what was never in (corpusmill explain RUN ID says where a document went)."
        )
    fingerprint = hash_json(wanted)
    run.put_json(f"{EXCLUDED}/{fingerprint}.json", wanted)
    made = Excluded(position, len(wanted), fingerprint, plan.fingerprint)
    return replace(plan, excluded=(*plan.excluded, made))


class Exclusions:
    """What a plan excludes, as ranges of tokens of each source."""

    def __init__(self, plan: Plan, sources: "list[SourceRows]", run: RunFolder) -> None:
        """Raises RequestError where a list of ids is missing."""
        self.end_of_document = plan.end_of_document
        self.ranges: dict[int, list[tuple[int, Ints, Ints]]] = {}  # source -> (from position, starts, ends)
        for each in plan.excluded:
            ids: list[str] | None = run.read_json(f"{EXCLUDED}/{each.ids}.json")
            if ids is None:
                raise RequestError(f"{run.url}/{EXCLUDED}/{each.ids}.json is missing: exclude the documents again.")
            for index, rows in enumerate(sources):
                starts, lengths = ranges_of_ids(rows.reader.source, run, ids)
                if len(starts):
                    order = np.argsort(starts)
                    ranges = each.position, starts[order], (starts + lengths)[order]
                    self.ranges.setdefault(index, []).append(ranges)

    def apply(self, position: int, source: int, tokens: Ints, inputs: Ints, targets: Ints) -> None:
        """Takes excluded documents out of one row in place. `tokens` [T] are the numbers of its inputs in the source,
        -1 for padding; a target is excluded with its own document and with the one that it would be predicted from."""
        for first, starts, ends in self.ranges.get(source, ()):
            if position >= first:
                real = tokens >= 0
                hidden = _inside(tokens, starts, ends) & real
                inputs[hidden] = self.end_of_document
                targets[hidden | (_inside(tokens + 1, starts, ends) & real)] = IGNORED


def _inside(tokens: Ints, starts: Ints, ends: Ints) -> npt.NDArray[np.bool_]:
    """Whether each token lies in one of the ranges, which are sorted and apart."""
    index = np.searchsorted(starts, tokens, side="right") - 1
    inside: npt.NDArray[np.bool_] = (index >= 0) & (tokens < ends[index])
    return inside
