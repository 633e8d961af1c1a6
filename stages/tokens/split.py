"""Held out: which documents no plan may train on, fixed by hash of their near-duplicate group.

Per source 0.5 % of its documents, at least 100 of them but never more than a tenth (a source of 80 documents must keep
most for training), at most 20 MB of text. A group is on one side in every source: groups are taken in the order of
their hash while some source of theirs still wants documents and none would go over its limits.

Four phases, so that only a few hashes are in memory: each part gives its smallest group hashes; the smallest of each
source are the candidates; each part gives its members of all candidate groups; the choice counts them whole.
They read ids and groups, never text.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk, take_rows
from corpusmill.pipeline.document import ROW_BITS, schema_of
from corpusmill.pipeline.fingerprint import code_hash, hash_json
from corpusmill.pipeline.parts import PartRef, final_parts, part_inputs, read_part
from corpusmill.pipeline.phases import Desk, Unit, identities, receipts_of
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_order import group_hashes
from corpusmill.stages.tokens.token_settings import TokenSettings

SMALLEST, CANDIDATES, MEMBERS, CHOICE = (
    f"tokens/split/{step}" for step in ("smallest", "candidates", "members", "val")
)
MAX_SHARE = 10
"""At most one document in ten of a source is held out."""
SPARE = 4
"""Hashes that a part gives for every document wanted of it: groups skipped over the limits need replacements."""

HASHES = schema_of(hash=pa.uint64())
MEMBER_SCHEMA = schema_of(hash=pa.uint64(), row=pa.uint64(), num_bytes=pa.int64())
HELD_OUT_SCHEMA = schema_of(row=pa.uint64(), hash=pa.uint64())


@dataclass(frozen=True)
class SplitPhase:
    """What the four phases share."""

    settings: TokenSettings
    seed: int

    def fingerprint(self) -> Any:
        s = self.settings
        choices = [s.held_out, s.held_out_min_documents, s.held_out_max_bytes, s.split_by]
        return {"code": code_hash(__name__), "seed": self.seed, "settings": choices}

    def rows(self, run: RunFolder, part: PartRef) -> Iterable[tuple[pa.RecordBatch, npt.NDArray[np.uint64]]]:
        """The part's kept documents without text, and their group hashes."""
        columns = (self.settings.split_by,) if self.settings.split_by else ()
        for batch in read_part(run, part, columns, text=False):
            yield batch, group_hashes(batch, self.seed, self.settings.split_by)


@dataclass(frozen=True)
class SmallestHashes(SplitPhase):
    """Per part: its smallest distinct group hashes; its books count the documents kept for tokenizing."""

    name = SMALLEST

    def units(self, run: RunFolder) -> list[Unit]:
        return [
            Unit(part.name, part.source, part_inputs(part, text=False), spec=part, num_bytes=part.measures.num_bytes)
            for part in final_parts(run)
        ]

    def work(self, unit: Unit, desk: Desk) -> Books:
        part: PartRef = unit.spec
        share = self.settings.held_out
        wanted = SPARE * max(self.settings.held_out_min_documents, math.ceil(share * part.measures.num_rows))
        smallest = np.zeros(0, dtype=np.uint64)
        books = Books()
        for batch, hashes in self.rows(desk.run, part):
            smallest = np.unique(np.concatenate([smallest, hashes]))[:wanted]
            books.documents_in += batch.num_rows
            sizes = integers(batch.column("num_bytes"))
            books.bytes_in += int(sizes.sum())
            add_by_language(books.notes.setdefault("languages", {}), batch.column("lang").to_pylist(), sizes.tolist())
        books.documents_kept, books.bytes_kept = books.documents_in, books.bytes_in
        with desk.parquet("hashes", f"split/smallest/{part.name}.parquet", HASHES) as file:
            file.write(pa.table({"hash": smallest}, schema=HASHES))
        return books


@dataclass(frozen=True)
class CandidateHashes(SplitPhase):
    """One unit: the smallest hashes of each source, enough for its share."""

    name = CANDIDATES

    def units(self, run: RunFolder) -> list[Unit]:
        return [whole_unit(run, SMALLEST, "hashes", settings=source_totals(run))]

    def work(self, unit: Unit, desk: Desk) -> Books:
        smallest: dict[str, npt.NDArray[np.uint64]] = {}
        for source, path in unit.spec:
            limits = self.limits(unit.settings[source])
            found = integers(one_chunk(desk.run.read_table(path), "hash"), np.uint64)
            known = smallest.get(source, np.zeros(0, dtype=np.uint64))
            smallest[source] = np.unique(np.concatenate([known, found]))[: limits.num_candidates]
        candidates = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *smallest.values()]))
        with desk.parquet("hashes", "split/candidates.parquet", HASHES) as file:
            file.write(pa.table({"hash": candidates}, schema=HASHES))
        return totals_books(unit.settings)

    def limits(self, totals: Mapping[str, int]) -> "Limits":
        return limits_of(self.settings, totals["documents"], totals["bytes"])


