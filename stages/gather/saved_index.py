"""A saved index of documents that were kept before: what new batches are compared with.

    index.json                       the header: format, kind, scheme, normaliser, and what was added
    <batch>.<attempt>/bands.parquet      key of every band and the document's number, in sorted runs
    <batch>.<attempt>/documents.parquet  a row per document: id, source, url, shingle set (4 bytes a shingle)
    <attempt>.bloom                  instead of both: a Bloom filter of band keys (LSHBloom, Khan et al. 2024)

The header is replaced last, so what it does not name does not exist. An index made with other settings, another
normaliser or another format is refused, naming the difference. `minhash` keeps 12 bytes per band and the shingles, so
that a hit has a document and a true similarity; `bloom` about 29 bits per band at an error of one in a million, and
only says that something similar was probably there.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, one_chunk, take
from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.phases import parquet_output
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.shuffle import KEYS, StoredRows, sorted_by_key
from corpusmill.stages.gather.decisions import schema_of
from corpusmill.stages.gather.shingling import Scheme, Shingler

FORMAT = 1
ALGORITHM = "minhash: least of a*x+b mod 2^32 over 32-bit shingle hashes; bands by 64-bit hash"
BANDS = schema_of(key=pa.uint64(), document=pa.uint64())
DOCUMENTS = schema_of(id=pa.string(), source=pa.string(), url=pa.string(), shingles=pa.large_list(pa.uint32()))
GROUP_DOCUMENTS = 512
"""Documents of a row group: what is read for one hit, about 1 MB."""


@dataclass(frozen=True)
class BloomSize:
    """How many documents a Bloom index is made for, and how often one of them may seem known by mistake."""

    documents: int = 10_000_000
    error_rate: float = 1e-4


@dataclass(frozen=True)
class Added:
    """One batch of documents: its name, where it lies, how much it is."""

    name: str
    folder: str
    documents: int
    checksums: dict[str, str]  # of its files


@dataclass(frozen=True)
class SavedIndex:
    """An index folder as its header describes it."""

    folder: RunFolder
    kind: Literal["minhash", "bloom"]
    scheme: Scheme
    batches: tuple[Added, ...]
    bloom: BloomSize | None = None

    @classmethod
    def open(cls, url: str) -> "SavedIndex":
        """The index at this path or URL; RequestError where there is none, or none that this program can use."""
        folder = RunFolder(url)
        header = folder.read_json("index.json")
        if header is None:
            raise RequestError(f"{url}: no index is here. `corpusmill index add {url} RUN` makes one.")
        expected = {"format": FORMAT, "algorithm": ALGORITHM, "normalizer": normalizer()}
        for key, value in expected.items():
            if header.get(key) != value:
                raise RequestError(
                    f"{url}/index.json: {key} is {header.get(key)!r}, this program has {value!r}. Use the version of "
                    "corpusmill that made it, or make the index again from its runs."
                )
        bloom = header["bloom"]
        return cls(
            folder,
            header["kind"],
            Scheme(**header["scheme"]),
            tuple(Added(**batch) for batch in header["batches"]),
            None if bloom is None else BloomSize(**bloom),
        )

    def require(self, scheme: Scheme) -> None:
        """RequestError unless the index was made with this scheme."""
        for field in fields(Scheme):
            made, asked = getattr(self.scheme, field.name), getattr(scheme, field.name)
            if made != asked:
                raise RequestError(
                    f"{self.folder.url}/index.json: {field.name} is {made!r}, asked for is {asked!r}. Ask for "
                    f"{field.name}: {made!r}, or make another index."
                )

    @property
    def num_documents(self) -> int:
        return sum(batch.documents for batch in self.batches)

    @cached_property
    def shingler(self) -> Shingler:
        return Shingler(self.scheme)

    def add(self, name: str, documents: Iterable[Batch]) -> "SavedIndex":
        """The index with one more batch, named `name`; RequestError where it has one of that name."""
        if any(batch.name == name for batch in self.batches):
            raise RequestError(f"{self.folder.url}: a batch '{name}' is there already. Give another --name.")
        attempt = f"{name}.{os.urandom(4).hex()}"
        added = self._add_bands if self.kind == "minhash" else self._add_bits
        count, checksums = added(attempt, documents)
        batches = (*self.batches, Added(name, attempt, count, checksums))
        grown = SavedIndex(self.folder, self.kind, self.scheme, batches, self.bloom)
        grown.write_header()
        if self.kind == "bloom" and self.batches:
            self.folder.remove(f"{self.batches[-1].folder}.bloom")
        return grown

    def write_header(self) -> None:
        header = {
            "format": FORMAT,
            "algorithm": ALGORITHM,
            "normalizer": normalizer(),
            "kind": self.kind,
            "scheme": asdict(self.scheme),
            "bloom": None if self.bloom is None else asdict(self.bloom),
            "batches": [asdict(batch) for batch in self.batches],
        }
        self.folder.put_json("index.json", header)

    def matches(self, keys: npt.NDArray[np.uint64], start: int = 0, stop: int = KEYS) -> Iterator[pa.Table]:
        """Where these band keys (sorted, all in start <= key < stop) stand: (at, batch, document), some at a time.

        `at` is the place in `keys`; several places may have one key.
        """
        for number, batch in enumerate(self.batches):
            for table in StoredRows(self.folder, [f"{batch.folder}/bands.parquet"], start, stop).read():
                stored = integers(one_chunk(table, "key"), np.uint64)
                low, high = (np.searchsorted(keys, stored, side=side) for side in ("left", "right"))
                counts = high - low
                hit = np.repeat(np.arange(len(stored)), counts)
                at = np.arange(len(hit)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
                document = integers(one_chunk(table, "document"), np.uint64)[hit]
                yield pa.table({"at": at, "batch": np.full(len(hit), number), "document": document})

    def seen(self, keys: npt.NDArray[np.uint64], bits: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.bool_]:
        """Whether the Bloom filter (or other `bits` of its shape) seems to have each of these band keys."""
        from corpusmill.stages.kernels.bloom import has_keys

        return has_keys(self._bits if bits is None else bits, keys, self.bloom_shape[1])

    def documents(self, batch: int, numbers: npt.NDArray[np.uint64]) -> pa.Table:
        """DOCUMENTS of these numbers (ascending, distinct) of a batch, in order."""
        found = [DOCUMENTS.empty_table()]
        groups, places = numbers // np.uint64(GROUP_DOCUMENTS), numbers % np.uint64(GROUP_DOCUMENTS)
        with self.folder.parquet(f"{self.batches[batch].folder}/documents.parquet") as file:
            for group in np.unique(groups):
                table = file.read_row_group(int(group), use_threads=False)
                found.append(table.take(cast("Any", pa.array(places[groups == group]))))
        return pa.concat_tables(found).combine_chunks()

    @cached_property
    def bloom_shape(self) -> tuple[int, int]:
        """Bytes of the filter, and hashes per band key: its error per document is what was asked for."""
        from corpusmill.stages.kernels.bloom import filter_shape

        size = self.bloom or BloomSize()
        bands = self.scheme.bands
        return filter_shape(size.documents * bands, 1 - (1 - size.error_rate) ** (1 / bands))

    @cached_property
    def _bits(self) -> npt.NDArray[np.uint8]:
        if not self.batches:
            return np.zeros(self.bloom_shape[0], dtype=np.uint8)
        return np.frombuffer(bytearray(self.folder.read_bytes(f"{self.batches[-1].folder}.bloom")), dtype=np.uint8)

    def _add_bands(self, attempt: str, documents: Iterable[Batch]) -> tuple[int, dict[str, str]]:
        count = 0
        with ExitStack() as stack:
            outputs = {kind: stack.enter_context(self.folder.create(f"{attempt}/{kind}.parquet")) for kind in KINDS}
            bands = stack.enter_context(parquet_output(outputs["bands"], BANDS))
            rows = stack.enter_context(parquet_output(outputs["documents"], DOCUMENTS, GROUP_DOCUMENTS))
            waiting = DOCUMENTS.empty_table()
            for batch in documents:
                keys, some = self.shingler.band_keys(batch.column("text"))
                numbers = np.arange(count, count + len(some), dtype=np.uint64).repeat(self.scheme.bands)
                bands.write(sorted_by_key(pa.table({"key": keys.ravel(), "document": numbers}, schema=BANDS)))
                sets, bounds = self.shingler.sets(take(batch.column("text"), some))
                made = {name: take(batch.column(name), some) for name in ("id", "source", "url")}
                made["shingles"] = cast("Any", pa).LargeListArray.from_arrays(bounds, sets)
                waiting = pa.concat_tables([waiting, pa.table(made, schema=DOCUMENTS)])
                whole = waiting.num_rows // GROUP_DOCUMENTS * GROUP_DOCUMENTS
                rows.write(waiting.slice(0, whole).combine_chunks())
                waiting = waiting.slice(whole)
                count += len(some)
            rows.write(waiting.combine_chunks())
        return count, {f"{kind}.parquet": output.checksum for kind, output in outputs.items()}

    def _add_bits(self, attempt: str, documents: Iterable[Batch]) -> tuple[int, dict[str, str]]:
        from corpusmill.stages.kernels.bloom import add_keys

        bits, count = self._bits.copy(), 0
        for batch in documents:
            keys, some = self.shingler.band_keys(batch.column("text"))
            add_keys(bits, keys.ravel(), self.bloom_shape[1])
            count += len(some)
        with self.folder.create(f"{attempt}.bloom") as output:
            output.write(bits.data)
        return count, {"bloom": output.checksum}


KINDS = ("bands", "documents")


def new_index(url: str, scheme: Scheme, bloom: BloomSize | None) -> SavedIndex:
    """An empty index, not yet on disk."""
    return SavedIndex(RunFolder(url), "minhash" if bloom is None else "bloom", scheme, (), bloom)


def normalizer() -> str:
    """What texts are folded by: the Unicode version and a hash of the table."""
    from corpusmill.stages.kernels.folding import FILE, UNICODE_VERSION

    return f"Unicode {UNICODE_VERSION}, folding {hashlib.blake2b(FILE.read_bytes(), digest_size=8).hexdigest()}"
