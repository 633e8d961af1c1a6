"""Drops near-duplicates: MinHash finds candidates, their true similarity decides.

Bands of MinHash signatures bring together documents that are probably similar (Broder 1997; banding as in Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, 3.4). Peers drop all but one of every connected component of such
candidates, so chains of ever less similar documents go, and so do false positives. Here a component only brings
documents together. Inside it, in keep-policy order, a document goes if and only if its true similarity to one that
stays reaches `min_similarity`; that one is its winner, and both stand in the evidence.

Rounds: signatures (with `fineweb` 14 rows of 16 bytes per document) -> edges -> components (over the documents that
have a candidate) -> shingles (of those alone; 4 bytes per distinct shingle) -> verify -> alarms -> decide. Text is read
twice, never for verification. Signatures take about 100 MB/s per core: benchmarks/dedup.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import flags, integers, one_chunk, take, take_rows
from corpusmill.pipeline.document import Column
from corpusmill.pipeline.stage import Kind, PartView, Round, RowStream
from corpusmill.stages.gather.alarms import AlarmSettings, part_totals, raise_alarms
from corpusmill.stages.gather.candidate_components import COMPONENTS, EDGES, candidate_components
from corpusmill.stages.gather.decisions import decide, part_rows, rows_of, schema_of
from corpusmill.stages.gather.keep_policy import (
    ORDER,
    KeepSettings,
    best_first,
    group_bounds,
)
from corpusmill.stages.gather.shingling import PRESETS, CompareSettings, Scheme, Shingler
from corpusmill.stages.gather.spilled_values import spilled_values

SIGNATURES = schema_of(key=pa.uint64(), row=pa.uint64())
SHINGLES = pa.unify_schemas(
    [
        schema_of(key=pa.uint64(), minhash_num_candidates=pa.int64()),
        ORDER,
        schema_of(shingles=pa.large_list(pa.uint32())),  # sorted, distinct
    ]
)
VERIFIED = schema_of(
    key=pa.uint64(),  # row
    id=pa.string(),
    winner=pa.uint64(),  # null: it stays
    winner_id=pa.string(),
    shared_bands=pa.int32(),
    estimated=pa.float64(),  # share of the signature's places that agree
    similarity=pa.float64(),
    limited=pa.bool_(),  # it stays, and more than `max_probes` documents of its component stay before it
    group=pa.uint64(),
    minhash_num_candidates=pa.int64(),
    minhash_cluster_size=pa.int64(),
    weight=pa.float32(),
    minhash_repeat=pa.string(),
)
ALONE = {"minhash_num_candidates": 1, "minhash_cluster_size": 1, "minhash_repeat": "repeat-1"}
"""Columns of a document without a candidate."""


@dataclass(frozen=True, kw_only=True)
class MinHash(KeepSettings, AlarmSettings, CompareSettings):
    """What is similar, how it is found, and which of the similar documents stays."""

    name: ClassVar[str] = "minhash"
    kind: ClassVar[Kind] = "gather"

    preset: Literal["fineweb", "nemotron", "dolma3"] = "fineweb"
    bands: int | None = None  # None, here and below: as the preset has it
    rows: int | None = None
    size: int | None = None
    unit: Literal["word", "character"] | None = None
    same_numbers: bool | None = None
    seed: int = 1
    copies: int = 1  # how many of a cluster stay
    weights: tuple[tuple[int, float], ...] = ()  # (cluster size, repetition of what stays from that size on), ascending

    def __post_init__(self) -> None:
        KeepSettings.__post_init__(self)
        CompareSettings.__post_init__(self)
        scheme = self.scheme()
        for name, value in (
            ("bands", scheme.bands),
            ("rows", scheme.rows),
            ("size", scheme.size),
            ("copies", self.copies),
        ):
            if value < 1:
                raise ValueError(f"{name}: {value} is less than 1.")
        if list(self.weights) != sorted(self.weights) or any(weight <= 0 for _, weight in self.weights):
            raise ValueError(f"weights: {self.weights} are not (cluster size, weight above 0) in ascending order.")

    def scheme(self) -> Scheme:
        """The preset with what was set beside it."""
        preset = PRESETS[self.preset]
        return Scheme(
            bands=preset.bands if self.bands is None else self.bands,
            rows=preset.rows if self.rows is None else self.rows,
            size=preset.size if self.size is None else self.size,
            unit=preset.unit if self.unit is None else self.unit,
            same_numbers=preset.same_numbers if self.same_numbers is None else self.same_numbers,
            seed=self.seed,
        )

    def adds(self) -> dict[str, pa.DataType]:
        added: dict[str, pa.DataType] = {
            "minhash_num_candidates": pa.int64(),  # documents of its component of candidates, itself included
            "minhash_cluster_size": pa.int64(),  # it and those dropped for it; of a dropped one: its winner's
        }
        if self.weights:  # repeat-<weight>: what `tokens: {bucket_by: minhash_repeat}` makes buckets of
            added["minhash_repeat"] = pa.string()
        return added

    def rounds(self) -> tuple[Round, ...]:
        return (
            Round("signatures", "parts", text=True),
            Round("edges", "ranges", reads=("signatures",)),
            Round("components", "whole", reads=("edges",), streamed=True),
            Round("shingles", "parts", reads=("components",), text=True),
            Round("verify", "ranges", reads=("shingles",), evidence=True, streamed=True),
            Round("totals", "parts"),
            Round("alarms", "whole", reads=("totals", "verify"), evidence=True, streamed=True),
            Round("decide", "parts", reads=("verify",)),
        )

    def open(self) -> "MinHashWorker":
        return MinHashWorker(self)


class MinHashWorker:
    """Holds the permutations and the folding table."""

    def __init__(self, settings: MinHash) -> None:
        from corpusmill.stages.kernels import components, hashing, verification

        self.settings = settings
        self.shingler = Shingler(settings.scheme())
        self.hashing, self.grouping, self.verification = hashing, components, verification

    def signatures(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """A row per document and band; documents without a shingle have none."""
        return signature_rows(self.shingler, part)

    def edges(self, rows: dict[str, pa.Table]) -> pa.Table:
        """Each document of a band to the first of it by row.

        Which pairs of a band are joined does not matter to the components; that all of it hangs together does.
        """
        bands = rows_of(rows, "signatures", SIGNATURES)
        key, row = (integers(one_chunk(bands, column), np.uint64) for column in ("key", "row"))
        first, other = self.grouping.band_edges(key, row)
        table = {"key": first, "row": first, "other": other}
        return pa.table(table, schema=EDGES)

    def components(self, rows: dict[str, RowStream]) -> Iterator[pa.Table]:
        """Every document with a candidate, and the component of candidates that it is in."""
        return candidate_components(rows.get("edges"))

    def shingles(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """The shingle sets of documents that have a candidate, keyed by their component."""
        yield SHINGLES.empty_table()
        settings = self.settings
        wanted = rows_of(rows, "components", COMPONENTS)
        wanted_rows = integers(one_chunk(wanted, "key"), np.uint64)
        component, candidates = one_chunk(wanted, "component"), one_chunk(wanted, "minhash_num_candidates")
        for batch in part.batches:
            row = integers(batch.column("row"), np.uint64)
            at = np.searchsorted(wanted_rows, row)
            chosen = np.flatnonzero(at < len(wanted_rows))
            chosen = chosen[wanted_rows[at[chosen]] == row[chosen]]
            if not len(chosen):
                continue
            documents = take_rows(batch, chosen)
            sets, bounds = self.shingler.sets(documents.column("text"))
            table = {
                "key": self.hashing.mix_all(integers(take(component, at[chosen]), np.uint64)),
                "minhash_num_candidates": take(candidates, at[chosen]),
                **settings.order_columns(documents),
                "shingles": cast("Any", pa).LargeListArray.from_arrays(bounds, sets),
            }
            yield pa.table(table, schema=SHINGLES)

    def verify(self, rows: dict[str, RowStream]) -> pa.Table:
        """A line for every document that has a candidate: who wins over it, if anyone, and how similar they are."""
        settings, scheme = self.settings, self.shingler.scheme
        with spilled_values(rows.get("shingles"), SHINGLES, ["shingles"]) as (candidates, spilled):
            order = best_first(candidates, ("key",))
            component = integers(one_chunk(candidates, "key"), np.uint64)
            component_bounds = group_bounds(component[order])
            winners, shared, estimated, true, limited = self.verification.verify_components(
                spilled.values["shingles"],
                spilled.offsets["shingles"],
                order,
                component_bounds,
                *self.shingler.permutations,
                scheme.bands,
                scheme.rows,
                self.shingler.seed,
                self.grouping.JACCARD if settings.measure == "jaccard" else self.grouping.CONTAINMENT,
                settings.min_similarity,
                settings.max_probes,
            )
        head = np.where(winners < 0, np.arange(len(winners)), winners)
        sizes = np.bincount(head, minlength=len(winners))[head].astype(np.int64)
        winners = spare_copies(winners, head, order, settings.copies)
        stays = winners < 0
        row, ids = one_chunk(candidates, "row"), one_chunk(candidates, "id")
        found = {
            "key": row,
            "id": ids,
            "winner": take(row, winners),
            "winner_id": take(ids, winners),
            "shared_bands": pa.array(shared, mask=stays),
            "estimated": pa.array(estimated, mask=stays),
            "similarity": pa.array(true, mask=stays),
            "limited": limited,
            "group": self._groups(candidates, order, component_bounds),
            "minhash_num_candidates": one_chunk(candidates, "minhash_num_candidates"),
            "minhash_cluster_size": sizes,
            **self._weights(sizes, stays),
        }
        return pa.table(found, schema=VERIFIED).sort_by("key")

    def totals(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        return part_totals(part)

    def alarms(self, rows: dict[str, RowStream]) -> pa.Table:
        """Raised before `decide`, so that nothing is dropped where they stop the build."""
        totals, verified = rows.get("totals"), rows.get("verify")
        return raise_alarms(self.settings.name, self.settings, totals, verified, "minhash_cluster_size")

    def _groups(
        self, candidates: pa.Table, order: npt.NDArray[np.int64], bounds: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        """Each component named by the least hash of an id in it, so by its documents alone."""
        names = self.hashing.hash_identifiers(one_chunk(candidates, "id"))
        groups = np.empty(len(names), dtype=np.uint64)
        if len(names):
            groups[order] = np.repeat(np.minimum.reduceat(names[order], bounds[:-1]), np.diff(bounds))
        return groups

    def _weights(self, sizes: npt.NDArray[np.int64], stays: npt.NDArray[np.bool_]) -> dict[str, Column]:
        """The repetition weight of what stays of a cluster (null is 1), and the name of its bucket."""
        steps = [1.0, *(weight for _, weight in self.settings.weights)]
        at = np.searchsorted([size for size, _ in self.settings.weights], sizes, side="right")
        names = np.array([f"repeat-{weight:g}" for weight in steps], dtype=object)
        return {
            "weight": pa.array(np.array(steps, dtype=np.float32)[at], mask=(at == 0) | ~stays),
            "minhash_repeat": pa.array(names[at], pa.string()),
        }

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        found = rows_of(rows, "verify", VERIFIED)
        return decide(
            part_rows(part.batches),
            found,
            dropped=flags(one_chunk(found, "winner").is_valid(), False),
            rule="minhash.near_duplicate",
            values=found.column("similarity").to_pylist(),
            threshold=self.settings.min_similarity,
            columns={name: otherwise for name, otherwise in ALONE.items() if name in self.settings.adds()},
        )


def signature_rows(shingler: Shingler, part: PartView) -> Iterator[pa.Table]:
    """SIGNATURES of a part: a row per document and band; documents without a shingle have none."""
    yield SIGNATURES.empty_table()
    for batch in part.batches:
        keys, some = shingler.band_keys(batch.column("text"))
        row = integers(batch.column("row"), np.uint64)[some]
        yield pa.table({"key": keys.ravel(), "row": row.repeat(shingler.scheme.bands)}, schema=SIGNATURES)


def spare_copies(
    winners: npt.NDArray[np.int64], head: npt.NDArray[np.int64], order: npt.NDArray[np.int64], copies: int
) -> npt.NDArray[np.int64]:
    """`winners`, with -1 for the best `copies` - 1 documents dropped for each head; `order` has the better first."""
    if copies == 1:
        return winners
    lost = order[winners[order] >= 0]
    by_head = lost[np.argsort(head[lost], kind="stable")]
    bounds = group_bounds(head[by_head].astype(np.uint64))
    rank = np.arange(len(by_head)) - np.repeat(bounds[:-1], np.diff(bounds))
    spared = winners.copy()
    spared[by_head[rank < copies - 1]] = -1
    return spared