@dataclass(frozen=True)
class CandidateMembers(SplitPhase):
    """Per part: its documents in candidate groups."""

    name = MEMBERS

    def units(self, run: RunFolder) -> list[Unit]:
        (candidates,) = (receipt.require("hashes") for receipt in receipts_of(run, CANDIDATES))
        return [
            Unit(
                part.name,
                part.source,
                (*part_inputs(part, text=False), ("candidates", candidates.checksum)),
                spec=(part, candidates.path),
                num_bytes=part.measures.num_bytes,
            )
            for part in final_parts(run)
        ]

    def work(self, unit: Unit, desk: Desk) -> Books:
        part, path = unit.spec
        candidates = integers(one_chunk(desk.run.read_table(path), "hash"), np.uint64)
        books = Books()
        with desk.parquet("members", f"split/members/{part.name}.parquet", MEMBER_SCHEMA) as file:
            for batch, hashes in self.rows(desk.run, part):
                chosen = np.flatnonzero(np.isin(hashes, candidates))
                picked = take_rows(batch.select(["row", "num_bytes"]), chosen)
                table = {"hash": hashes[chosen], "row": picked.column("row"), "num_bytes": picked.column("num_bytes")}
                file.write(pa.table(cast("Any", table), schema=MEMBER_SCHEMA))
                books.documents_in += batch.num_rows
                books.bytes_in += int(integers(batch.column("num_bytes")).sum())
        books.documents_kept, books.bytes_kept = books.documents_in, books.bytes_in
        return books


@dataclass(frozen=True)
class HeldOutChoice(SplitPhase):
    """One unit: the rows held out, with train and held-out totals per source in its notes."""

    name = CHOICE

    def units(self, run: RunFolder) -> list[Unit]:
        return [whole_unit(run, MEMBERS, "members", settings=source_totals(run))]

    def work(self, unit: Unit, desk: Desk) -> Books:
        names = sorted(unit.settings)
        limits = [limits_of(self.settings, unit.settings[n]["documents"], unit.settings[n]["bytes"]) for n in names]
        tables = [(names.index(source), desk.run.read_table(path)) for source, path in unit.spec]
        columns = {
            name: np.concatenate([np.zeros(0, dtype), *(integers(one_chunk(t, name), dtype) for _, t in tables)])
            for name, dtype in (("hash", np.uint64), ("row", np.uint64), ("num_bytes", np.int64))
        }
        source = np.concatenate([np.zeros(0, np.int64), *(np.full(t.num_rows, index) for index, t in tables)])
        chosen = choose_groups(columns["hash"], source, columns["num_bytes"], limits)
        rows, hashes = columns["row"][chosen], columns["hash"][chosen]
        order = np.argsort(rows)
        with desk.parquet("held_out", "split/val.parquet", HELD_OUT_SCHEMA) as file:
            file.write(pa.table({"row": rows[order], "hash": hashes[order]}, schema=HELD_OUT_SCHEMA))
        books = totals_books(unit.settings)
        for index, name in enumerate(names):
            mine = chosen[source[chosen] == index]
            val = {"val_documents": len(mine), "val_bytes": int(columns["num_bytes"][mine].sum())}
            books.notes[name] = {**unit.settings[name], **val}
        return books


@dataclass(frozen=True)
class Limits:
    """What one source gives at most: `wanted` documents, `tenth` with whole groups, `max_bytes` of text."""

    wanted: int
    tenth: int
    max_bytes: int
    num_candidates: int


