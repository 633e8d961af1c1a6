"""Placing: from lengths alone every document gets its file, and each file is one unit that merges sorted runs.

`tokens/layout` adds up tokens by the leading bits of the order hash, per source and bucket, and cuts files at bin
borders. `tokens/place` then merges, for one file, a contiguous stretch of every encoded run. Memory: the rows of one
file's documents and a block of tokens; nothing grows with the corpus.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import flags, integers, one_chunk, take_rows
from corpusmill.pipeline.fingerprint import code_hash
from corpusmill.pipeline.phases import Desk, Unit, receipts_of
from corpusmill.pipeline.receipts import Books, OutputFile, Receipt
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.buckets import VAL
from corpusmill.stages.tokens.encode import ENCODE, index_slice
from corpusmill.stages.tokens.encoder import TokenizerCard
from corpusmill.stages.tokens.token_order import HASH_BITS
from corpusmill.stages.tokens.token_settings import TokenSettings
from corpusmill.stages.tokens.token_shards import MANIFEST, ShardWriter, in_order
from corpusmill.stages.tokens.vocabulary import read_card, tokenizer_identity

LAYOUT, PLACE, WRITE_MANIFEST = "tokens/layout", "tokens/place", "tokens/manifest"
BIN_BITS = 20
"""A million bins per source and bucket: files of 2**28 tokens are cut well up to a trillion tokens a source."""
BLOCK_TOKENS = 1 << 22
"""Tokens merged at a time."""
DOCUMENT_COLUMNS = (
    *("id", "source", "url", "lang", "row", "token_start", "num_tokens"),
    *("num_bytes", "lossless"),
)


@dataclass(frozen=True)
class LayoutPhase:
    """One unit: the files of every source and bucket, as hash ranges, in JSON."""

    settings: TokenSettings

    name = LAYOUT

    def fingerprint(self) -> Any:
        limits = [self.settings.max_file_tokens, self.settings.max_file_documents]
        return {"code": code_hash(__name__), "settings": limits}

    def units(self, run: RunFolder) -> list[Unit]:
        receipts = receipts_of(run, ENCODE)
        inputs = tuple((f"{r.unit}/index", r.require("index").checksum) for r in receipts)
        spec = [(r.source or "", r.require("index").path) for r in receipts]
        return [Unit("all", inputs=inputs, spec=spec)]

    def work(self, unit: Unit, desk: Desk) -> Books:
        bins: dict[tuple[str, str], HashBins] = {}
        for source, path in unit.spec:
            add_to_bins(bins, source, desk.run.read_table(path, ["bucket", "hash", "num_tokens"]))
        counts = {key: found.counts() for key, found in bins.items()}
        limits = self.settings.max_file_tokens, self.settings.max_file_documents
        files = [
            {"source": source, "bucket": bucket, "number": number} | file
            for source, bucket in sorted(counts)
            for number, file in enumerate(cut_files(counts[source, bucket], *limits))
        ]
        with desk.create("layout", "encoded/layout.json") as output:
            output.write(json.dumps(files, ensure_ascii=False).encode())
        num_documents = sum(int(found[2].sum()) for found in counts.values())
        return Books(documents_in=num_documents, documents_kept=num_documents)


@dataclass
class HashBins:
    """Tokens and documents by the leading BIN_BITS of the order hash; memory follows the bins that are filled."""

    rows: list[npt.NDArray[np.int64]] = field(default_factory=list)  # [3, rows] each: bin, tokens, documents
    num_rows: int = 0

    def add(self, hashes: npt.NDArray[np.uint64], tokens: npt.NDArray[np.int64]) -> None:
        """Add documents [documents]."""
        at = (hashes >> np.uint64(HASH_BITS - BIN_BITS)).astype(np.int64)
        self.rows.append(np.stack([at, tokens, np.ones_like(tokens)]))
        self.num_rows += len(tokens)
        if self.num_rows > 2 << BIN_BITS:
            self.rows = [self.counts()]
            self.num_rows = self.rows[0].shape[1]

    def counts(self) -> npt.NDArray[np.int64]:
        """[3, filled bins], ascending: bin, tokens, documents."""
        rows = np.concatenate(self.rows, axis=1)
        filled, inverse = np.unique(rows[0], return_inverse=True)
        counts = np.zeros((3, len(filled)), np.int64)
        counts[0] = filled
        np.add.at(counts[1], inverse, rows[1])
        np.add.at(counts[2], inverse, rows[2])
        return counts


def add_to_bins(bins: dict[tuple[str, str], HashBins], source: str, index: pa.Table) -> None:
    """Add the documents of an encoded part to the bins of its (source, bucket)."""
    buckets = cast("Any", one_chunk(index, "bucket")).dictionary_encode()
    hashes, tokens = integers(one_chunk(index, "hash"), np.uint64), integers(one_chunk(index, "num_tokens"))
    for number, bucket in enumerate(buckets.dictionary.to_pylist()):
        mine = np.flatnonzero(integers(buckets.indices) == number)
        bins.setdefault((source, bucket), HashBins()).add(hashes[mine], tokens[mine])


def cut_files(counts: npt.NDArray[np.int64], max_tokens: int, max_documents: int) -> list[dict[str, int]]:
    """Hash ranges `low` <= hash < `high` from `counts` [3, filled bins], each as full as the limits allow.

    A bin is never divided.
    """
    files: list[dict[str, int]] = []
    tokens = documents = 0
    start = 0

    def close(stop: int) -> None:
        shift = HASH_BITS - BIN_BITS
        low = start << shift
        files.append({"low": low, "high": stop << shift, "num_tokens": tokens, "num_documents": documents})

    for at, num_tokens, num_documents in zip(*counts.tolist(), strict=True):
        if documents and (tokens + num_tokens > max_tokens or documents + num_documents > max_documents):
            close(at)
            tokens, documents, start = 0, 0, at
        tokens += num_tokens
        documents += num_documents
    if documents:
        close(1 << BIN_BITS)
    return files


@dataclass(frozen=True)
class PlacePhase:
    """A unit per token file."""

    settings: TokenSettings

    name = PLACE

    def fingerprint(self) -> Any:
        return {"code": code_hash(__name__)}

    def units(self, run: RunFolder) -> list[Unit]:
        (layout,) = receipts_of(run, LAYOUT)
        encoded: dict[str, list[Receipt]] = {}
        for receipt in receipts_of(run, ENCODE):
            encoded.setdefault(receipt.source or "", []).append(receipt)
        tokenizer = tokenizer_identity(run)
        units = []
        for file in json.loads(run.read_bytes(layout.require("layout").path)):
            pairs = [(r.unit, r.require("encoded"), r.require("index")) for r in encoded[file["source"]]]
            inputs = tuple((f"{unit}/{kind.kind}", kind.checksum) for unit, *kinds in pairs for kind in kinds)
            name = f"{file['source']}.{file['bucket']}.{file['number']:05d}"
            spec = [(body.path, index.path) for _, body, index in pairs]
            size = file["num_tokens"] * 4
            units.append(Unit(name, file["source"], (*inputs, *tokenizer), file, spec, size))
        return units

    def work(self, unit: Unit, desk: Desk) -> Books:
        file = unit.settings
        stretches = Stretches.find(desk.run, unit.spec, file["bucket"], file["low"], file["high"])
        path = f"tokens/{file['source']}/{file['bucket']}/{file['number']:05d}"
        num_bytes = int(integers(one_chunk(stretches.documents, "num_bytes")).sum())
        not_lossless = int((~flags(one_chunk(stretches.documents, "lossless"), null=False)).sum())
        dtype = read_card(desk.run).dtype
        with ShardWriter(desk, path, stretches.documents.schema, dtype) as shard:
            for chunks, documents in stretches.merged(desk.run, dtype):
                shard.add(chunks, documents)
        count = stretches.documents.num_rows
        notes = {
            "source": file["source"],
            "bucket": file["bucket"],
            "split": "val" if file["bucket"] == VAL else "train",
            "path": path,
            "num_tokens": shard.num_tokens,
            "num_documents": count,
            "num_bytes": num_bytes,
        }
        books = Books(count, count, bytes_in=num_bytes, bytes_kept=num_bytes, notes=notes)
        books.notes["not_lossless"] = not_lossless
        return books


@dataclass(frozen=True)
class Stretches:
    """A file's documents in order, and where in the encoded runs each of them lies."""

    documents: pa.Table  # DOCUMENT_COLUMNS and measures; token_start from the file's start
    stretch: npt.NDArray[np.int64]  # [documents] which run it comes from
    start: npt.NDArray[np.int64]  # [documents] its first token there
    paths: list[str]  # [runs] the .bin of each

    @classmethod
    def find(cls, run: RunFolder, encoded: list[tuple[str, str]], bucket: str, low: int, high: int) -> "Stretches":
        """Collect the index rows of one file and sort them by hash."""
        tables: list[pa.Table] = []
        stretch: list[npt.NDArray[np.int64]] = []
        paths: list[str] = []
        for body, index in encoded:
            table = index_slice(run, index, bucket, low, high)
            if table.num_rows:
                runs = integers(one_chunk(table, "run"))
                tables.append(table)
                stretch.append(len(paths) + runs - runs[0])
                paths += [body] * int(runs[-1] - runs[0] + 1)
        merged = pa.concat_tables(tables, promote_options="permissive")
        row, hashes = (integers(one_chunk(merged, name), np.uint64) for name in ("row", "hash"))
        order = np.lexsort((row, hashes))
        merged = take_rows(merged, order)
        start, counts = (integers(one_chunk(merged, name)) for name in ("token_start", "num_tokens"))
        placed = cast("Any", pa.array(np.cumsum(counts) - counts))
        merged = merged.set_column(merged.schema.get_field_index("token_start"), "token_start", placed)
        measures = [name for name in merged.column_names if name not in (*DOCUMENT_COLUMNS, "bucket", "hash", "run")]
        return cls(merged.select([*DOCUMENT_COLUMNS, *measures]), np.concatenate(stretch)[order], start, paths)

    def merged(self, run: RunFolder, dtype: "np.dtype[Any]") -> Iterator[tuple[Iterator[npt.NDArray[Any]], pa.Table]]:
        """Blocks of documents: their ids in order, and their rows. A block reads each run once, at one place."""
        counts = integers(one_chunk(self.documents, "num_tokens"))
        ends = np.cumsum(counts)
        files: dict[str, pa.NativeFile] = {}
        ids = np.empty(0, dtype)
        first = 0
        try:
            while first < len(counts):
                base = ends[first] - counts[first]
                last = max(first + 1, int(np.searchsorted(ends, base + BLOCK_TOKENS, side="right")))
                if len(ids) < ends[last - 1] - base:
                    ids = np.empty(int(max(ends[last - 1] - base, min(BLOCK_TOKENS, ends[-1]))), dtype)
                starts = np.empty(last - first, np.int64)
                mine = self.stretch[first:last]
                filled = 0
                for number in np.unique(mine):
                    rows = np.flatnonzero(mine == number)
                    path = self.paths[number]
                    if path not in files:
                        files[path] = run.arrow_source(path)
                    low, high = first + rows[0], first + rows[-1]
                    begin, count = self.start[low], int(self.start[high] + counts[high] - self.start[low])
                    read_ids(files[path], path, int(begin), ids[filled : filled + count])
                    starts[rows] = self.start[first + rows] - begin + filled
                    filled += count
                documents = self.documents.slice(first, last - first)
                yield in_order(ids, starts, counts[first:last], dtype), documents
                first = last
        finally:
            for file in files.values():
                file.close()


