"""The run's tokenizer: trained on a sample of its own training documents, or loaded.

The sample is chosen by hash of id, never from held-out documents. Each part gives the documents whose hash is below a
power of two, a bound that stays when a little input is added; one unit sorts them by hash, takes `sample_bytes`, and
trains. Memory: about three times the sample, and what the trainer needs.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, lengths, one_chunk, take
from corpusmill.pipeline.document import Column, schema_of
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import code_hash, file_hash, versions
from corpusmill.pipeline.parts import PartRef, final_parts, part_inputs, read_part
from corpusmill.pipeline.phases import Desk, Unit, receipts_of
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.encoder import Encoder, TokenizerCard
from corpusmill.stages.tokens.split import held_out, rows_identity, source_totals, whole_unit
from corpusmill.stages.tokens.token_order import HASH_BITS, document_hashes
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.tokenizer_file import card_of, open_encoder
from corpusmill.stages.tokens.train_sentencepiece import train_sentencepiece

SAMPLE, VOCABULARY = "tokens/sample", "tokens/vocabulary"
MODEL, CARD = "tokenizer/tokenizer.model", "tokenizer/tokenizer.json"

SAMPLE_SCHEMA = schema_of(hash=pa.uint64(), row=pa.uint64(), text=pa.large_string())


@dataclass(frozen=True)
class SamplePhase:
    """Per part: the training documents that may be learned from."""

    settings: TokenizerSettings
    seed: int

    name = SAMPLE

    def fingerprint(self) -> Any:
        return {"code": code_hash(__name__), "seed": self.seed}

    def units(self, run: RunFolder) -> list[Unit]:
        val = held_out(run)
        total = sum(source["bytes"] for source in source_totals(run).values())
        bits = sample_bits(total, self.settings.sample_bytes)
        units = []
        for part in final_parts(run):
            rows = val.of_part(part)
            identity = [bits, rows_identity(rows)]
            units.append(
                Unit(part.name, part.source, part_inputs(part), identity, (part, bits, rows), part.documents.num_bytes)
            )
        return units

    def work(self, unit: Unit, desk: Desk) -> Books:
        part: PartRef
        part, bits, held = unit.spec
        books = Books()
        with desk.parquet("sample", f"tokenizer/sample/{part.name}.parquet", SAMPLE_SCHEMA) as file:
            for batch in read_part(desk.run, part, text=True):
                hashes = document_hashes(batch, self.seed, "vocabulary")
                rows = integers(batch.column("row"), np.uint64)
                chosen = np.flatnonzero(
                    (hashes >> np.uint64(HASH_BITS - bits) == 0 if bits else True) & ~np.isin(rows, held)
                )
                file.write(sample_table(hashes[chosen], rows[chosen], take(batch.column("text"), chosen)))
                num_bytes = int(lengths(batch.column("text")).sum())
                books.documents_in += batch.num_rows
                books.documents_kept += batch.num_rows
                books.bytes_in += num_bytes
                books.bytes_kept += num_bytes
        return books


def sample_table(hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint64], texts: Any) -> pa.Table:
    return pa.table(cast("Any", {"hash": hashes, "row": rows, "text": texts}), schema=SAMPLE_SCHEMA)


def sample_bits(total_bytes: int, sample_bytes: int) -> int:
    """How many leading zero bits a sampled hash has: as many as leave twice the sample's bytes on average."""
    return max(0, (total_bytes // (2 * sample_bytes)).bit_length())


@dataclass(frozen=True)
class VocabularyPhase:
    """One unit: trains or takes the tokenizer, and writes it with its card."""

    settings: TokenizerSettings
    seed: int

    name = VOCABULARY

    def fingerprint(self) -> Any:
        settings = {name: value for name, value in asdict(self.settings).items() if name != "load"}  # by content
        return {"code": code_hash(__name__), "settings": settings, "versions": versions(("sentencepiece",))}

    def units(self, run: RunFolder) -> list[Unit]:
        if self.settings.load is None:
            return [whole_unit(run, SAMPLE, "sample")]
        path = Path(self.settings.load)
        if not path.is_file():
            raise RequestError(f"tokenizer.load: {path}: no such file.")
        return [Unit("all", inputs=(("load", file_hash(path)),), spec=str(path), num_bytes=path.stat().st_size)]

    def work(self, unit: Unit, desk: Desk) -> Books:
        books = Books()
        if self.settings.load is None:
            texts = take_sample([desk.run.read_table(path) for _, path in unit.spec], self.settings.sample_bytes)
            num_bytes = int(lengths(texts).sum())
            if num_bytes == 0:
                raise RequestError(
                    "tokenizer: no training document has text. Check what the rules dropped: corpusmill show."
                )
            data = train(texts, self.settings)
            books = Books(len(texts), len(texts), bytes_in=num_bytes, bytes_kept=num_bytes)
        else:
            data = Path(unit.spec).read_bytes()
        card = card_of(data, self.settings.train or "", self.settings.end_of_document)
        if card.vocab_size < self.settings.vocab_size and self.settings.load is None:
            books.warnings.append(
                f"the sample gave {card.vocab_size} pieces of the {self.settings.vocab_size} wanted. "
                "Lower vocab_size or raise sample_bytes."
            )
        write_tokenizer(desk, data, card)
        books.notes["tokenizer"] = card.as_json()
        return books


def take_sample(tables: list[pa.Table], sample_bytes: int) -> Any:
    """The texts (large_string) in hash order until `sample_bytes` are reached; at least one where there is one."""
    table = pa.concat_tables(tables) if tables else SAMPLE_SCHEMA.empty_table()
    hashes, rows = (integers(one_chunk(table, name), np.uint64) for name in ("hash", "row"))
    order = np.lexsort((rows, hashes))
    texts = one_chunk(table, "text")
    before = np.r_[0, np.cumsum(lengths(texts)[order])[:-1]] if len(order) else order
    return take(texts, order[before < sample_bytes])


def train(texts: Column, settings: TokenizerSettings) -> bytes:
    """A tokenizer file of the kind that the settings name, learned from `texts` (large_string)."""
    return train_sentencepiece(texts, settings)


def write_tokenizer(desk: Desk, data: bytes, card: TokenizerCard) -> None:
    with desk.create("tokenizer", MODEL, fixed=True) as file:
        file.write(data)
    with desk.create("card", CARD, fixed=True) as file:
        file.write(json.dumps(card.as_json(), indent=1, sort_keys=True).encode() + b"\n")


def read_card(run: RunFolder) -> TokenizerCard:
    """The card of the run's tokenizer."""
    body = run.read_json(CARD)
    if body is None:
        raise RequestError(f"{run.url}/{CARD}: missing. Build the run up to its tokens first.")
    return TokenizerCard.from_json(body)


def tokenizer_identity(run: RunFolder) -> tuple[tuple[str, str], ...]:
    """What a unit that encodes depends on: the checksums of model and card."""
    (receipt,) = receipts_of(run, VOCABULARY)
    return tuple((kind, receipt.require(kind).checksum) for kind in ("tokenizer", "card"))


def open_tokenizer(run: RunFolder) -> Encoder:
    """The run's encoder."""
    return open_encoder(run.read_bytes(MODEL), read_card(run))
