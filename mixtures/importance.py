"""Documents drawn by weight: importance resampling towards a target set (DSIR), and sampling by a measure.

    mixture:
      documents:
        web:   {like: wiki, keep: 0.3}                  # three tenths of its documents, those most like wiki
        books: {by: quality, power: 2, epochs: 1.5}     # copies in proportion to quality², 1.5 times its tokens in all

DSIR (Xie et al. 2023, arXiv 2302.03169, section 3): hashed n-gram bags of a target set and of the source give each
document log p_target(z) - log p_source(z), and Gumbel noise plus top-k draws documents without replacement in
proportion to the ratio. Ours counts n-grams of token ids instead of words, so it reads shards, needs no text and
treats all languages alike; buckets (10,000), unigrams with bigrams and smoothing (1e-8) are the paper's program's.

What comes out is a packing of the chosen documents (`packing.py`), a source like any other to the plan: rows are
drawn whole numbers of times and every token leads to its document. Cost: about 0.1 µs a token.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.packing import pack_source
from corpusmill.mixtures.permutation import mix, name_key
from corpusmill.mixtures.plan import Rows
from corpusmill.mixtures.provenance import document_ranges, measure_of
from corpusmill.mixtures.sources import TokenManifest, TokenReader
from corpusmill.mixtures.weights import members_of
from corpusmill.pipeline.errors import RequestError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NUM_BUCKETS = 10_000
SMOOTHING = 1e-8
CHUNK_TOKENS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How documents of a source are drawn: by likeness to another source, or by a measure kept with the shards."""

    like: str | None = None  # a source, or the held-out part of one: wiki, wiki/val
    by: str | None = None  # a measured column of at least 0; a document without the measure is not drawn
    power: float = 1.0  # weights are the measure to this power
    keep: float | None = None  # share of the documents, each at most once
    epochs: float | None = None  # tokens drawn for each token of the source: documents come several times, or not

    def __post_init__(self) -> None:
        if (self.like is None) == (self.by is None):
            raise ValueError("give one of like (a source) and by (a measure)")
        if (self.keep is None) == (self.epochs is None):
            raise ValueError("give one of keep (a share of the documents) and epochs (tokens for each token)")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise ValueError(f"keep {self.keep} is a share of the documents, above 0 and at most 1")
        if self.epochs is not None and (self.like is not None or not 0 < self.epochs < float("inf")):
            raise ValueError("epochs, above 0, goes with by; like draws each document at most once: give keep")


def selected_rows(
    manifest: TokenManifest,
    selections: Mapping[str, Selection],
    sequence_length: int,
    seed: int,
    known: Mapping[str, Rows],
) -> dict[str, Rows]:
    """The rows of the sources that have a selection, packed from the documents drawn and stored in the run folder.

    Sources in `known` are left as they are. Raises RequestError for names that are no source and measures that the
    shards do not keep.
    """
    rows = {}
    for name, selection in selections.items():
        members = members_of(name, manifest.sources)
        if not members:
            raise RequestError(f"documents.{name}: no such source. There are: {', '.join(manifest.sources)}.")
        for member in members:
            if member not in known:
                reader = manifest.open([member])[member]
                times = draw_documents(manifest, reader, selection, seed)
                rows[member] = select_documents(reader, times, sequence_length)
    return rows


def draw_documents(manifest: TokenManifest, reader: TokenReader, selection: Selection, seed: int) -> Ints:
    """How often each document of a source is drawn, int64 [documents]."""
    name = reader.source.name
    if selection.like is not None:
        log_weights = log_importance(reader, targets(manifest, selection.like))
    else:
        assert selection.by is not None
        measured = measure_of(reader.source, reader.run, selection.by)
        if (measured < 0).any():
            raise RequestError(f"documents.{name}: {selection.by} is below 0 somewhere, which is no weight.")
        weights = np.where(np.isnan(measured), 0.0, measured**selection.power)
        if not weights.any():
            raise RequestError(f"documents.{name}: no document has {selection.by} above 0: is it measured there?")
        if selection.epochs is not None:
            _, lengths = document_ranges(reader.source, reader.run)
            return copies(weights, lengths, round(selection.epochs * reader.num_tokens))
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
    assert selection.keep is not None
    count = min(max(1, round(selection.keep * len(log_weights))), int(np.isfinite(log_weights).sum()))
    times = np.zeros(len(log_weights), dtype=np.int64)
    times[resample(log_weights, count, name_key(seed, "documents", name))] = 1
    return times