def read_ids(file: pa.NativeFile, path: str, start: int, ids: npt.NDArray[Any]) -> None:
    """Fill `ids` with the tokens of an open .bin from `start` on."""
    file.seek(start * ids.itemsize)
    if file.readinto(cast("Any", ids.view(np.uint8))) != ids.nbytes:
        raise EOFError(f"{path}: ends before token {start + len(ids)}")


@dataclass(frozen=True)
class ManifestPhase:
    """One unit: `tokens/manifest.json`."""

    seed: int

    name = WRITE_MANIFEST

    def fingerprint(self) -> Any:
        return {"code": code_hash(__name__), "seed": self.seed}

    def units(self, run: RunFolder) -> list[Unit]:
        receipts = receipts_of(run, PLACE)
        shards = [shard_entry(receipt) for receipt in receipts]
        outputs: list[tuple[str, OutputFile]] = [(r.unit, o) for r in receipts for o in r.outputs]
        inputs = tuple((f"{unit}/{output.kind}", output.checksum) for unit, output in outputs)
        return [Unit("all", inputs=(*inputs, *tokenizer_identity(run)), spec=shards)]

    def work(self, unit: Unit, desk: Desk) -> Books:
        card: TokenizerCard = read_card(desk.run)
        shards = sorted(unit.spec, key=lambda shard: (shard["source"], shard["bucket"], shard["path"]))
        body = {
            "format": 1,
            "seed": self.seed,
            "dtype": "uint16" if card.dtype.itemsize == 2 else "uint32",
            "tokenizer": card.as_json(),
            "shards": shards,
        }
        with desk.create("manifest", MANIFEST, fixed=True) as file:
            file.write(json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        documents = sum(shard["num_documents"] for shard in shards)
        num_bytes = sum(shard["num_bytes"] for shard in shards)
        return Books(documents, documents, bytes_in=num_bytes, bytes_kept=num_bytes)


def shard_entry(receipt: Receipt) -> dict[str, Any]:
    """A place unit's line of the manifest."""
    notes = receipt.books.notes
    names = ("source", "bucket", "split", "path", "num_tokens", "num_documents", "num_bytes")
    return {name: cast("Any", notes[name]) for name in names} | {"checksum": receipt.require("bin").checksum}