def limits_of(settings: TokenSettings, documents: int, num_bytes: int) -> Limits:
    """The held-out limits of a source of so many documents and bytes."""
    tenth = documents // MAX_SHARE
    wanted = min(tenth, max(math.ceil(settings.held_out * documents), settings.held_out_min_documents))
    if settings.held_out == 0:
        wanted = 0
    mean = max(1, num_bytes // max(1, documents))
    fit = 2 * settings.held_out_max_bytes // mean + settings.held_out_min_documents
    return Limits(wanted, tenth, settings.held_out_max_bytes, (SPARE - 1) * min(wanted, fit))


def choose_groups(
    hashes: npt.NDArray[np.uint64],
    source: npt.NDArray[np.int64],
    num_bytes: npt.NDArray[np.int64],
    limits: list[Limits],
) -> npt.NDArray[np.int64]:
    """Indices of the members held out; all members of a group or none. Arrays are [members]."""
    order = np.lexsort((source, hashes))
    starts = np.flatnonzero(np.r_[True, hashes[order][1:] != hashes[order][:-1]]) if len(order) else order
    documents, size = [0] * len(limits), [0] * len(limits)
    chosen = []
    for group in np.split(order, starts[1:]):
        counts = np.bincount(source[group], minlength=len(limits))
        sizes = np.bincount(source[group], weights=num_bytes[group], minlength=len(limits))
        mine = [int(s) for s in np.flatnonzero(counts)]
        wanted = any(documents[s] < limits[s].wanted for s in mine)
        fits = all(
            documents[s] + counts[s] <= limits[s].tenth and size[s] + sizes[s] <= limits[s].max_bytes for s in mine
        )
        if wanted and fits:
            chosen.append(group)
            for s in mine:
                documents[s] += int(counts[s])
                size[s] += int(sizes[s])
    return np.concatenate([np.zeros(0, np.int64), *chosen])


@dataclass(frozen=True)
class HeldOut:
    """The rows held out, sorted."""

    rows: npt.NDArray[np.uint64]

    def of_part(self, part: PartRef) -> npt.NDArray[np.uint64]:
        """Those of one part."""
        low, high = np.searchsorted(self.rows, np.array([part.first_row, part.first_row + (1 << ROW_BITS)], np.uint64))
        return self.rows[low:high]


def held_out(run: RunFolder) -> HeldOut:
    """The held-out rows of a run whose split is complete."""
    (receipt,) = receipts_of(run, CHOICE)
    return HeldOut(integers(one_chunk(run.read_table(receipt.require("held_out").path), "row"), np.uint64))


def rows_identity(rows: npt.NDArray[np.uint64]) -> str:
    """A hash of rows: what a unit that reads one part's split depends on."""
    return hash_json([int(row) for row in rows])


def source_totals(run: RunFolder) -> dict[str, dict[str, int]]:
    """Documents and text bytes that reached tokenizing, per source."""
    totals: dict[str, dict[str, int]] = {}
    for receipt in receipts_of(run, SMALLEST):
        total = totals.setdefault(receipt.source or "", {"documents": 0, "bytes": 0})
        total["documents"] += receipt.books.documents_kept
        total["bytes"] += receipt.books.bytes_kept
    return dict(sorted(totals.items()))


def add_by_language(totals: dict[str, int], languages: list[Any], sizes: list[int]) -> None:
    """Add each document's bytes to its language's; `unknown` is a document without one."""
    for language, size in zip(languages, sizes, strict=True):
        name = language or "unknown"
        totals[name] = totals.get(name, 0) + size


def language_totals(run: RunFolder) -> dict[str, dict[str, int]]:
    """UTF-8 bytes of text that reached tokenizing, per source and language."""
    totals: dict[str, dict[str, int]] = {}
    for receipt in receipts_of(run, SMALLEST):
        languages = totals.setdefault(receipt.source or "", {})
        for language, num_bytes in receipt.books.notes.get("languages", {}).items():
            languages[language] = languages.get(language, 0) + num_bytes
    return totals


def totals_books(totals: Mapping[str, Mapping[str, int]]) -> Books:
    """Books of work on all documents that drops none."""
    documents, num_bytes = (sum(total[what] for total in totals.values()) for what in ("documents", "bytes"))
    return Books(documents_in=documents, documents_kept=documents, bytes_in=num_bytes, bytes_kept=num_bytes)


def whole_unit(run: RunFolder, phase: str, kind: str, settings: Any = None) -> Unit:
    """One unit that reads a file of every unit of `phase`; its spec is [(source, path)]."""
    receipts = receipts_of(run, phase)
    outputs = [receipt.require(kind) for receipt in receipts]
    return Unit(
        "all",
        inputs=tuple(
            (f"{receipt.unit}/{name}", checksum)
            for receipt, (name, checksum) in zip(receipts, identities(outputs), strict=True)
        ),
        settings=settings,
        spec=[(receipt.source or "", output.path) for receipt, output in zip(receipts, outputs, strict=True)],
        num_bytes=sum(output.num_bytes for output in outputs),
    )
