"""Which of several duplicates stays: the order that `exact` and `minhash` put them in, best first.

First by the source's place in `prefer_sources` (sources not named come last, together), then by what `keep` asks for,
then by id, then by row (which matters only where an id is repeated). The order depends on the documents alone, so
neither the order of inputs nor the cutting into parts changes who stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import integers
from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import StageSettings
from corpusmill.stages.gather.decisions import schema_of

Keep = Literal["longest", "shortest", "first", "highest", "lowest"]
"""By `num_bytes`; by id alone (`first`); or by the measured column that `by` names, documents without it last."""

ORDER = schema_of(row=pa.uint64(), id=pa.string(), place=pa.int32(), prefer=pa.float64())
"""Columns of `KeepSettings.order_columns`."""


@dataclass(frozen=True, kw_only=True)
class KeepSettings(StageSettings):
    """The settings of a gather that say who stays."""

    keep: Keep = "longest"
    by: str | None = None  # the column of keep: highest or lowest
    prefer_sources: tuple[str, ...] = ()  # earlier ones keep their copy

    def __post_init__(self) -> None:
        if (self.keep in ("highest", "lowest")) != (self.by is not None):
            raise ValueError(
                f"keep: {self.keep} with by: {self.by}: the measured column `by` goes with keep: highest or lowest. "
                "Name a column with these, and none with the others."
            )

    def reads(self) -> tuple[str, ...]:
        return (self.by,) if self.by else ()

    def order_columns(self, batch: Batch) -> dict[str, Column]:
        """The columns of ORDER for a part's batch; smaller `place` and `prefer` are better, null comes last."""
        last = len(self.prefer_sources)
        priority: dict[str | None, int] = {source: at for at, source in reversed(list(enumerate(self.prefer_sources)))}
        places = [priority.get(source, last) for source in batch.column("source").to_pylist()]
        if self.keep == "first":
            prefer: Column = pa.array(np.zeros(batch.num_rows))
        else:
            prefer = batch.column(self.by if self.by is not None else "num_bytes").cast(pa.float64())
            if self.keep in ("longest", "highest"):
                prefer = cast("Column", cast("Any", pc).negate(prefer))
        return {
            "row": batch.column("row"),
            "id": batch.column("id"),
            "place": pa.array(places, pa.int32()),
            "prefer": prefer,
        }


def best_first(rows: pa.Table, groups: Sequence[str]) -> npt.NDArray[np.int64]:
    """Indices that sort `rows` by the columns `groups`, and inside each group by policy, best first."""
    keys = [*groups, "place", "prefer", "id", "row"]
    sort_keys = [(key, "ascending") for key in keys]  # nulls last
    return integers(cast("Any", pc).sort_indices(rows.select(keys), sort_keys=sort_keys))


def group_bounds(*columns: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where runs of equal rows begin in sorted columns of one length, then that length: int64 [groups + 1]."""
    length = len(columns[0])
    if length == 0:
        return np.zeros(1, dtype=np.int64)
    new = np.zeros(length, dtype=np.bool_)
    new[0] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return np.append(np.flatnonzero(new), length).astype(np.int64)
