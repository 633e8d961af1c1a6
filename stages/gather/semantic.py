"""Drops documents whose embedding is nearly that of one which stays (SemDeDup, Abbas et al. 2023, arXiv 2303.09540).

    - semantic: {embeddings: ["vectors/*.parquet"], min_cosine: 0.95}
    - semantic: {column: proxy_embedding, per_cluster: 1000}

Embeddings are made elsewhere (Parquet files with `id` and a list of floats, one row per document), or they are a
measured column, as `proxy_embedding` makes one; documents without one stay, with a null `semantic_cluster`. Vectors are
brought to length 1 and put into `num_clusters` clusters by spherical k-means over a sample chosen by hash of id. Inside
a cluster, in keep-policy order, a document goes if and only if its cosine to one that stays reaches `min_cosine`; the
nearest such one is its winner. Pairs that a border between clusters parts are not seen, as in the paper: fewer clusters
see more and cost more. Of what stays then, `per_cluster` documents of a cluster stay where it is set, those with the
least hashes of their ids.

Rounds: vectors (parts) -> clusters (whole, streamed) -> compare (ranges of clusters) -> decide. A cluster is in memory
whole, at 4 bytes a dimension.
"""

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.pipeline.columns import flags, integers, one_chunk, take
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, PartView, Round, RowStream
from corpusmill.stages.gather.decisions import decide, part_rows, rows_of, schema_of
from corpusmill.stages.gather.keep_policy import ORDER, KeepSettings, best_first, group_bounds

VECTOR = pa.large_list(pa.float32())
VECTORS = pa.unify_schemas([schema_of(key=pa.uint64()), ORDER, schema_of(vector=VECTOR)])
COMPARED = schema_of(
    key=pa.uint64(),  # row
    id=pa.string(),
    winner=pa.uint64(),  # null: it stays
    winner_id=pa.string(),
    similarity=pa.float64(),  # cosine
    place=pa.int64(),  # by hash of id among those of its cluster that have no winner, from 1; null with a winner
    semantic_cluster=pa.int64(),
)

SAMPLED = 50_000
ITERATIONS = 10
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Semantic(KeepSettings):
    """Where embeddings lie, and how near is too near."""

    name: ClassVar[str] = "semantic"
    kind: ClassVar[Kind] = "gather"

    embeddings: tuple[str, ...] = ()  # Parquet files; * and ** as in the shell
    column: str | None = None  # or a measured column of lists of floats
    id_field: str = "id"
    vector_field: str = "embedding"
    min_cosine: float = 0.95
    num_clusters: int = 100
    per_cluster: int | None = None  # documents that stay of a cluster at most

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.min_cosine <= 1:
            raise ValueError(f"min_cosine: {self.min_cosine} is not above 0 and at most 1.")
        if self.num_clusters < 1:
            raise ValueError(f"num_clusters: {self.num_clusters} is less than 1.")
        if self.per_cluster is not None and self.per_cluster < 1:
            raise ValueError(f"per_cluster: {self.per_cluster} is less than 1.")
        if bool(self.embeddings) == (self.column is not None):
            raise RequestError("semantic: embeddings or column: give Parquet files, or a measured column, not both.")
        if self.column is None and not self.files():
            raise ValueError(f"embeddings: {', '.join(self.embeddings) or 'nothing'}: no such files.")

    def adds(self) -> dict[str, pa.DataType]:
        return {"semantic_cluster": pa.int64()}

    def reads(self) -> tuple[str, ...]:
        return tuple(name for name in (self.by, self.column) if name)

    def files(self) -> tuple[Path, ...]:
        return tuple(Path(name) for pattern in self.embeddings for name in sorted(glob.glob(pattern, recursive=True)))

    def rounds(self) -> tuple[Round, ...]:
        return (
            Round("vectors", "parts"),
            Round("clusters", "whole", reads=("vectors",), streamed=True),
            Round("compare", "ranges", reads=("clusters",), evidence=True),
            Round("decide", "parts", reads=("compare",)),
        )

    def open(self) -> "SemanticWorker":
        return SemanticWorker(self)


