"""Checks of token files: block checksums, index, document rows, end ids, and that one tokenizer made them all.

A changed byte of a `.bin` is named by file and MiB block. Everything is read once; memory is one file's document rows.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.errors import CorpusmillError, DamagedFileError
from corpusmill.pipeline.run_folder import CHECKSUM_BYTES, Checksum, RunFolder
from corpusmill.pipeline.verify import FileProblem
from corpusmill.stages.tokens.encoder import TokenizerCard
from corpusmill.stages.tokens.megatron_index import read_index
from corpusmill.stages.tokens.split import source_totals
from corpusmill.stages.tokens.token_shards import BLOCK_BYTES, MANIFEST, TokenManifest, TokenShard, read_manifest
from corpusmill.stages.tokens.tokenizer_file import card_of
from corpusmill.stages.tokens.vocabulary import CARD


def token_problems(run: RunFolder) -> Iterator[FileProblem]:
    """What is wrong with the token files of a run; nothing before it has some."""
    if not run.exists(MANIFEST):
        return
    try:
        manifest = read_manifest(run)
    except (CorpusmillError, ValueError, KeyError, TypeError) as error:
        yield FileProblem(MANIFEST, "damaged", f"not readable: {error!r}. Build again.")
        return
    yield from tokenizer_problems(run, manifest.card)
    yield from conservation_problems(run, manifest)
    for shard in manifest.shards:
        try:
            found = list(shard_problems(shard, manifest.card.end_of_document))
        except (CorpusmillError, OSError, ValueError) as error:
            found = [FileProblem(f"{shard.path}.docs.parquet", "damaged", f"not readable: {error}")]
        yield from found


def conservation_problems(run: RunFolder, manifest: TokenManifest) -> Iterator[FileProblem]:
    """Sources whose token files hold other documents or bytes than were left to tokenize."""
    found: dict[str, list[int]] = {}
    for shard in manifest.shards:
        total = found.setdefault(shard.source, [0, 0])
        total[0] += shard.num_documents
        total[1] += shard.num_bytes
    try:
        totals = source_totals(run)
    except CorpusmillError:
        return  # a receipt is missing or damaged, which is named elsewhere
    for source, left in totals.items():
        documents, num_bytes = found.get(source, [0, 0])
        if (documents, num_bytes) != (left["documents"], left["bytes"]):
            kept = f"{left['documents']} of {left['bytes']} were kept"
            message = f"{source}: {documents} documents of {num_bytes} bytes in its token files; {kept}. Build again."
            yield FileProblem(MANIFEST, "books", message)


def tokenizer_problems(run: RunFolder, card: TokenizerCard) -> Iterator[FileProblem]:
    """Whether the tokenizer that lies in the run is the one that the manifest names."""
    if not run.exists(card.path):
        yield FileProblem(card.path, "missing", "the manifest names it. Build again.")
        return
    try:
        found = card_of(run.read_bytes(card.path), card.kind, card.end_of_document, card.pattern).hash
    except CorpusmillError as error:
        yield FileProblem(card.path, "damaged", str(error))
        return
    try:
        said_by_card = (run.read_json(CARD) or {}).get("hash")
    except DamagedFileError as error:
        yield FileProblem(CARD, "damaged", str(error))
        return
    for place, said in ((card.path, found), (CARD, said_by_card)):
        if said != card.hash:
            message = (
                f"tokenizer {said}; the token files were made with {card.hash}. Put that one back, or build again."
            )
            yield FileProblem(place, "foreign_tokenizer", message)


def shard_problems(shard: TokenShard, end_of_document: int) -> Iterator[FileProblem]:
    """What is wrong with one token file and its sidecars."""
    run, body = shard.run, f"{shard.path}.bin"
    for suffix in ("bin", "idx", "docs.parquet", "sums"):
        if not run.exists(f"{shard.path}.{suffix}"):
            yield FileProblem(f"{shard.path}.{suffix}", "missing", "the manifest names it. Build again.")
            return
    size = run.size(body)
    if size != shard.num_tokens * shard.dtype.itemsize:
        yield FileProblem(body, "damaged", f"{size} bytes for {shard.num_tokens} tokens. Delete it and build again.")
        return
    lengths = integers(one_chunk(shard.documents(["num_tokens"]), "num_tokens"))
    if lengths.sum() != shard.num_tokens or len(lengths) != shard.num_documents:
        message = f"{len(lengths)} documents of {lengths.sum()} tokens; the manifest says otherwise. Build again."
        yield FileProblem(f"{shard.path}.docs.parquet", "damaged", message)
        return
    index = read_index(run.read_bytes(f"{shard.path}.idx"), f"{shard.path}.idx")
    pointers = (np.cumsum(lengths) - lengths) * shard.dtype.itemsize
    same = np.array_equal(index.lengths, lengths) and np.array_equal(index.pointers, pointers)
    if not same or not np.array_equal(index.document_indices, np.arange(len(lengths) + 1)):
        yield FileProblem(f"{shard.path}.idx", "damaged", "its documents are not those of docs.parquet. Build again.")
    yield from block_problems(shard, np.cumsum(lengths) - 1, end_of_document)


def block_problems(
    shard: TokenShard, ends: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]", end: int
) -> Iterator[FileProblem]:
    """Blocks whose checksum is not the stored one, and end ids where none belongs or none where one does."""
    body = f"{shard.path}.bin"
    sums = shard.run.read_bytes(f"{shard.path}.sums")
    tokens_per_block = BLOCK_BYTES // shard.dtype.itemsize
    with shard.run.open(body) as file:
        for block in range(len(ends) and -(-shard.num_tokens // tokens_per_block)):
            data = file.read(BLOCK_BYTES)
            digest = Checksum()
            digest.update(data)
            if digest.digest() != sums[block * CHECKSUM_BYTES : (block + 1) * CHECKSUM_BYTES]:
                message = "its checksum is not the one in .sums. Delete the file and build again."
                yield FileProblem(body, "damaged", message, block)
                continue
            first = block * tokens_per_block
            found = first + np.flatnonzero(np.frombuffer(data, shard.dtype) == end)
            low, high = np.searchsorted(ends, [first, first + tokens_per_block])
            if not np.array_equal(found, ends[low:high]):
                yield FileProblem(body, "damaged", "end ids are not where documents end. Build again.", block)