def targets(manifest: TokenManifest, name: str) -> list[TokenReader]:
    """Readers of what a selection is `like`: a source with all its buckets, or the held-out part of one."""
    source, _, bucket = name.partition("/")
    if bucket == "val" and source in manifest.held_out:
        return [manifest.open_held_out()[source]]
    members = members_of(name, manifest.sources)
    if not members:
        known = [*manifest.sources, *(f"{each}/val" for each in manifest.held_out)]
        raise RequestError(f"documents: like {name}: no such source. There are: {', '.join(known)}.")
    return list(manifest.open(members).values())


def log_importance(reader: TokenReader, target: Sequence[TokenReader], num_buckets: int = NUM_BUCKETS) -> Floats:
    """log p_target - log p_source of every document of a source, float64 [documents] in its order.

    `target` are readers of the same tokenizer: other sources, or held-out parts.
    """
    ratio = np.log(_bucket_shares(target, num_buckets) + SMOOTHING) - np.log(
        _bucket_shares([reader], num_buckets) + SMOOTHING
    )
    parts: list[Floats] = [np.zeros(0)]
    for buckets, owners, num_documents in _hashed(reader, num_buckets):
        sums: Floats = np.bincount(owners, weights=ratio[buckets], minlength=num_documents).astype(np.float64)
        parts.append(sums)
    return np.concatenate(parts)


def resample(log_weights: Floats, num_documents: int, seed: int) -> Ints:
    """Which documents are drawn, int64 [num_documents] in the order of the source: without replacement, each next one
    in proportion to the weights of those that are left (Gumbel top-k). The noise of a document depends on the seed
    and on its number alone."""
    if not 0 < num_documents <= len(log_weights):
        raise RequestError(f"resample: {num_documents} documents wanted of {len(log_weights)}.")
    noise = -np.log(-np.log(_uniform(len(log_weights), seed)))
    order = np.argsort(-(log_weights + noise), kind="stable")
    return np.sort(order[:num_documents])


def copies(weights: Floats, lengths: Ints, num_tokens: int) -> Ints:
    """How often each document is taken so that about `num_tokens` come together, in proportion to `weights`.

    int64 [documents]; each is its exact share rounded down or up, and all sums over a run of documents are within one
    of theirs (systematic sampling without noise).
    """
    if len(weights) == 0 or weights.min() < 0 or not np.isfinite(weights).all() or not weights.sum():
        raise RequestError("copies: weights must be numbers of at least 0, and one above it.")
    expected = weights * (num_tokens / float((weights * lengths).sum()))
    whole = np.floor(np.cumsum(expected) + 0.5).astype(np.int64)
    return np.diff(whole, prepend=0)


def select_documents(reader: TokenReader, times: Ints, sequence_length: int) -> Rows:
    """Packs each document of a source `times` [documents] often and stores the packing in the run folder.

    Copies of one document count as rows of their own, so epoch caps count passes over the selection.
    """
    starts, lengths = document_ranges(reader.source, reader.run)
    if len(times) != len(starts):
        raise RequestError(f"{reader.source.name}: {len(times)} weights for {len(starts)} documents.")
    chosen = np.repeat(np.arange(len(starts)), times)
    return pack_source(starts[chosen], lengths[chosen], sequence_length, reader.source.fingerprint).save(reader.run)


def _bucket_shares(readers: Sequence[TokenReader], num_buckets: int) -> Floats:
    counts = np.zeros(num_buckets, dtype=np.int64)
    for reader in readers:
        for buckets, _, _ in _hashed(reader, num_buckets):
            counts += np.bincount(buckets, minlength=num_buckets)
    shares: Floats = counts / max(int(counts.sum()), 1)
    return shares


def _hashed(reader: TokenReader, num_buckets: int) -> Iterator[tuple[Ints, Ints, int]]:
    """A few million tokens at a time: bucket of every unigram and of every bigram inside a document, the document
    (from 0 in the chunk) that each belongs to, and the number of documents."""
    starts, lengths = document_ranges(reader.source, reader.run)
    bounds = np.append(np.searchsorted(starts, np.arange(0, reader.num_tokens, CHUNK_TOKENS)), len(starts))
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if first == last:
            continue
        begin = int(starts[first])
        tokens = reader.read(begin, int(starts[last - 1] + lengths[last - 1])).astype(np.uint64)
        owner = np.repeat(np.arange(last - first), lengths[first:last])
        inside = owner[1:] == owner[:-1]
        pairs = ((tokens[:-1] + np.uint64(1)) << np.uint64(32) | tokens[1:])[inside]
        hashed = mix(np.concatenate([tokens, pairs])) % np.uint64(num_buckets)
        yield hashed.astype(np.int64), np.concatenate([owner, owner[1:][inside]]), last - first


def _uniform(count: int, seed: int) -> Floats:
    """Numbers strictly between 0 and 1, one for each document number."""
    bits = mix(np.arange(count, dtype=np.uint64) + np.uint64(name_key(seed, "importance")))
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) / float(1 << 52)
