"""A tokenizer file by its kind: the card that names it, and the fastest encoder with its exact ids."""

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.encoder import Encoder, TokenizerCard
from corpusmill.stages.tokens.model_proto import SentencePieceModel
from corpusmill.stages.tokens.sentencepiece_library import sentencepiece_card


def card_of(data: bytes, kind: str, end_of_document: int | str | None = None) -> TokenizerCard:
    """The card of a tokenizer file of this kind."""
    if kind.startswith("sentencepiece"):
        return sentencepiece_card(SentencePieceModel(data), end_of_document)
    raise RequestError(f"unknown kind of tokenizer {kind!r}.")


def open_encoder(data: bytes, card: TokenizerCard) -> Encoder:
    """The encoder of a tokenizer file; raises where the file is not the card's."""
    found = card_of(data, card.kind, card.end_of_document)
    if found.hash != card.hash:
        raise RequestError(f"{card.path}: its content hash is {found.hash}, the card says {card.hash}.")
    from corpusmill.stages.tokens.segment_encoder import open_sentencepiece

    return open_sentencepiece(data, card)
