"""What became of a document, and which documents met a fate: `explain` and `show`."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import flags, one_chunk, take_rows
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.parts import PartRef, final_parts, read_verdict
from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.run_folder import RunFolder


def explain(run: RunFolder, name: str) -> dict[str, Any]:
    """The JSON object of `corpusmill explain`: fate, rule, measures, winner and shard of the document with this id."""
    for part in final_parts(run):
        if not name.startswith(f"{part.source}/"):
            continue
        table = run.read_table(part.measures.path)
        found = np.flatnonzero(flags(pc.equal(one_chunk(table, "id"), pa.scalar(name)), null=False))
        if len(found):
            return _explained(run, part, table, int(found[0]))
    refused = _refused(run, name)
    if refused is None:
        raise RequestError(f"{run.url}: no document '{name}'. Ids are <source>/<record>; `corpusmill show` lists some.")
    return refused


def _explained(run: RunFolder, part: PartRef, table: pa.Table, index: int) -> dict[str, Any]:
    line = {name: one_chunk(table, name)[index].as_py() for name in table.column_names}
    answer: dict[str, Any] = {
        "format": 1,
        "id": line["id"],
        "source": part.source,
        "fate": "kept",
        **dict.fromkeys(("phase", "rule", "value", "threshold")),
        "measures": {key: value for key, value in line.items() if key not in ("row", "id", "source")},
        "duplicate_of": None,
        "shard": None,
    }
    for file in part.decisions:
        decided = run.read_table(file.path).slice(index, 1).to_pylist()[0]
        extra = {k: v for k, v in decided.items() if k not in _DECISION_COLUMNS}
        answer["measures"] |= extra
        if decided["keep"] is False:
            phase = file.path.split("/")[1]
            answer |= {"fate": "dropped", "phase": phase, "rule": decided["rule"]}
            answer |= {
                key: None if decided[key] is None else json.loads(decided[key]) for key in ("value", "threshold")
            }
            answer["duplicate_of"] = _winner(run, phase, line["row"])
            return answer
    answer["shard"] = _shard(run, part.source, line["row"])
    return answer


_DECISION_COLUMNS = ("row", "keep", "rule", "value", "threshold", "winner", "weight", "group", "cut", "fired")


def _winner(run: RunFolder, gather: str, row: int) -> dict[str, Any] | None:
    """What the gather's evidence says of the document that stayed instead; None where it names none."""
    for path in run.names(f"evidence/{gather}"):
        with run.parquet(path) as file:
            names = file.schema_arrow.names
            if not {"key", "winner_id"} <= set(names):
                continue
            asked = {"winner_id": "id", "estimated": "estimated", "similarity": "true", "batch": "batch"}
            table = file.read(columns=["key", *(name for name in asked if name in names)], use_threads=False)
        lines = table.filter(pc.equal(table.column("key"), pa.scalar(row, pa.uint64()))).to_pylist()
        if lines and lines[0]["winner_id"] is not None:
            told = {shown: lines[0].get(name) for name, shown in asked.items()}
            return told if told["batch"] is not None else {key: told[key] for key in ("id", "estimated", "true")}
    return None


def _shard(run: RunFolder, source: str, row: int) -> dict[str, Any] | None:
    """Where a kept document's tokens are; None before tokenization."""
    manifest = run.read_json("tokens/manifest.json")
    for shard in manifest["shards"] if manifest else ():
        if shard["source"] != source:
            continue
        table = run.read_table(f"{shard['path']}.docs.parquet", ["row", "token_start", "num_tokens"])
        lines = table.filter(pc.equal(table.column("row"), pa.scalar(row, pa.uint64()))).to_pylist()
        if lines:
            return {
                "file": f"{shard['path']}.bin",
                "token_start": lines[0]["token_start"],
                "num_tokens": lines[0]["num_tokens"],
            }
    return None


def _refused(run: RunFolder, name: str) -> dict[str, Any] | None:
    """A record that became no document."""
    for receipt in receipts_of(run, "make"):
        file = receipt.output("refused")
        if file is None:
            continue
        for line in run.read_table(file.path).to_pylist():
            if name in (f"{receipt.source}/{line['record']}", f"{receipt.source}/{line['file']}#{line['record']}"):
                fate = "failed" if line["failed"] else "dropped"
                answer: dict[str, Any] = {"format": 1, "id": name, "source": receipt.source, "fate": fate}
                answer |= {"phase": "make", "rule": line["reason"], "value": line["detail"], "threshold": None}
                return answer | {"measures": {}, "duplicate_of": None, "shard": None}
    return None


def show(run: RunFolder, dropped: str | None, count: int) -> Iterator[dict[str, Any]]:
    """Up to `count` documents: kept ones, or those that the rule `dropped` caught; `any` is every rule."""
    left = count
    for part in final_parts(run):
        lines = _kept_lines(run, part) if dropped is None else _dropped_lines(run, part, dropped)
        if not len(lines) or left <= 0:
            continue
        wanted = sorted(lines)[:left]
        with run.parquet(part.documents.path) as file:
            table = file.read(use_threads=False)
        for index, document in zip(wanted, take_rows(table, np.asarray(wanted)).to_pylist(), strict=True):
            left -= 1
            yield {key: document[key] for key in ("id", "source", "url", "lang", "text")} | lines[index]


def show_refused(run: RunFolder, reason: str, count: int, *, failed: bool = True) -> Iterator[dict[str, Any]]:
    """Up to `count` records that became no document, failed or (not `failed`) dropped by their reader, for `reason`."""
    lines = (
        (receipt.source, line)
        for receipt in receipts_of(run, "make")
        if (file := receipt.output("refused")) is not None
        for line in run.read_table(file.path).to_pylist()
        if line["failed"] == failed and (reason in ("any", line["reason"]) or line["reason"].startswith(f"{reason}."))
    )
    for source, line in itertools.islice(lines, count):
        numbered = line["file"] and line["record"].isdigit()
        name = f"{source}/{line['file']}#{line['record']}" if numbered else f"{source}/{line['record']}"
        yield {"id": name, "source": source, "file": line["file"], "record": line["record"]} | {
            "rule": line["reason"],
            "value": line["detail"],
        }


def _kept_lines(run: RunFolder, part: PartRef) -> dict[int, dict[str, Any]]:
    return {int(index): {} for index in np.flatnonzero(read_verdict(run, part).kept)}


def _dropped_lines(run: RunFolder, part: PartRef, rule: str) -> dict[int, dict[str, Any]]:
    """Row in the part -> what the decision says."""
    found: dict[int, dict[str, Any]] = {}
    for file in part.decisions:
        table = run.read_table(file.path, ["keep", "rule", "value", "threshold"])
        gone = flags(pc.equal(one_chunk(table, "keep"), pa.scalar(False)), null=False)
        for index in np.flatnonzero(gone):
            decided = table.slice(int(index), 1).to_pylist()[0]
            if rule == "any" or decided["rule"] == rule or str(decided["rule"]).startswith(f"{rule}."):
                found[int(index)] = {key: decided[key] for key in ("rule", "value", "threshold")}
    return found
