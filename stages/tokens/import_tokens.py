"""Token files of other programs as a run whose tokens plans and loaders draw from: `corpusmill import`.

The ids stay as they are; every document gets exactly one end id, its row in docs.parquet (the text is decoded once, to
count bytes, characters and words), checksums and index. Three phases: the tokenizer, the files, the manifest; so it
resumes, and `verify` checks it like any run. Held out are documents by hash of their id.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import code_hash
from corpusmill.pipeline.phases import Desk, Phase, Unit
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.buckets import ALL, VAL
from corpusmill.stages.tokens.encode import INDEX_COLUMNS, opened
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.place import DOCUMENT_COLUMNS, PLACE, ManifestPhase
from corpusmill.stages.tokens.stored_tokens import StoredTokens, stored_tokens
from corpusmill.stages.tokens.token_order import HASH_BITS, hash_texts
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.token_shards import ShardWriter
from corpusmill.stages.tokens.vocabulary import VocabularyPhase, tokenizer_identity

BLOCK_TOKENS = 1 << 22
SCHEMA = pa.schema([(name, INDEX_COLUMNS[name]) for name in DOCUMENT_COLUMNS])


def import_phases(
    sources: dict[str, list[Path]], tokenizer: TokenizerSettings, held_out: float, seed: int
) -> list[Phase]:
    """The phases of an import. `sources` are token files, `.bin` or `.ds`, by the source they become."""
    if not 0 <= held_out <= 0.1:
        raise RequestError(f"--held-out {held_out}: a share between 0 and 0.1.")
    files = tuple((name, tuple(map(str, paths))) for name, paths in sorted(sources.items()))
    return [VocabularyPhase(tokenizer, seed), ImportPhase(files, held_out, seed), ManifestPhase(seed)]


@dataclass(frozen=True)
class ImportPhase:
    """A unit per file and split; its outputs are those of placing."""

    files: tuple[tuple[str, tuple[str, ...]], ...]
    held_out: float
    seed: int

    name = PLACE

    def fingerprint(self) -> Any:
        return {"code": code_hash(__name__), "seed": self.seed, "held_out": self.held_out}

    def units(self, run: RunFolder) -> list[Unit]:
        tokenizer = tokenizer_identity(run)
        units = []
        for source, paths in self.files:
            for number, path in enumerate(paths):
                status = Path(path).stat()
                identity = (("file", f"{Path(path).name}:{status.st_size}:{status.st_mtime_ns}"),)
                for bucket in (ALL, VAL) if self.held_out else (ALL,):
                    settings = {"source": source, "bucket": bucket, "number": number}
                    name = f"{source}.{bucket}.{number:05d}"
                    units.append(Unit(name, source, (*identity, *tokenizer), settings, path, status.st_size))
        return units

    def work(self, unit: Unit, desk: Desk) -> Books:
        source, bucket = unit.settings["source"], unit.settings["bucket"]
        encoder = opened(desk.run)
        path = f"tokens/{source}/{bucket}/{unit.settings['number']:05d}"
        books = Books()
        with ShardWriter(desk, path, SCHEMA, encoder.card.dtype) as shard:
            stored = stored_tokens(unit.spec, open_local)
            for ids, table in self.blocks(stored, source, bucket, encoder):
                shard.add([ids], table)
                books.documents_in += table.num_rows
                books.bytes_in += int(np.sum(cast("Any", table.column("num_bytes").to_numpy())))
        books.documents_kept, books.bytes_kept = books.documents_in, books.bytes_in
        books.notes = {
            "source": source,
            "bucket": bucket,
            "split": VAL if bucket == VAL else "train",
            "path": path,
            "num_tokens": shard.num_tokens,
            "num_documents": books.documents_in,
            "num_bytes": books.bytes_in,
            "not_lossless": 0,
        }
        return books

    def blocks(
        self, stored: StoredTokens, source: str, bucket: str, encoder: Encoder
    ) -> Iterator[tuple[npt.NDArray[Any], pa.Table]]:
        """The ids of some documents, each with its end id, and their rows, of one side of the split."""
        end, dtype, size = encoder.card.end_of_document, encoder.card.dtype, encoder.card.vocab_size
        name = Path(stored.path).name
        waiting: list[npt.NDArray[Any]] = []
        rows: list[dict[str, Any]] = []
        start = block_start = 0
        for number, ids in enumerate(stored.documents(open_local, end)):
            if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < size:
                raise RequestError(
                    f"{stored.path}, document {number}: id {ids.max()}, but the tokenizer has {size}. "
                    "Give the tokenizer that made these tokens."
                )
            identity = f"{source}/{name}#{number}"
            if self.is_held_out(identity) != (bucket == VAL):
                continue
            waiting.append(np.r_[ids, end].astype(dtype))
            rows.append(document_row(identity, source, number, start, ids, encoder))
            start += len(ids) + 1
            if start - block_start >= BLOCK_TOKENS:
                yield np.concatenate(waiting), pa.Table.from_pylist(rows, schema=SCHEMA)
                waiting, rows, block_start = [], [], start
        if rows:
            yield np.concatenate(waiting), pa.Table.from_pylist(rows, schema=SCHEMA)

    def is_held_out(self, identity: str) -> bool:
        (found,) = hash_texts([identity], self.seed, "split")
        return int(found) < int(self.held_out * (1 << HASH_BITS))


def document_row(
    identity: str, source: str, number: int, start: int, ids: npt.NDArray[np.int64], encoder: Encoder
) -> dict[str, Any]:
    """A document's line of docs.parquet."""
    return {
        "id": identity,
        "source": source,
        "row": number,
        "token_start": start,
        "num_tokens": len(ids) + 1,
        "num_bytes": len(encoder.decode(ids).encode()),
        "lossless": True,  # the ids are what there is
    }


def open_local(path: str) -> BinaryIO:
    return Path(path).open("rb")


def token_files(places: list[str]) -> dict[str, list[Path]]:
    """`SOURCE=PATH` of files, prefixes or folders as token files per source, in order of name."""
    found: dict[str, list[Path]] = {}
    for place in places:
        name, separator, path = place.partition("=")
        if not separator or not name or "/" in name:
            raise RequestError(f"{place!r}: expected SOURCE=PATH, such as web=shards/web.bin")
        given = Path(path)
        if given.is_dir():
            files = sorted(p for p in given.rglob("*") if p.suffix in (".bin", ".ds"))
        else:
            files = [p for p in (given, Path(f"{path}.bin"), Path(f"{path}.ds")) if p.is_file()][:1]
            files = [p.with_suffix(".bin") if p.suffix == ".idx" else p for p in files]
            files = [p for p in files if p.suffix in (".bin", ".ds")]
        if not files:
            raise RequestError(f"{path}: no .bin or .ds file here.")
        found.setdefault(name, []).extend(files)
    return found


def import_recipe(sources: dict[str, list[Path]], tokenizer: dict[str, Any], seed: int) -> tuple[dict[str, Any], str]:
    """The recipe that the run keeps, as a tree and as text: reading these files as text would be this."""
    reader = {"read": "tokens", **tokenizer}
    reader["tokenizer"] = reader.pop("load")
    num_bytes = sum(path.stat().st_size for paths in sources.values() for path in paths)
    tree = {
        "format": 1,
        "name": "imported",
        "seed": seed,
        "sources": {name: {**reader, "paths": [str(path) for path in paths]} for name, paths in sources.items()},
        "tokenizer": tokenizer,
        "mixture": {"tokens": max(1, num_bytes // 4), "sequence_length": 2048},  # what a plan draws unless it is told
    }
    return tree, json.dumps(tree, indent=1)
