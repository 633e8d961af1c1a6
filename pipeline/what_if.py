"""What other rules would keep: decisions of a finished run made again from its stored measures; no text is opened.

The rules of every decide phase are applied anew, in order. What a gather said of a document stands as it was recorded.
A document that the run had dropped before a gather was never compared there: where other rules would keep it, it is
counted as not seen by that gather. Early rules ran while measuring and cannot be undone here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.build import PlannedPhase
from corpusmill.pipeline.columns import flags, integers, one_chunk, take_rows
from corpusmill.pipeline.decide import DecidePhase
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.parts import PART_COLUMNS, PartRef, final_parts, read_verdict
from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.rules import evaluate
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import Rule, measure_settings

KEPT = "kept"


@dataclass
class Flow:
    """Documents, bytes and tokens of one source by the rule that drops them, `KEPT` among them: as recorded, and as
    the other rules would have it."""

    now: dict[str, Counter[str]] = field(default_factory=dict)  # rule -> documents, bytes, tokens
    then: dict[str, Counter[str]] = field(default_factory=dict)
    unseen: Counter[str] = field(default_factory=Counter)  # gather -> documents kept that it never compared

    def as_json(self) -> dict[str, Any]:
        names = [name for name in {**self.now, **self.then} if name != KEPT]
        rows = [{"rule": name, **_both(self.now.get(name), self.then.get(name))} for name in (KEPT, *names)]
        return {"rows": rows, "not_seen_by": dict(self.unseen)}


def _both(now: Counter[str] | None, then: Counter[str] | None) -> dict[str, dict[str, int]]:
    return {
        amount: {"now": (now or Counter())[amount], "then": (then or Counter())[amount]}
        for amount in ("documents", "bytes", "tokens")
    }


def what_if(
    run: RunFolder, before: Recipe, after: Recipe, planned: Sequence[PlannedPhase], extra: Sequence[Rule]
) -> dict[str, Any]:
    """{sources: {S: {rows: [{rule, documents: {now, then}, bytes: ..., tokens: ...}], not_seen_by: {gather: n}}},
    tokens: exact | estimated | unknown}.

    before: the run's recipe; after: the same with other thresholds, `planned` its phases; extra: further rules, applied
    last. Raises RequestError for what would need text.
    """
    _check_thresholds_alone(before, after)
    files = _decision_files(run)
    rates, exact = _tokens_per_byte(run)
    flows: dict[str, Flow] = {}
    decides = [each.phase.name for each in planned if each.decides]
    last_decide = next((name for name in reversed(decides) if name.startswith("decide-")), None)
    for part in final_parts(run):
        flow = flows.setdefault(part.source, Flow())
        table = _measures(run, part)
        known = exact.get(part.source, {})
        rate = rates.get(part.source, 0.0)
        sizes = integers(one_chunk(table, "num_bytes"))
        tokens = np.array([known.get(row, -1) for row in integers(one_chunk(table, "row"), np.uint64).tolist()])
        tokens = np.where(tokens >= 0, tokens, np.rint(sizes * rate)).astype(np.int64)
        alive = _alive_after_make(run, part, files)
        now, then = np.full(len(sizes), "", dtype=object), np.full(len(sizes), "", dtype=object)
        now[~alive] = then[~alive] = _early_names(run, part, files)[~alive]
        for each in planned:
            if not each.decides:
                continue
            recorded = files.get((each.phase.name, part.name))
            keep, names = _recorded(run, recorded, len(sizes))
            _fill(now, ~keep, names)
            if isinstance(each.phase, DecidePhase):
                rules = each.phase.rules_of(part.source) + (tuple(extra) if each.phase.name == last_decide else ())
                _decide(table, rules, then)
            else:
                _fill(then, ~keep, names)
                if recorded is not None:
                    seen = _reached(run, recorded)
                    flow.unseen[each.phase.name.split("/")[0]] += int(((then == "") & ~seen).sum())
        if last_decide is None:
            _decide(table, tuple(extra), then)
        for fates, rows in ((now, flow.now), (then, flow.then)):
            for name in np.unique(fates.astype(str)):
                chosen = fates == name
                rows[name or KEPT] = rows.get(name or KEPT, Counter()) + Counter(
                    documents=int(chosen.sum()), bytes=int(sizes[chosen].sum()), tokens=int(tokens[chosen].sum())
                )
    for flow in flows.values():
        flow.unseen = +flow.unseen
    state = "unknown" if not exact else "exact for documents kept before, estimated from bytes for the others"
    return {"sources": {name: flows[name].as_json() for name in sorted(flows)}, "tokens": state}


def _check_thresholds_alone(before: Recipe, after: Recipe) -> None:
    pairs = list(zip(before.entries, after.entries, strict=True))
    for old, new in pairs:
        if measure_settings(old.stage) != measure_settings(new.stage) or old.only != new.only:
            raise RequestError(
                f"{new.label}: only thresholds can be tried here; build the run again for other settings"
            )
        if old.early and old != new:
            raise RequestError(f"{new.label}: its rules are early: they ran while measuring. Build the run again")


def _measures(run: RunFolder, part: PartRef) -> pa.Table:
    """Every stored measure of a part, with what gathers added."""
    table = run.read_table(part.measures.path)
    for name, column in read_verdict(run, part).columns.items():
        table = table.append_column(name, column)
    return table


def _decision_files(run: RunFolder) -> dict[tuple[str, str], str]:
    """(phase, part) -> path of the decisions, of make too."""
    names = ["make", *(entry["name"] for entry in run.read_json("phases.json") or [] if entry["decides"])]
    return {
        (name, receipt.unit): file.path
        for name in dict.fromkeys(names)
        for receipt in receipts_of(run, name)
        if (file := receipt.output("decisions")) is not None
    }


def _alive_after_make(run: RunFolder, part: PartRef, files: dict[tuple[str, str], str]) -> npt.NDArray[np.bool_]:
    keep, _ = _recorded(run, files.get(("make", part.name)), part.measures.num_rows)
    return keep


def _early_names(run: RunFolder, part: PartRef, files: dict[tuple[str, str], str]) -> npt.NDArray[np.object_]:
    _, names = _recorded(run, files.get(("make", part.name)), part.measures.num_rows)
    return names


def _recorded(run: RunFolder, path: str | None, num_rows: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.object_]]:
    """Which rows a phase kept or never saw, and the rules that dropped the others."""
    if path is None:
        return np.ones(num_rows, dtype=np.bool_), np.full(num_rows, "", dtype=object)
    table = run.read_table(path, ["keep", "rule"])
    names = np.array([name or "" for name in one_chunk(table, "rule").to_pylist()], dtype=object)
    return flags(one_chunk(table, "keep"), null=True), names


def _reached(run: RunFolder, path: str) -> npt.NDArray[np.bool_]:
    """The rows that a phase saw."""
    return np.asarray(one_chunk(run.read_table(path, ["keep"]), "keep").is_valid().to_numpy(zero_copy_only=False))


def _fill(fates: npt.NDArray[np.object_], dropped: npt.NDArray[np.bool_], names: npt.NDArray[np.object_]) -> None:
    """Note the rule of rows that have no fate yet."""
    new = dropped & (fates == "")
    fates[new] = names[new]


def _decide(table: pa.Table, rules: Sequence[Rule], fates: npt.NDArray[np.object_]) -> None:
    """Apply rules to the rows that have no fate yet."""
    rows = np.flatnonzero(fates == "")
    if not rules or not len(rows):
        return
    missing = sorted({name for rule in rules for name in rule.needs()} - set(table.column_names))
    if missing:
        raise RequestError(
            f"nothing in this run measured {', '.join(missing)}; there is: {', '.join(_measured(table))}"
        )
    first = evaluate(rules, take_rows(table, rows)).first
    for index in np.unique(first[first >= 0]).tolist():
        fates[rows[first == index]] = rules[index].name


def _measured(table: pa.Table) -> list[str]:
    return [*sorted(set(table.column_names) - set(PART_COLUMNS)), "lang", "num_bytes", "source", "url"]


def _tokens_per_byte(run: RunFolder) -> tuple[dict[str, float], dict[str, dict[int, int]]]:
    """Of each source: tokens per byte of text, and the tokens of each document that was tokenized, by row."""
    manifest = run.read_json("tokens/manifest.json")
    exact: dict[str, dict[int, int]] = {}
    totals: dict[str, Counter[str]] = {}
    for shard in manifest["shards"] if manifest else ():
        table = run.read_table(f"{shard['path']}.docs.parquet", ["row", "num_tokens"])
        rows = integers(one_chunk(table, "row"), np.uint64).tolist()
        exact.setdefault(shard["source"], {}).update(
            zip(rows, integers(one_chunk(table, "num_tokens")).tolist(), strict=True)
        )
        totals.setdefault(shard["source"], Counter()).update(bytes=shard["num_bytes"], tokens=shard["num_tokens"])
    return {name: total["tokens"] / max(total["bytes"], 1) for name, total in totals.items()}, exact
