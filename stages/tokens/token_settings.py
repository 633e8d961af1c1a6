"""What a recipe may say of the tokenizer and of the token shards, checked when it is read."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.settings import nearest

TRAINERS = ("sentencepiece-bpe", "sentencepiece-unigram", "byte-level-bpe")
NORMALIZERS = ("identity", "nfc", "nfkc")
"""Of byte-level BPE; sentencepiece has rules of its own (identity, nmt_nfkc, nfkc, …)."""
END_OF_DOCUMENT = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True)
class TokenizerSettings:
    """`tokenizer:` of a recipe: train one on a sample of the run, or load one.

    The defaults lose nothing: identity normaliser, byte fallback, whitespace kept, no dummy prefix. `num_threads` is
    a setting because sentencepiece learns other pieces with other thread counts. With weights the sample's bytes are
    shared by them among sources, languages, or both; what has too little text gives all of it.
    """

    train: str | None = "sentencepiece-bpe"
    load: str | None = None  # a sentencepiece model, a tokenizer.json or a tiktoken file; replaces `train`
    vocab_size: int = 32_000  # at most: a small sample can give fewer pieces
    sample_bytes: int = 64 << 20  # UTF-8 text to train on, chosen by hash of id
    source_weights: dict[str, float] = field(default_factory=dict)  # of the sample's bytes; sources not named: none
    language_weights: dict[str, float] = field(default_factory=dict)  # by `lang`; `unknown` is text without one
    num_threads: int = 1
    pattern: str | None = None  # how byte-level BPE splits text: o200k, cl100k, gpt2, or an expression
    byte_fallback: bool = True
    split_digits: bool = True
    character_coverage: float = 0.9995
    normalizer: str = "identity"
    user_defined: tuple[str, ...] = ()  # strings that are always one token of their own
    end_of_document: str | int | None = None  # the token that ends a document; default: its usual name in the file

    def __post_init__(self) -> None:
        if self.load is None and self.train not in TRAINERS:
            raise RequestError(f"tokenizer.train: {self.train!r}; choose one of {', '.join(TRAINERS)}, or set load.")
        if not 300 <= self.vocab_size < 1 << 31:
            raise RequestError(f"tokenizer.vocab_size: {self.vocab_size}; at least 300 (256 are the bytes).")
        if self.sample_bytes < 1:
            raise RequestError(f"tokenizer.sample_bytes: {self.sample_bytes}; give a positive number of bytes.")
        if self.num_threads < 1:
            raise RequestError(f"tokenizer.num_threads: {self.num_threads}; at least 1.")
        for name in ("source_weights", "language_weights"):
            if any(weight < 0 for weight in getattr(self, name).values()):
                raise RequestError(f"tokenizer.{name}: {getattr(self, name)}; weights are at least 0.")
        if self.load is None:
            self._check_training()
        if not 0.9 <= self.character_coverage <= 1.0:
            raise RequestError(f"tokenizer.character_coverage: {self.character_coverage}; between 0.9 and 1.")

    def problems(self, sources: Collection[str], columns: Collection[str]) -> list[tuple[str, str]]:
        found = [
            (f"source_weights.{name}", f"no such source; {nearest(name, sources)}")
            for name in self.source_weights
            if name not in sources
        ]
        if self.load is not None and not Path(self.load).is_file():
            found.append(("load", f"{self.load}: no such file. Give a .model, a tokenizer.json or a .tiktoken file."))
        return found

    def _check_training(self) -> None:
        if isinstance(self.end_of_document, int):
            raise RequestError("tokenizer.end_of_document: a number; a tokenizer that is trained needs its text.")
        if self.train != "byte-level-bpe":
            if self.pattern is not None:
                raise RequestError("tokenizer.pattern: sentencepiece has none. Remove it, or train byte-level-bpe.")
            return
        if self.sample_bytes >= 1 << 31:
            raise RequestError("tokenizer.sample_bytes: below 2 GiB; pair counts of the trainer would overflow.")
        if not self.byte_fallback:
            raise RequestError("tokenizer.byte_fallback: byte-level BPE always has every byte. Remove it.")
        if self.normalizer not in NORMALIZERS:
            raise RequestError(f"tokenizer.normalizer: {self.normalizer!r}; choose one of {', '.join(NORMALIZERS)}.")


@dataclass(frozen=True, kw_only=True)
class TokenSettings:
    """`tokens:` of a recipe."""

    bucket_by: str | None = None  # a measured column; its quantiles cut each source into buckets
    num_buckets: int = 4
    measures: tuple[str, ...] = ()  # measured columns to keep in docs.parquet
    held_out: float = 0.005  # share of each source's documents
    held_out_min_documents: int = 100  # but never more than a tenth of the source
    held_out_max_bytes: int = 20_000_000  # per source
    split_by: str | None = None  # a measured column; default: the near-duplicate group, else the id
    max_file_tokens: int = 1 << 28
    max_file_documents: int = 1 << 20  # bounds the memory of a docs.parquet
    run_tokens: int = 1 << 24  # tokens that an encode unit sorts in memory at a time

    def __post_init__(self) -> None:
        if not 0 <= self.held_out <= 0.1:
            raise RequestError(f"tokens.held_out: {self.held_out}; a share between 0 and 0.1.")
        if self.bucket_by is not None and not 1 <= self.num_buckets <= 1000:
            raise RequestError(f"tokens.num_buckets: {self.num_buckets}; between 1 and 1000.")
        if not 1 <= self.max_file_tokens <= 1 << 28:
            raise RequestError(f"tokens.max_file_tokens: {self.max_file_tokens}; at most 2**28.")
        if self.max_file_documents < 1 or self.run_tokens < 1:
            raise RequestError("tokens.max_file_documents and tokens.run_tokens: at least 1.")

    def problems(self, sources: Collection[str], columns: Collection[str]) -> list[tuple[str, str]]:
        named = [("bucket_by", self.bucket_by), ("split_by", self.split_by), *(("measures", m) for m in self.measures)]
        return [
            (key, f"no stage measures '{column}'; {nearest(column, columns)}")
            for key, column in named
            if column is not None and column not in columns
        ]

    def columns(self) -> tuple[str, ...]:
        """The measured columns that encoding reads."""
        return tuple(dict.fromkeys([*self.measures, *([self.bucket_by] if self.bucket_by else [])]))
