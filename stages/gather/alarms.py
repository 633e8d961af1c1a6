"""Alarms of the dedup gathers: a source that loses much, a cluster that is large, named before anything is dropped.

Boilerplate, templates and mistakes of extraction make documents alike that are not the same; a source of which most
goes is the usual sign. An alarm is a warning in the log with examples, kept under evidence/, or with `on_alarm: stop`
an error that ends the build before the gather decides.
"""

import logging
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import flags, integers, one_chunk
from corpusmill.pipeline.document import ROW_BITS
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.stage import PartView
from corpusmill.stages.gather.decisions import schema_of

OnAlarm = Literal["warn", "stop"]

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


class Limits(NamedTuple):
    """When an alarm is raised, and what happens then."""

    source_share: float  # of a source's documents dropped
    cluster_size: int
    on_alarm: OnAlarm


def part_totals(part: PartView) -> pa.Table:
    """One row: the part's source and how many documents of it came here; none for an empty part."""
    num_documents, source = 0, None
    for batch in part.batches:
        num_documents += batch.num_rows
        source = batch.column("source")[0].as_py() if batch.num_rows else source
    if source is None:
        return TOTALS.empty_table()
    return pa.table({"key": [part.first_row], "source": [source], "num_documents": [num_documents]}, schema=TOTALS)


def raise_alarms(stage: str, limits: Limits, totals: pa.Table, found: pa.Table, size_column: str) -> pa.Table:
    """The alarms as ALARMS, told in the log; CorpusmillError with all of them where `on_alarm` says stop.

    `found` has a line per document with duplicates: key (row), id, winner, winner_id and its cluster's size.
    """
    told = [*_sources(limits, totals, found), *_clusters(limits, found, size_column)]
    messages = [f"{stage}: {_message(line, limits)}: {line['examples']}" for line in told]
    if messages and limits.on_alarm == "stop":
        way_out = "Look at the evidence, then raise the limit or set on_alarm: warn, and build again: all else is kept."
        raise CorpusmillError("\n".join([*messages, way_out]))
    for message in messages:
        logging.getLogger(__name__).warning(message)
    return pa.Table.from_pylist(told, schema=ALARMS).sort_by("key")


def _message(line: dict[str, Any], limits: Limits) -> str:
    if line["kind"] == "source_share":
        return f"source '{line['source']}' loses {line['value']:.1%} of its documents (limit {limits.source_share:.1%})"
    return f"a cluster of {line['value']:,.0f} documents (limit {limits.cluster_size:,})"


def _sources(limits: Limits, totals: pa.Table, found: pa.Table) -> Iterator[dict[str, Any]]:
    parts = totals.to_pylist()
    source_of = {line["key"] >> ROW_BITS: line["source"] for line in parts}
    lost = np.flatnonzero(flags(one_chunk(found, "winner").is_valid(), False))
    rows = integers(one_chunk(found, "key"), np.uint64)[lost]
    sources = np.array([source_of[part] for part in (rows >> np.uint64(ROW_BITS)).tolist()], dtype=object)
    for source in sorted(set(source_of.values())):
        of_source = lost[sources == source]
        share = len(of_source) / sum(line["num_documents"] for line in parts if line["source"] == source)
        if share > limits.source_share:
            yield {
                "key": rows[sources == source][0],
                "kind": "source_share",
                "source": source,
                "value": share,
                "limit": limits.source_share,
                "examples": _examples(found, of_source),
            }


def _clusters(limits: Limits, found: pa.Table, size_column: str) -> Iterator[dict[str, Any]]:
    sizes = integers(one_chunk(found, size_column))
    stays = ~flags(one_chunk(found, "winner").is_valid(), False)
    heads = np.flatnonzero(stays & (sizes > limits.cluster_size))
    rows, winners = (
        integers(one_chunk(found, "key"), np.uint64),
        one_chunk(found, "winner").to_numpy(zero_copy_only=False),
    )
    for head in heads:
        yield {
            "key": rows[head],
            "kind": "cluster_size",
            "source": None,
            "value": float(sizes[head]),
            "limit": float(limits.cluster_size),
            "examples": _examples(found, np.flatnonzero(winners == rows[head])),
        }


def _examples(found: pa.Table, at: npt.NDArray[np.integer[Any]]) -> str:
    """The first few of these documents by id, with their winners."""
    ids, winners = one_chunk(found, "id"), one_chunk(found, "winner_id")
    named = sorted((str(ids[int(i)]), str(winners[int(i)])) for i in at[:1000])
    return ", ".join(f"{name} for {winner}" for name, winner in named[:NUM_EXAMPLES])
