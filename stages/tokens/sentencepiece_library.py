"""sentencepiece models through the library itself: the reference for ids, and the engine where ours is not exact."""

from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.kernels.lost_text import texts_with_id, texts_with_mark
from corpusmill.stages.tokens.encoder import NO_END, Room, TokenizerCard, joined_lists, new_room
from corpusmill.stages.tokens.model_proto import BPE, BYTE, CONTROL, UNIGRAM, UNKNOWN, Piece, SentencePieceModel


def sentencepiece_card(model: SentencePieceModel, end_of_document: int | str | None = None) -> TokenizerCard:
    """The card of a sentencepiece model. `end_of_document` is a control piece or id; default: its usual name."""
    kinds = {BPE: "sentencepiece-bpe", UNIGRAM: "sentencepiece-unigram"}
    if model.model_type not in kinds:
        raise RequestError(f"sentencepiece model type {model.model_type}: only BPE and unigram models are supported.")
    controls = {piece.text: index for index, piece in enumerate(model.pieces) if piece.type == CONTROL}
    if end_of_document is None:
        named = [controls[name] for name in ("</s>", "<|endoftext|>", "<eos>", "<|end_of_text|>") if name in controls]
        if not named:
            raise RequestError(
                f"the model names no end of document among its control pieces {sorted(controls)}. "
                "Set tokenizer.end_of_document to one of them."
            )
        end = named[0]
    elif isinstance(end_of_document, str):
        if end_of_document not in controls:
            raise RequestError(
                f"tokenizer.end_of_document: {end_of_document!r} is not a control piece of the model; "
                f"choose one of {sorted(controls)}."
            )
        end = controls[end_of_document]
    elif end_of_document not in controls.values():
        raise RequestError(
            f"tokenizer.end_of_document: {end_of_document} is no control piece of the model, so text could become it; "
            f"choose one of {sorted(controls)}."
        )
    else:
        end = end_of_document
    return TokenizerCard(kinds[model.model_type], model.content_hash(), len(model.pieces), end)


class SentencePieceLibrary:
    """The sentencepiece library itself: 1 to 4 MB/s a core for BPE."""

    def __init__(self, model: SentencePieceModel, card: TokenizerCard) -> None:
        import sentencepiece

        self.card, self.model = card, model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model.data)
        self.unknown = next(index for index, piece in enumerate(self.model.pieces) if piece.type == UNKNOWN)
        self.keeps_text = self.model.keeps_text

    def encode(
        self, texts: Column, end: int = NO_END, room: Room = new_room
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        return joined_lists([self.processor.EncodeAsNumpy(text or "") for text in texts.to_pylist()], end, room)

    def decode(self, ids: npt.NDArray[Any]) -> str:
        return str(self.processor.decode(ids.tolist()))

    def piece(self, token: int) -> str:
        return str(self.processor.id_to_piece(token))

    def spelled(self) -> list[bytes]:
        return [spelled_piece(piece) for piece in self.model.pieces]

    def lossless(
        self, texts: Column, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        if not self.keeps_text:
            pairs = zip(texts.to_pylist(), np.split(ids, offsets[1:-1]), strict=True) if len(texts) else ()
            end = self.card.end_of_document
            return np.array([self.decode(found[found != end]) == text for text, found in pairs], dtype=np.bool_)
        lost = np.zeros(len(texts), dtype=np.bool_)
        texts_with_mark(*text_buffers(texts), lost)  # it decodes to a space
        if not self.model.byte_fallback:  # else nothing is unknown
            texts_with_id(ids, offsets, self.unknown, lost)
        return ~lost


def spelled_piece(piece: Piece) -> bytes:
    """The bytes that a piece stands for; an unknown one, whatever it was, is the replacement character."""
    if piece.type == BYTE:
        return bytes([int(piece.text[3:5], 16)])
    if piece.type in (CONTROL, UNKNOWN):
        return b"" if piece.type == CONTROL else "\ufffd".encode()
    return piece.text.replace("\u2581", " ").encode()
