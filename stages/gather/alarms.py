"""Alarms of the dedup gathers: a source that loses much, a cluster that is large, named before anything is dropped.

Boilerplate, templates and mistakes of extraction make documents alike that are not the same; a source of which most
goes is the usual sign. An alarm is a warning in the log with examples, kept under evidence/, or with `on_alarm: stop`
an error that ends the build before the gather decides.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import flags, integers, one_chunk
from corpusmill.pipeline.document import ROW_BITS
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.stage import PartView, RowStream, StageSettings
from corpusmill.stages.gather.decisions import schema_of

TOTALS = schema_of(key=pa.uint64(), source=pa.string(), num_documents=pa.int64())  # key: the part's first row
ALARMS = schema_of(
    key=pa.uint64(),  # row of the first example
    kind=pa.string(),  # source_share or cluster_size
    source=pa.string(),  # null for a cluster
    value=pa.float64(),
    limit=pa.float64(),
    examples=pa.string(),
)

NUM_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class AlarmSettings(StageSettings):
    """The settings of a gather that say when an alarm is raised, and what happens then."""

    alarm_source_share: float = 0.5  # of a source's documents dropped
    alarm_cluster_size: int = 10_000
    on_alarm: Literal["warn", "stop"] = "warn"


def part_totals(part: PartView) -> pa.Table:
    """One row: the part's source and how many documents of it came here; none for an empty part."""
    num_documents, source = 0, None
    for batch in part.batches:
        num_documents += batch.num_rows
        source = batch.column("source")[0].as_py() if batch.num_rows else source
    if source is None:
        return TOTALS.empty_table()
    return pa.table({"key": [part.first_row], "source": [source], "num_documents": [num_documents]}, schema=TOTALS)


def raise_alarms(
    stage: str, limits: AlarmSettings, totals: RowStream | None, found: RowStream | None, size_column: str
) -> pa.Table:
    """The alarms as ALARMS, told in the log; CorpusmillError with all of them where `on_alarm` says stop.

    `found` has a line per document with duplicates: key (row), id, winner, winner_id and its cluster's size. It is read
    twice, a second time for examples where there is an alarm.
    """
    told = [*_sources(limits, totals, found), *_clusters(limits, found, size_column)]
    messages = [f"{stage}: {_message(line, limits)}: {line['examples']}" for line in told]
    if messages and limits.on_alarm == "stop":
        way_out = "Look at the evidence, then raise the limit or set on_alarm: warn, and build again: all else is kept."
        raise CorpusmillError("\n".join([*messages, way_out]))
    for message in messages:
        logging.getLogger(__name__).warning(message)
    return pa.Table.from_pylist(told, schema=ALARMS).sort_by("key")


def _message(line: dict[str, Any], limits: AlarmSettings) -> str:
    if line["kind"] == "source_share":
        limit = f"(limit {limits.alarm_source_share:.1%})"
        return f"source '{line['source']}' loses {line['value']:.1%} of its documents {limit}"
    return f"a cluster of {line['value']:,.0f} documents (limit {limits.alarm_cluster_size:,})"


def _sources(limits: AlarmSettings, totals: RowStream | None, found: RowStream | None) -> Iterator[dict[str, Any]]:
    source_of: dict[int, str] = {}
    sizes: Counter[str] = Counter()
    for line in (line for table in _read(totals) for line in table.to_pylist()):
        source_of[line["key"] >> ROW_BITS] = line["source"]
        sizes[line["source"]] += line["num_documents"]
    lost: Counter[str] = Counter()
    for table in _read(found, "key", "winner"):
        rows = _dropped(table, "key")
        parts, counts = np.unique(rows >> np.uint64(ROW_BITS), return_counts=True)
        for part, count in zip(parts.tolist(), counts.tolist(), strict=True):
            lost[source_of[part]] += count
    shares = {source: lost[source] / sizes[source] for source in sorted(sizes)}
    shares = {source: share for source, share in shares.items() if share > limits.alarm_source_share}
    examples = _examples(found, lambda key, _: source_of[key >> ROW_BITS], shares)
    for source, share in shares.items():
        yield {
            "key": examples[source].row,
            "kind": "source_share",
            "source": source,
            "value": share,
            "limit": limits.alarm_source_share,
            "examples": str(examples[source]),
        }


def _clusters(limits: AlarmSettings, found: RowStream | None, size_column: str) -> Iterator[dict[str, Any]]:
    heads: dict[int, int] = {}
    for table in _read(found, "key", "winner", size_column):
        sizes = integers(one_chunk(table, size_column))
        large = flags(one_chunk(table, "winner").is_null(), False) & (sizes > limits.alarm_cluster_size)
        rows = integers(one_chunk(table, "key"), np.uint64)[large]
        heads |= dict(zip(rows.tolist(), sizes[large].tolist(), strict=True))
    examples = _examples(found, lambda _, winner: winner, heads)
    for head in sorted(set(heads) & set(examples)):
        yield {
            "key": head,
            "kind": "cluster_size",
            "source": None,
            "value": float(heads[head]),
            "limit": float(limits.alarm_cluster_size),
            "examples": str(examples[head]),
        }


@dataclass
class Examples:
    """Of some dropped documents: the least row, and the first few by id with their winners."""

    row: int
    first: list[tuple[str, str]]

    def __str__(self) -> str:
        return ", ".join(f"{name} for {winner}" for name, winner in self.first)


def _examples(
    found: RowStream | None, group_of: Callable[[int, int], Any], wanted: Collection[Any]
) -> dict[Any, Examples]:
    """Examples of each wanted group of dropped documents, by `group_of` (row, winner's row)."""
    examples: dict[Any, Examples] = {}
    for table in _read(found, "key", "id", "winner", "winner_id") if wanted else ():
        dropped = table.filter(one_chunk(table, "winner").is_valid())
        for line in dropped.to_pylist():
            group = group_of(line["key"], line["winner"])
            if group in wanted:
                known = examples.setdefault(group, Examples(line["key"], []))
                known.row = min(known.row, line["key"])
                known.first = sorted([*known.first, (line["id"], line["winner_id"])])[:NUM_EXAMPLES]
    return examples


def _dropped(table: pa.Table, column: str) -> npt.NDArray[np.uint64]:
    """This column of the rows that have a winner."""
    kept: npt.NDArray[np.uint64] = integers(one_chunk(table, column), np.uint64)
    return kept[flags(one_chunk(table, "winner").is_valid(), False)]


def _read(rows: RowStream | None, *columns: str) -> Iterator[pa.Table]:
    return rows.read(*columns) if rows is not None else iter(())
