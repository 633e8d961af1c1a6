"""Distributions of what was measured, with every rule's limit on the same axis: where a threshold cuts, and how close
the documents lie to it.

A rule's value is one column, or two divided. Rules on the same value share a histogram. Above MAX_VALUES documents a
regular sample of rows is taken, and the share is stated. Cost: reads the columns that rules use, once.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import one_chunk
from corpusmill.pipeline.parts import PartRef, final_parts, read_verdict
from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.run_folder import RunFolder

Floats: TypeAlias = npt.NDArray[np.float64]

NUM_BINS = 48
MAX_VALUES = 1_000_000
MAX_LANGUAGES = 24
COMPARISON = re.compile(r"\s*(\w+)\s*(<=?|>=?)\s*(-?\d+(?:\.\d+)?)\s*")
"""The free rules that have a limit to draw: one column against one number."""

TAIL = 0.005
"""Share of values at each end that may lie outside the axis; they are counted in the outermost bins."""


@dataclass
class _Value:
    """One measured value: the columns it is made of, its limits, and what was measured by source."""

    columns: tuple[str, ...]
    limits: dict[str, dict[str, Any]] = field(default_factory=dict)  # rule -> {rule, op, limit}
    found: dict[str, list[Floats]] = field(default_factory=dict)
    num_null: int = 0


def distributions(run: RunFolder) -> list[dict[str, Any]]:
    """For each value that a numeric rule uses: {value, limits, edges [bins + 1], counts: {source: [bins]}, log,
    num_null, sampled, median}. Values in the order in which the rules apply."""
    values = _values(run)
    parts = final_parts(run)
    num_rows = sum(part.measures.num_rows for part in parts)
    stride = max(1, -(-num_rows // MAX_VALUES))
    for part in parts:
        _measure(run, part, values, stride)
    return [_histogram(value, 1 / stride) for value in values.values() if value.found]


def languages(run: RunFolder) -> dict[str, dict[str, int]]:
    """Documents by language and source, for what is kept now: the most frequent MAX_LANGUAGES, the rest as `other`."""
    counts: dict[str, Counter[str]] = {}
    for part in final_parts(run):
        column = one_chunk(run.read_table(part.measures.path, ["lang"]), "lang")
        kept = column.filter(pa.array(read_verdict(run, part).kept))
        for name in kept.to_pylist():
            counts.setdefault(name or "unknown", Counter())[part.source] += 1
    ranked = sorted(counts, key=lambda name: (-counts[name].total(), name))
    shown = {name: dict(sorted(counts[name].items())) for name in ranked[:MAX_LANGUAGES]}
    if rest := sum((counts[name] for name in ranked[MAX_LANGUAGES:]), Counter[str]()):
        shown["other"] = dict(sorted(rest.items()))
    return shown


def _values(run: RunFolder) -> dict[tuple[str, ...], _Value]:
    """The values of all numeric rules that the receipts name."""
    values: dict[tuple[str, ...], _Value] = {}
    for entry in run.read_json("phases.json") or []:
        if not entry["decides"]:
            continue
        for receipt in receipts_of(run, entry["name"]):
            for rule in receipt.books.notes.get("rules", ()):
                columns, op, limit = tuple(rule["value"]), rule["op"], rule["limit"]
                if rule["when"] is not None:
                    compared = COMPARISON.fullmatch(rule["when"])
                    if compared is None:
                        continue
                    columns, op, limit = (compared[1],), compared[2], float(compared[3])
                if isinstance(limit, int | float):
                    value = values.setdefault(columns, _Value(columns))
                    value.limits[rule["name"]] = {"rule": rule["name"], "op": op, "limit": limit}
                for language, other in rule["by_language"]:
                    if other is not None:
                        value = values.setdefault(columns, _Value(columns))
                        name = f"{rule['name']} ({language})"
                        value.limits[name] = {"rule": name, "op": op, "limit": other}
    return values


def _measure(run: RunFolder, part: PartRef, values: dict[tuple[str, ...], _Value], stride: int) -> None:
    """Adds the part's values, every `stride`-th row of it."""
    stored = set(run.parquet(part.measures.path).schema_arrow.names)
    needed = sorted({name for value in values.values() for name in value.columns} & stored)
    if not needed:
        return
    table = run.read_table(part.measures.path, needed)
    numbers = {name: _numbers(table, name)[::stride] for name in needed}
    for value in values.values():
        if not all(name in numbers for name in value.columns):
            continue
        first = numbers[value.columns[0]]
        if len(value.columns) == 2:
            second = numbers[value.columns[1]]
            first = np.divide(first, second, out=np.full(len(first), np.nan), where=second != 0)
        defined = np.isfinite(first)
        value.num_null += int((~defined).sum())
        value.found.setdefault(part.source, []).append(first[defined])


def _numbers(table: pa.Table, name: str) -> Floats:
    """A column as float64, null as NaN; NaN throughout where it holds no numbers."""
    column = one_chunk(table, name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _histogram(value: _Value, share: float) -> dict[str, Any]:
    by_source = {source: np.concatenate(found) for source, found in sorted(value.found.items())}
    everything = np.concatenate(list(by_source.values()))
    limits = [limit["limit"] for limit in value.limits.values()]
    edges, log = _edges(everything, limits)
    clipped = {source: np.clip(found, edges[0], edges[-1]) for source, found in by_source.items()}
    return {
        "value": " / ".join(value.columns),
        "limits": list(value.limits.values()),
        "edges": [float(edge) for edge in edges],
        "counts": {source: np.histogram(found, edges)[0].tolist() for source, found in clipped.items()},
        "log": log,
        "num_null": value.num_null,
        "sampled": share,
        "median": float(np.median(everything)) if len(everything) else None,
    }


def _edges(values: Floats, limits: list[float]) -> tuple[Floats, bool]:
    """Bin edges over all but the tails and over every limit; in the log where the values span a factor of 50."""
    if not len(values):
        values = np.array(limits, dtype=np.float64)
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    low, high = min(low, *limits), max(high, *limits)
    if low == high:
        low, high = low - 0.5, high + 0.5
    positive = values[values > 0]
    if low >= 0 and len(positive) > len(values) / 2 and high / max(np.quantile(positive, 0.05), 1e-12) > 50:
        start = max(float(np.quantile(positive, 0.005)), high * 1e-6)
        start = min([start, *(limit for limit in limits if limit > 0)])
        return np.geomspace(start, high * 1.02, NUM_BINS + 1), True
    margin = (high - low) * 0.02
    return np.linspace(low if low >= 0 else low - margin, high + margin, NUM_BINS + 1), False
