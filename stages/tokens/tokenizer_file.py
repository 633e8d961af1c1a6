"""A tokenizer file by its kind: the card that names it, and the fastest encoder with its exact ids."""

import re

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.encoder import Encoder, TokenizerCard
from corpusmill.stages.tokens.model_proto import SentencePieceModel
from corpusmill.stages.tokens.sentencepiece_library import sentencepiece_card
from corpusmill.stages.tokens.tiktoken_file import pattern_of, tiktoken_card
from corpusmill.stages.tokens.tokenizer_json import json_card

SENTENCEPIECE, BYTE_LEVEL, TIKTOKEN = "sentencepiece", "byte-level-bpe", "tiktoken"
LIBRARIES = ("sentencepiece", "tiktoken", "tokenizers")
"""What ids depend on; their versions are part of every key."""


def kind_of(data: bytes) -> str:
    """Which kind of file this is, from its first bytes."""
    if data.lstrip()[:1] == b"{":
        return BYTE_LEVEL
    return TIKTOKEN if re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", data) else SENTENCEPIECE


def load_card(
    data: bytes, path: str, end_of_document: int | str | None = None, pattern: str | None = None
) -> TokenizerCard:
    """The card of a tokenizer file that was given; `pattern` is for tiktoken files, which lack it."""
    kind = kind_of(data)
    if kind != TIKTOKEN:
        return card_of(data, kind, end_of_document)
    expression, name = pattern_of(path, pattern)
    return tiktoken_card(data, expression, end_of_document, name)


def card_of(data: bytes, kind: str, end_of_document: int | str | None = None, pattern: str = "") -> TokenizerCard:
    """The card of a tokenizer file of this kind."""
    if kind.startswith(SENTENCEPIECE):
        return sentencepiece_card(SentencePieceModel(data), end_of_document)
    if kind == BYTE_LEVEL:
        return json_card(data, end_of_document)
    if kind == TIKTOKEN:
        return tiktoken_card(data, pattern, end_of_document, None)
    raise RequestError(f"unknown kind of tokenizer {kind!r}.")


def open_encoder(data: bytes, card: TokenizerCard) -> Encoder:
    """The encoder of a tokenizer file; raises where the file is not the card's."""
    if card.kind.startswith(SENTENCEPIECE):
        from corpusmill.stages.tokens.segment_encoder import open_sentencepiece

        model = SentencePieceModel(data)  # taken apart once
        check_hash(sentencepiece_card(model, card.end_of_document), card)
        return open_sentencepiece(model, card)
    check_hash(card_of(data, card.kind, card.end_of_document, card.pattern), card)
    from corpusmill.stages.tokens.byte_level_encoder import open_byte_level
    from corpusmill.stages.tokens.tiktoken_file import open_tiktoken
    from corpusmill.stages.tokens.tokenizer_json import open_tokenizer_json

    return open_byte_level((open_tiktoken if card.kind == TIKTOKEN else open_tokenizer_json)(data, card))


def check_hash(found: TokenizerCard, card: TokenizerCard) -> None:
    """Raises RequestError where a file is not the one of its card."""
    if found.hash != card.hash:
        raise RequestError(f"{card.path}: its content hash is {found.hash}, the card says {card.hash}.")
