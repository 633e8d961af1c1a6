"""Examples of what was dropped: for each rule a few documents with the measured value, the limit, and their text.

Texts are shortened to their beginning. Documents are chosen by the order of parts and rows, at most two from one part,
so that one file does not stand for all. Records that became no document (`failed`, or dropped by a reader) are listed
with what the reader said. Cost: reads decisions, and one row group of text per example.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import flags, one_chunk, take
from corpusmill.pipeline.document import ROW_BITS
from corpusmill.pipeline.parts import PartRef, final_parts, part_number
from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.report.document_books import stage_of
from corpusmill.pipeline.run_folder import RunFolder

EXAMPLES_PER_RULE = 4
EXAMPLES_PER_PART = 2
TEXT_CHARACTERS = 500


def examples_by_rule(run: RunFolder) -> list[dict[str, Any]]:
    """[{rule, phase, failed, examples: [{id, lang, value, threshold, winner, text, more}]}] in the order of phases."""
    parts = final_parts(run)
    numbers = {part_number(part.name): part for part in parts}
    rules: dict[str, dict[str, Any]] = {}
    for part in parts:
        for file in part.decisions:
            table = run.read_table(file.path)
            gone = np.flatnonzero(flags(pc.equal(one_chunk(table, "keep"), pa.scalar(False)), null=False))
            names = take(one_chunk(table, "rule"), gone).to_pylist()
            for rule in sorted({str(name) for name in names}):
                group = rules.setdefault(
                    rule,
                    {
                        "rule": rule,
                        "phase": stage_of(file.path.removeprefix("decisions/")),
                        "failed": False,
                        "examples": [],
                    },
                )
                wanted = [int(row) for row, name in zip(gone, names, strict=True) if name == rule][:EXAMPLES_PER_PART]
                for row in wanted[: EXAMPLES_PER_RULE - len(group["examples"])]:
                    group["examples"].append(_example(run, part, table.slice(row, 1).to_pylist()[0], row, numbers))
    for record in _refused(run):
        group = rules.setdefault(
            record["rule"], {"rule": record["rule"], "phase": "make", "failed": record["failed"], "examples": []}
        )
        if len(group["examples"]) < EXAMPLES_PER_RULE:
            group["examples"].append(record["example"])
    order = {stage_of(entry["name"]): place for place, entry in enumerate(run.read_json("phases.json") or [])}
    return sorted(rules.values(), key=lambda group: (group["failed"], order.get(group["phase"], -1), group["rule"]))


def _example(
    run: RunFolder, part: PartRef, decided: dict[str, Any], row: int, parts: dict[int, PartRef]
) -> dict[str, Any]:
    document = _row(run, part.documents.path, row, ["id", "lang", "text"])
    text = document["text"]
    winner = decided.get("winner")
    return {
        "id": document["id"],
        "lang": document["lang"],
        "value": _parsed(decided["value"]),
        "threshold": _parsed(decided["threshold"]),
        "winner": None if winner is None else _id_of(run, parts, winner),
        "text": None if text is None else text[:TEXT_CHARACTERS],
        "more": 0 if text is None else max(0, len(text) - TEXT_CHARACTERS),
    }


def _row(run: RunFolder, path: str, row: int, columns: list[str]) -> dict[str, Any]:
    """One row of a Parquet file, by reading the row group that holds it."""
    with run.parquet(path) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if row < size:
                found: dict[str, Any] = file.read_row_group(group, columns=columns).slice(row, 1).to_pylist()[0]
                return found
            row -= size
    raise IndexError(f"{path}: no row {row}")


def _id_of(run: RunFolder, parts: dict[int, PartRef], winner: int) -> str | None:
    part = parts.get(winner >> ROW_BITS)
    if part is None:
        return None
    return str(_row(run, part.measures.path, winner & ((1 << ROW_BITS) - 1), ["id"])["id"])


def _parsed(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _refused(run: RunFolder) -> list[dict[str, Any]]:
    """Records that became no document, a few of each reason per part."""
    found = []
    for receipt in receipts_of(run, "make"):
        file = receipt.output("refused")
        if file is None:
            continue
        seen: dict[str, int] = {}
        for line in run.read_table(file.path).to_pylist():
            seen[line["reason"]] = seen.get(line["reason"], 0) + 1
            if seen[line["reason"]] <= EXAMPLES_PER_PART:
                example = {"id": f"{line['file']}, record {line['record']}", "value": line["detail"], "text": None}
                example |= {"lang": None, "threshold": None, "winner": None, "more": 0}
                found.append({"rule": line["reason"], "failed": line["failed"], "example": example})
    return found
