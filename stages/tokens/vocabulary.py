"""The run's tokenizer: trained on a sample of its own training documents (tokenizer_sample.py), or loaded.

Memory: about three times the sample, and what the trainer needs.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpusmill.pipeline.columns import lengths
from corpusmill.pipeline.document import Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import code_hash, file_hash, versions
from corpusmill.pipeline.phases import Desk, Unit, receipts_of
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.encoder import Encoder, TokenizerCard
from corpusmill.stages.tokens.split import language_totals, whole_unit
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.tokenizer_file import BYTE_LEVEL, LIBRARIES, card_of, load_card, open_encoder
from corpusmill.stages.tokens.tokenizer_sample import SAMPLE, group_totals, sample_quotas, take_sample
from corpusmill.stages.tokens.train_byte_level import train_byte_level
from corpusmill.stages.tokens.train_sentencepiece import train_sentencepiece

VOCABULARY = "tokens/vocabulary"
CARD = "tokenizer/card.json"
"""The tokenizer's own file lies beside it under the name that the card gives."""


@dataclass(frozen=True)
class VocabularyPhase:
    """One unit: trains or takes the tokenizer, and writes it with its card."""

    settings: TokenizerSettings
    seed: int

    name = VOCABULARY

    def fingerprint(self) -> Any:
        settings = {name: value for name, value in asdict(self.settings).items() if name != "load"}  # by content
        return {"code": code_hash(__name__), "settings": settings, "versions": versions(LIBRARIES)}

    def units(self, run: RunFolder) -> list[Unit]:
        if self.settings.load is None:
            quotas = sample_quotas(group_totals(language_totals(run), self.settings), self.settings)
            return [whole_unit(run, SAMPLE, "sample", settings=quotas)]
        path = Path(self.settings.load)
        if not path.is_file():
            raise RequestError(f"tokenizer.load: {path}: no such file.")
        return [Unit("all", inputs=(("load", file_hash(path)),), spec=str(path), num_bytes=path.stat().st_size)]

    def work(self, unit: Unit, desk: Desk) -> Books:
        books = Books()
        if self.settings.load is None:
            texts = take_sample([desk.run.read_table(path) for _, path in unit.spec], unit.settings)
            num_bytes = int(lengths(texts).sum())
            if num_bytes == 0:
                raise RequestError(
                    "tokenizer: no training document has text. Check what the rules dropped: corpusmill show."
                )
            data = train(texts, self.settings)
            card = card_of(data, self.settings.train or "", self.settings.end_of_document)
            books = Books(len(texts), len(texts), bytes_in=num_bytes, bytes_kept=num_bytes)
        else:
            data = Path(unit.spec).read_bytes()
            card = load_card(data, unit.spec, self.settings.end_of_document, self.settings.pattern)
        if card.vocab_size < self.settings.vocab_size and self.settings.load is None:
            books.warnings.append(
                f"the sample gave {card.vocab_size} pieces of the {self.settings.vocab_size} wanted. "
                "Lower vocab_size or raise sample_bytes."
            )
        write_tokenizer(desk, data, card)
        books.notes["tokenizer"] = card.as_json()
        return books


def train(texts: Column, settings: TokenizerSettings) -> bytes:
    """A tokenizer file of the kind that the settings name, learned from `texts` (large_string)."""
    byte_level = settings.train == BYTE_LEVEL
    return train_byte_level(texts, settings) if byte_level else train_sentencepiece(texts, settings)


def write_tokenizer(desk: Desk, data: bytes, card: TokenizerCard) -> None:
    with desk.create("tokenizer", card.path, fixed=True) as file:
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
    card = read_card(run)
    return open_encoder(run.read_bytes(card.path), card)
