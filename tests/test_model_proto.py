"""Our reading of model files against the library's own answers, and the copy without normaliser."""

import pytest
import sentencepiece
from token_run import ODD_TEXTS, token_run

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.model_proto import (
    BYTE,
    CONTROL,
    USER_DEFINED,
    SentencePieceModel,
    number,
    read_fields,
    varint,
)
from corpusmill.stages.tokens.token_settings import TokenizerSettings
from corpusmill.stages.tokens.train_sentencepiece import train_sentencepiece

TEXTS = ["the ﬁrst ﬂoor  of ＡＢＣ１２３ ½ café", *ODD_TEXTS]


def trained(**settings: object) -> bytes:
    import pyarrow as pa

    texts = pa.array(TEXTS * 3, pa.large_string())
    return train_sentencepiece(texts, TokenizerSettings(vocab_size=500, **settings))  # type: ignore[arg-type]  # one of its fields


@pytest.fixture(scope="module")
def nfkc() -> bytes:
    return trained(normalizer="nmt_nfkc", user_defined=("<sep>", "½"))


def test_pieces_scores_and_types_are_the_library_s(nfkc: bytes) -> None:
    for data in (nfkc, token_run().read_bytes("tokenizer/tokenizer.model")):
        model, library = SentencePieceModel(data), sentencepiece.SentencePieceProcessor(model_proto=data)
        assert len(model.pieces) == len(library)
        for index, piece in enumerate(model.pieces):
            assert piece.text == library.id_to_piece(index)
            assert piece.score == library.get_score(index)
            assert (piece.type == BYTE) == library.is_byte(index)
            assert (piece.type == CONTROL) == library.is_control(index)
    assert {p.text for p in SentencePieceModel(nfkc).pieces if p.type == USER_DEFINED} == {"<sep>", "½"}


def test_flags(nfkc: bytes) -> None:
    ours = SentencePieceModel(token_run().read_bytes("tokenizer/tokenizer.model"))
    assert ours.keeps_text
    assert ours.byte_fallback
    assert not SentencePieceModel(nfkc).keeps_text
    assert not SentencePieceModel(trained(byte_fallback=False)).byte_fallback


def test_the_copy_without_normaliser_encodes_normalised_text_to_the_same_ids(nfkc: bytes) -> None:
    whole = sentencepiece.SentencePieceProcessor(model_proto=nfkc)
    bare = sentencepiece.SentencePieceProcessor(model_proto=SentencePieceModel(nfkc).without_normalizer())
    for text in TEXTS:
        assert bare.encode(whole.normalize(text)) == whole.encode(text)


def test_content_hash_changes_with_content_only(nfkc: bytes) -> None:
    assert SentencePieceModel(nfkc).content_hash() == SentencePieceModel(bytes(nfkc)).content_hash()
    changed = SentencePieceModel(SentencePieceModel(nfkc).without_normalizer()).content_hash()
    assert changed != SentencePieceModel(nfkc).content_hash()


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63])
def test_varint_round_trip(value: int) -> None:
    assert number(varint(value), -1) == value


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x0a\xff\xff", b"\x0b"])
def test_what_is_no_model_says_so(data: bytes) -> None:
    with pytest.raises(RequestError, match="not a sentencepiece model"):
        _ = SentencePieceModel(data).pieces


def test_truncated_field_is_refused() -> None:
    with pytest.raises(ValueError, match="truncated"):
        list(read_fields(b"\x0a\x05abc"))
