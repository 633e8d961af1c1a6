"""How far a run is, and its books: documents in, kept, dropped by rule and failed by reason, per source."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from corpusmill.pipeline.parts import MAKE
from corpusmill.pipeline.receipts import Receipt, read_receipt
from corpusmill.pipeline.run_folder import RunFolder


@dataclass
class SourceBooks:
    """One source over all phases."""

    documents_in: int = 0
    documents_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    not_measured: Counter[str] = field(default_factory=Counter)  # rule -> documents that had no value for it
    reached: Counter[str] = field(default_factory=Counter)  # rule -> documents of the phase that applied it
    bytes_in: int = 0
    bytes_kept: int = 0
    tokens: dict[str, int] = field(default_factory=dict)  # bucket -> tokens
    expanded: Counter[str] = field(default_factory=Counter)  # parents, and the documents counted in their place
    empty_files: list[tuple[int, str]] = field(default_factory=list)  # of each unit that has some: number, first name

    def never_measured(self) -> list[str]:
        """The rules that had no value to judge by in any document that reached them."""
        return sorted(rule for rule, count in self.not_measured.items() if count == self.reached[rule])

    def as_json(self) -> dict[str, Any]:
        return {
            "documents": {
                "in": self.documents_in,
                "kept": self.documents_kept,
                "dropped": dict(self.dropped.most_common()),
                "failed": dict(self.failed.most_common()),
            }
            | ({"expanded": dict(self.expanded)} if self.expanded else {})
            | ({"not_measured": dict(self.not_measured.most_common())} if self.not_measured else {})
            | ({"never_measured": never} if (never := self.never_measured()) else {}),
            "bytes": {"in": self.bytes_in, "kept": self.bytes_kept},
            "empty_files": {
                "count": sum(count for count, _ in self.empty_files),
                "first": min((name for _, name in self.empty_files), default=None),
            },
            "tokens": self.tokens,
        }


def read_status(run: RunFolder) -> dict[str, Any]:
    """The JSON object of `corpusmill status`. State: complete, unfinished, failed or empty."""
    entries = run.read_json("phases.json") or []
    phases, receipts = [], []
    for entry in entries:
        units = entry["units"]
        found = [receipt for unit in units or [] if (receipt := read_receipt(run, entry["name"], unit)) is not None]
        done = sum(receipt.error is None for receipt in found)
        phases.append({"name": entry["name"], "units": None if units is None else len(units), "done": done})
        receipts += [(entry, receipt) for receipt in found]
    state = "complete" if entries and all(phase["units"] == phase["done"] for phase in phases) else "unfinished"
    if any(receipt.error is not None for _, receipt in receipts):
        state = "failed"
    sources = source_books(run, [(receipt, bool(entry["decides"])) for entry, receipt in receipts])
    return {
        "format": 1,
        "run": run.url,
        "state": state if entries else "empty",
        "phases": phases,
        "sources": {name: books.as_json() for name, books in sources.items()},
    }


def source_books(run: RunFolder, receipts: list[tuple[Receipt, bool]]) -> dict[str, SourceBooks]:
    """Books per source from (receipt, whether its phase decides), in the order of phases."""
    sources: dict[str, SourceBooks] = {}
    left: dict[str, tuple[int, int]] = {}  # part -> documents and bytes kept so far
    owner: dict[str, str] = {}
    for receipt, decides in receipts:
        if not decides or receipt.source is None:
            continue
        books = sources.setdefault(receipt.source, SourceBooks())
        if receipt.phase == MAKE:
            books.documents_in += receipt.books.documents_in
            books.bytes_in += receipt.books.bytes_in
            if empty := receipt.books.notes.get("empty_files"):
                books.empty_files.append((empty["count"], empty["first"]))
            for counts in receipt.books.notes.get("expanded", {}).values():
                books.expanded += Counter(counts)
        books.dropped += receipt.books.dropped
        books.failed += receipt.books.failed
        books.not_measured += receipt.books.not_measured
        rules = [rule["name"] for rule in receipt.books.notes.get("rules", [])] or receipt.books.not_measured
        books.reached += Counter(dict.fromkeys(rules, receipt.books.documents_in))
        left[receipt.unit] = (receipt.books.documents_kept, receipt.books.bytes_kept)
        owner[receipt.unit] = receipt.source
    for part, (documents, num_bytes) in left.items():
        sources[owner[part]].documents_kept += documents
        sources[owner[part]].bytes_kept += num_bytes
    for shard in (run.read_json("tokens/manifest.json") or {"shards": []})["shards"]:
        tokens = sources.setdefault(shard["source"], SourceBooks()).tokens
        tokens[shard["bucket"]] = tokens.get(shard["bucket"], 0) + shard["num_tokens"]
    return dict(sorted(sources.items()))
