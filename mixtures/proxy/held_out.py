"""The held-out documents that proxies are measured on: whole documents of each domain, up to a budget of tokens.

Documents are taken in the order of the shards, which is by a hash of their ids. One that is longer than a quarter of
the budget is left out and counted, so that no single document is the measure of a domain.

The baseline is the unigram entropy: the fewest bits a byte that a model without context could reach, had it seen the
held-out text itself: entropy of the distribution of its tokens x tokens / bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.sources import TokenManifest, TokenReader
from corpusmill.pipeline.errors import DamagedFileError, RequestError

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Domain:
    """Held-out documents of one domain, each with its end token as the last; `num_bytes` of UTF-8 text."""

    name: str
    documents: tuple[Tokens, ...]
    num_bytes: int
    num_left_out: int = 0  # documents that were too long for the budget

    @cached_property
    def num_tokens(self) -> int:
        return sum(len(document) for document in self.documents)

    def counts(self, vocab_size: int) -> npt.NDArray[np.int64]:
        """How often each token occurs, [V]."""
        joined = np.concatenate([np.zeros(0, dtype=np.int64), *self.documents])
        return np.bincount(joined, minlength=vocab_size)

    @cached_property
    def unigram_bits_per_byte(self) -> float:
        """The entropy of its tokens' distribution, in bits a byte of text."""
        counts = self.counts(0)
        return entropy_bits(counts / max(1, counts.sum())) * self.num_tokens / self.num_bytes


def entropy_bits(shares_V: npt.NDArray[np.float64]) -> float:
    """Entropy in bits; shares sum to one."""
    positive = shares_V[shares_V > 0]
    return float(-(positive * np.log2(positive)).sum())


def mixed_bits_per_byte(
    ratios: Mapping[str, float], bits_per_byte: Mapping[str, float], domains: Sequence[Domain]
) -> float:
    """Bits a byte of held-out text drawn in `ratios` (shares of tokens) from the domains."""
    bits, num_bytes = 0.0, 0.0
    for domain in domains:
        share = ratios.get(domain.name, 0.0) * domain.num_bytes / domain.num_tokens
        bits += share * bits_per_byte[domain.name]
        num_bytes += share
    return bits / num_bytes


def mixed_unigram_bits_per_byte(ratios: Mapping[str, float], domains: Sequence[Domain], vocab_size: int) -> float:
    """The unigram entropy of held-out text drawn in `ratios` (shares of tokens) from the domains, in bits a byte."""
    shares_V = np.zeros(vocab_size)
    num_bytes = 0.0
    total = sum(ratios.get(domain.name, 0.0) for domain in domains)
    for domain in domains:
        share = ratios.get(domain.name, 0.0) / total
        shares_V += share * domain.counts(vocab_size) / domain.num_tokens
        num_bytes += share * domain.num_bytes / domain.num_tokens
    return entropy_bits(shares_V) / num_bytes


def read_held_out(manifest: TokenManifest, max_tokens: int) -> list[Domain]:
    """The held-out documents of every source that has some, at most about `max_tokens` each."""
    domains = [_read_domain(name, reader, max_tokens) for name, reader in sorted(manifest.open_held_out().items())]
    if not domains:
        raise RequestError(
            f"{manifest.run.url}: no held-out documents, so nothing to measure on: set tokens.held_out and build again."
        )
    return domains


def _read_domain(name: str, reader: TokenReader, max_tokens: int) -> Domain:
    documents: list[Tokens] = []
    num_tokens = num_bytes = num_left_out = 0
    rows = list(_documents(reader))
    longest = max(max_tokens // 4, min((length for _, length, _ in rows), default=0))
    for start, length, text_bytes in rows:
        if length > longest:
            num_left_out += 1
            continue
        if documents and num_tokens + length > max_tokens:
            break
        documents.append(reader.read(start, start + length).astype(np.int64))
        num_tokens += length
        num_bytes += text_bytes
    if not num_bytes:
        raise RequestError(f"held-out part of {name}: no document with text. Set tokens.held_out higher, build again.")
    return Domain(name, tuple(documents), num_bytes, num_left_out)


def _documents(reader: TokenReader) -> list[tuple[int, int, int]]:
    """(first token in the source, tokens, bytes) of every document, in order."""
    found = []
    for shard, start in zip(reader.source.shards, reader.source.starts, strict=False):
        name = f"{shard.path}.docs.parquet"
        if reader.run.size(name) is None:
            raise DamagedFileError(
                f"{reader.run.url}/{name} is missing, and the manifest names its shard: build again."
            )
        table = reader.run.read_table(name, ["token_start", "num_tokens", "num_bytes"])
        columns = [table[name].to_pylist() for name in table.column_names]
        found += [(start + first, length, size) for first, length, size in zip(*columns, strict=True)]
    return found