class SemanticWorker:
    """Holds the kernels."""

    def __init__(self, settings: Semantic) -> None:
        from corpusmill.stages.kernels import cosine, hashing

        self.settings = settings
        self.cosine, self.hashing = cosine, hashing

    def vectors(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """The part's documents that have an embedding, with it, of length 1."""
        yield VECTORS.empty_table()
        settings = self.settings
        for batch in part.batches:
            ids = batch.column("id")
            if settings.column is not None:
                measured = batch.column(settings.column).cast(VECTOR)
                chosen = np.flatnonzero(flags(measured.is_valid(), False))
                lists = take(measured, chosen)
            else:
                known = pa.concat_tables([self._matching(path, ids) for path in settings.files()]).combine_chunks()
                at = cast("Any", pc.index_in)(ids, value_set=one_chunk(known, "id"))
                chosen = np.flatnonzero(flags(at.is_valid(), False))
                lists = take(one_chunk(known, "vector"), integers(at.drop_null()))
            if not len(chosen):
                continue
            vectors = self.cosine.unit_rows(as_matrix(lists))
            table = {name: take(column, chosen) for name, column in settings.order_columns(batch).items()}
            key = self.hashing.mix_all(integers(table["row"], np.uint64))
            yield pa.table({"key": key, **table, "vector": as_lists(vectors)}, schema=VECTORS)

    def clusters(self, rows: dict[str, RowStream]) -> Iterator[pa.Table]:
        """The same rows, keyed by their cluster."""
        yield VECTORS.empty_table()
        stream = rows.get("vectors")
        if stream is None:
            return
        centres = self._centres(stream)
        for table in stream.read():
            nearest = self.cosine.nearest(as_matrix(one_chunk(table, "vector")), centres).astype(np.uint64)
            yield table.set_column(0, "key", pa.array(self.hashing.mix_all(nearest)))

    def compare(self, rows: dict[str, pa.Table]) -> pa.Table:
        """A line for every document with an embedding: who wins over it, if anyone."""
        table = rows_of(rows, "clusters", VECTORS)
        order = best_first(table, ("key",))
        bounds = group_bounds(integers(one_chunk(table, "key"), np.uint64)[order])
        winner = np.full(table.num_rows, -1, dtype=np.int64)
        cosine = np.zeros(table.num_rows, dtype=np.float64)
        place = np.zeros(table.num_rows, dtype=np.int64)
        lists = one_chunk(table, "vector")
        names = self.hashing.hash_identifiers(one_chunk(table, "id"))
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            members = order[low:high]
            of, similarity = self.cosine.winners(as_matrix(take(lists, members)), self.settings.min_cosine)
            winner[members] = np.where(of < 0, -1, members[of])
            cosine[members] = similarity
            left = members[of < 0]
            place[left[np.argsort(names[left], kind="stable")]] = np.arange(1, len(left) + 1)
        row, ids = one_chunk(table, "row"), one_chunk(table, "id")
        found = {
            "key": row,
            "id": ids,
            "winner": take(row, winner),
            "winner_id": take(ids, winner),
            "similarity": pa.array(cosine, mask=winner < 0),
            "place": pa.array(place, mask=place == 0),
            "semantic_cluster": integers(one_chunk(table, "key"), np.uint64).astype(np.int64),
        }
        return pa.table(found, schema=COMPARED).sort_by("key")

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        found = rows_of(rows, "compare", COMPARED)
        most, places = self.settings.per_cluster, one_chunk(found, "place").to_pylist()
        spare = np.array([most is not None and place is not None and place > most for place in places], dtype=np.bool_)
        facts = zip(spare, places, found.column("similarity").to_pylist(), strict=True)
        return decide(
            part_rows(part.batches),
            found,
            dropped=spare | flags(one_chunk(found, "winner").is_valid(), False),
            rule=["semantic.full_cluster" if extra else "semantic.near_duplicate" for extra in spare],
            values=[place if extra else similarity for extra, place, similarity in facts],
            threshold=[most if extra else self.settings.min_cosine for extra in spare],
            columns={"semantic_cluster": None},
        )

    def _matching(self, path: Path, ids: Any) -> pa.Table:
        """(id, vector) of the file's rows with one of these ids."""
        settings = self.settings
        names = [settings.id_field, settings.vector_field]
        with pq.ParquetFile(path) as file:
            if missing := set(names) - set(file.schema_arrow.names):
                raise RequestError(f"{path}: no column '{missing.pop()}'. Set id_field and vector_field of semantic.")
            tables = [schema_of(id=pa.string(), vector=VECTOR).empty_table()]
            for number in range(file.num_row_groups):
                group = file.read_row_group(number, columns=names, use_threads=False).select(names)
                mine = group.filter(cast("Any", pc.is_in)(group.column(0), value_set=ids))
                tables.append(pa.table({"id": mine.column(0).cast(pa.string()), "vector": mine.column(1).cast(VECTOR)}))
        return pa.concat_tables(tables)

    def _centres(self, stream: RowStream) -> Matrix:
        """Spherical k-means (Dhillon and Modha 2001) over the vectors with the least hashes of their ids."""
        names, some = np.zeros(0, dtype=np.uint64), np.zeros((0, 0), dtype=np.float32)
        for table in stream.read("id", "vector"):
            vectors = as_matrix(one_chunk(table, "vector"))
            if some.size and vectors.shape[1] != some.shape[1]:
                sizes = f"{some.shape[1]} and of {vectors.shape[1]}"
                raise RequestError(f"semantic: embeddings of {sizes} numbers. Make all with one model.")
            names = np.concatenate([names, self.hashing.hash_identifiers(one_chunk(table, "id"))])
            some = np.concatenate([some.reshape(-1, vectors.shape[1]), vectors])
            least = np.argsort(names, kind="stable")[:SAMPLED]
            names, some = names[least], some[least]
        centres = some[: self.settings.num_clusters].copy()
        for _ in range(ITERATIONS):
            nearest = self.cosine.nearest(some, centres)
            sums = np.zeros_like(centres)
            np.add.at(sums, nearest, some)
            full = np.bincount(nearest, minlength=len(centres)) > 0
            centres[full] = self.cosine.unit_rows(sums[full])
        return centres


def as_matrix(lists: Any) -> Matrix:
    """Lists of one length as rows; RequestError where their lengths differ."""
    lengths = np.diff(lists.offsets.to_numpy())
    if len(lengths) and (lengths != lengths[0]).any():
        raise RequestError("semantic: embeddings of different lengths. Make all with one model.")
    width = int(lengths[0]) if len(lengths) else 0
    return np.array(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(lengths), width)


def as_lists(matrix: Matrix) -> Any:
    ends = np.arange(len(matrix) + 1) * matrix.shape[1]
    return cast("Any", pa).LargeListArray.from_arrays(ends, matrix.ravel())
