"""Drops documents that a saved index has already: near-duplicates of what was kept before, in earlier runs.

    - known: {index: indexes/web, min_similarity: 0.75}

`corpusmill index add indexes/web RUN` adds what a run kept. A document is compared with those of the index that share
bands with it, most bands first (ties: added first), at most `max_probes`; the first whose true similarity reaches
`min_similarity` is its winner, and the evidence names it with batch and id. Of a Bloom index nothing but "probably
there" can be known: such documents go without a winner, and a share of them, known from the index, by mistake.

Rounds: signatures (as in `minhash`) -> matches (ranges of keys: bands that the index has) -> compare -> decide. The
index is read once, a range of keys at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import flags, integers, one_chunk
from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, PartView, Round
from corpusmill.stages.gather.decisions import decide, part_rows, rows_of, schema_of
from corpusmill.stages.gather.minhash import SIGNATURES, signature_rows
from corpusmill.stages.gather.saved_index import SavedIndex
from corpusmill.stages.gather.shingling import CompareSettings
from corpusmill.stages.gather.spilled_values import value_buffers

MATCHES = schema_of(key=pa.uint64(), batch=pa.int32(), document=pa.uint64())  # key: row; once for every shared band
COMPARED = schema_of(
    key=pa.uint64(),  # row
    id=pa.string(),
    batch=pa.string(),  # null: it stays, or a Bloom index seems to have it
    winner_id=pa.string(),
    shared_bands=pa.int32(),
    estimated=pa.float64(),
    similarity=pa.float64(),
    known=pa.bool_(),
)

QUERY_BATCHES = 32
"""Batches whose text a query holds: about 256 MiB."""


@dataclass(frozen=True, kw_only=True)
class Known(CompareSettings):
    """Which index, and from which similarity on."""

    name: ClassVar[str] = "known"
    kind: ClassVar[Kind] = "gather"

    index: Path

    def files(self) -> tuple[Path, ...]:
        return (self.index / "index.json",)  # names its other files by checksum

    def rounds(self) -> tuple[Round, ...]:
        return (
            Round("signatures", "parts", text=True),
            Round("matches", "ranges", reads=("signatures",)),
            Round("compare", "parts", reads=("matches",), text=True, evidence=True),
            Round("decide", "parts", reads=("compare",)),
        )

    def open(self) -> "KnownWorker":
        return KnownWorker(self)


class KnownWorker:
    """Holds the index."""

    def __init__(self, settings: Known, index: SavedIndex | None = None) -> None:
        self.settings = settings
        self.index = index or SavedIndex.open(str(settings.index))
        self.shingler = self.index.shingler

    def signatures(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        return signature_rows(self.shingler, part)

    def matches(self, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """A row for every band of a document that the index has, by document of the index."""
        yield MATCHES.empty_table()
        signatures = rows_of(rows, "signatures", SIGNATURES)
        keys, row = (integers(one_chunk(signatures, name), np.uint64) for name in ("key", "row"))
        if not len(keys):
            return
        if self.index.kind == "bloom":
            known = row[self.index.seen(keys)]
            nothing = np.zeros(len(known), dtype=np.uint64)
            yield pa.table({"key": known, "batch": nothing.astype(np.int32), "document": nothing}, schema=MATCHES)
            return
        for table in self.index.matches(keys, int(keys[0]), int(keys[-1]) + 1):
            found = {"key": row[integers(one_chunk(table, "at"))], "batch": one_chunk(table, "batch").cast(pa.int32())}
            yield pa.table({**found, "document": one_chunk(table, "document")}, schema=MATCHES)

    def compare(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """A line for every document that shares a band with the index."""
        yield COMPARED.empty_table()
        matches = rows_of(rows, "matches", MATCHES)
        matched = integers(one_chunk(matches, "key"), np.uint64)
        for batch in part.batches:
            numbers = integers(batch.column("row"), np.uint64)
            low, high = np.searchsorted(matched, [numbers[0], numbers[-1] + np.uint64(1)]) if len(numbers) else (0, 0)
            if high > low:
                yield self.compare_batch(batch, matches.slice(low, high - low))

    def compare_batch(self, batch: Batch, matches: pa.Table) -> pa.Table:
        """COMPARED of the batch's documents that occur in MATCHES."""
        rows, at = np.unique(integers(one_chunk(matches, "key"), np.uint64), return_inverse=True)
        documents = batch.filter(pa.array(np.isin(integers(batch.column("row"), np.uint64), rows)))
        found: dict[str, list[object]] = {name: [None] * len(rows) for name in COMPARED.names[2:]}
        found["known"] = [self.index.kind == "bloom"] * len(rows)
        if self.index.kind == "minhash":
            candidates = self._candidates(
                at, integers(one_chunk(matches, "batch")), integers(one_chunk(matches, "document"), np.uint64)
            )
            self._judge(documents, candidates, found)
        table = {"key": rows, "id": documents.column("id"), **found}
        return pa.table(table, schema=COMPARED)

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        found = rows_of(rows, "compare", COMPARED)
        bloom = self.index.kind == "bloom"
        return decide(
            part_rows(part.batches),
            found,
            dropped=flags(one_chunk(found, "known"), False),
            rule="known.probably_in_bloom_index" if bloom else "known.near_duplicate",
            values=[1] * found.num_rows if bloom else found.column("similarity").to_pylist(),
            threshold=self.index.bloom.error_rate if self.index.bloom else self.settings.min_similarity,
        )

    def _candidates(
        self, at: npt.NDArray[np.int64], batch: npt.NDArray[np.int64], document: npt.NDArray[np.uint64]
    ) -> pa.Table:
        """(at, batch, document, shared bands), for each document at most `max_probes`, those sharing most first."""
        order = np.lexsort((document, batch, at))
        at, batch, document = at[order], batch[order], document[order]
        new = np.ones(len(at), dtype=np.bool_)
        new[1:] = (at[1:] != at[:-1]) | (batch[1:] != batch[:-1]) | (document[1:] != document[:-1])
        first = np.flatnonzero(new)
        shared = np.diff(np.append(first, len(at)))
        at, batch, document = at[first], batch[first], document[first]
        order = np.lexsort((document, batch, -shared, at))
        begin = np.searchsorted(at[order], at[order])
        order = order[np.arange(len(order)) - begin < self.settings.max_probes]
        return pa.table({"at": at[order], "batch": batch[order], "document": document[order], "shared": shared[order]})

    def _judge(self, documents: Batch, candidates: pa.Table, found: dict[str, list[object]]) -> None:
        """Fill `found` for the documents that a candidate wins over."""
        from corpusmill.stages.kernels.components import CONTAINMENT, JACCARD, similarity

        measure = JACCARD if self.settings.measure == "jaccard" else CONTAINMENT
        mine, bounds = self.shingler.sets(documents.column("text"))
        at, batch, document, shared = (one_chunk(candidates, name).to_numpy() for name in candidates.column_names)
        theirs, places, names = self._stored(batch, document)
        sets, ends = value_buffers(theirs)
        for i in range(len(at)):
            which = int(at[i])
            if found["known"][which]:
                continue
            members = mine[bounds[which] : bounds[which + 1]]
            other = sets[ends[places[i]] : ends[places[i] + 1]]
            true = similarity(members, other, measure, self.settings.min_similarity)
            if true >= self.settings.min_similarity:
                agreeing = self.shingler.signature(members) == self.shingler.signature(other)
                found["known"][which] = True
                found["batch"][which] = self.index.batches[int(batch[i])].name
                found["winner_id"][which] = names[int(places[i])].as_py()
                found["shared_bands"][which] = int(shared[i])
                found["estimated"][which] = float(agreeing.mean())
                found["similarity"][which] = true

    def _stored(
        self, batch: npt.NDArray[np.int64], document: npt.NDArray[np.uint64]
    ) -> tuple[Column, npt.NDArray[np.int64], Column]:
        """Shingle sets of these documents of the index, the place of each among them, and their ids."""
        places = np.empty(len(batch), dtype=np.int64)
        tables, filled = [], 0
        for number in np.unique(batch):
            mine = np.flatnonzero(batch == number)
            wanted, at = np.unique(document[mine], return_inverse=True)
            tables.append(self.index.documents(int(number), wanted).select(["id", "shingles"]))
            places[mine] = filled + at
            filled += len(wanted)
        whole = pa.concat_tables(tables).combine_chunks()
        return one_chunk(whole, "shingles"), places, one_chunk(whole, "id")


def query(index: SavedIndex, batches: Iterable[Batch], settings: Known) -> Iterator[pa.Table]:
    """COMPARED of batches with row, id and text against the index, which is read once for every QUERY_BATCHES."""
    worker, waiting = KnownWorker(settings, index), iter(batches)
    while group := list(islice(waiting, QUERY_BATCHES)):
        view = PartView(name="", batches=group, first_row=0)
        signatures = pa.concat_tables(list(worker.signatures(view, {}))).sort_by("key")
        matches = pa.concat_tables(list(worker.matches({"signatures": signatures}))).sort_by("key")
        yield from worker.compare(view, {"matches": matches})
