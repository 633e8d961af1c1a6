"""tokenizer.json: what is read of it, what is refused, and NFC's characters."""

import json
import unicodedata

import pytest
import tokenizers
from byte_level_tokenizers import changed, trained

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.tokenizer_json import (
    BYTE_LETTERS,
    as_bytes,
    changed_by_nfc,
    json_card,
    open_tokenizer_json,
    read_json,
    split_pattern,
    unsupported_model,
)


def test_bytes_are_written_as_the_library_writes_them() -> None:
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    assert sorted(BYTE_LETTERS) == sorted(alphabet)
    step = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in ("a b\n", "é中😀", "\x00\x7f\u0080"):
        ((written, _),) = step.pre_tokenize_str(text)
        assert as_bytes(written) == text.encode()


def test_the_card_covers_what_decides_ids() -> None:
    data = trained()
    body = json.loads(data)
    card = json_card(data, None)
    assert (card.kind, card.end_of_document, card.vocab_size) == ("byte-level-bpe", 0, len(body["model"]["vocab"]))
    assert json_card(changed(data, truncation={"max_length": 3}), None).hash == card.hash
    assert json_card(data, "<|endoftext|>") == card
    assert json_card(changed(data, normalizer={"type": "NFC"}), None).hash != card.hash
    fewer = body["model"] | {"merges": body["model"]["merges"][:-1]}
    assert json_card(changed(data, model=fewer), None).hash != card.hash
    with pytest.raises(RequestError, match="none of the added tokens"):
        json_card(data, "<eos>")
    assert json_card(data, 700).vocab_size == 701


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "no tokenizer.json"),
        (b'{"model": {"type": "WordPiece", "vocab": {}}}', "WordPiece"),
        (b'{"model": {"type": "Unigram", "vocab": [["a", 0]]}}', "Unigram"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}', "not byte-level"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_json(data)


def test_an_added_token_that_is_written_as_a_byte_is_refused() -> None:
    """Bytes stand as letters in the vocabulary, and so might the added token: two texts with one id."""
    body = json.loads(trained())
    token = {"content": "é", "id": body["model"]["vocab"]["é"], "special": False, "normalized": True}
    token |= dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    with pytest.raises(RequestError, match="the id of the bytes e9"):
        read_json(changed(trained(), added_tokens=[*body["added_tokens"], token]))


def test_patterns_and_models_that_tables_cannot_say() -> None:
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated", "invert": False}
    steps = {"type": "Sequence", "pretokenizers": [split, level]}
    assert split_pattern({"pre_tokenizer": steps}) == ("a+", "")
    for change in ({"behavior": "Removed"}, {"invert": True}, {"pattern": {"String": "a"}}):
        assert split_pattern({"pre_tokenizer": steps | {"pretokenizers": [split | change, level]}})[1]
    assert split_pattern({"pre_tokenizer": steps | {"pretokenizers": [split, split, level]}})[1]
    assert split_pattern({"pre_tokenizer": None})[1]
    token = {
        "content": "x",
        "special": False,
        "normalized": True,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
    }
    model = {"dropout": None}
    assert unsupported_model({"model": model, "added_tokens": [token]}) == ""
    assert "dropout" in unsupported_model({"model": {"dropout": 0.1}})
    assert "spaces" in unsupported_model({"model": model, "added_tokens": [token | {"lstrip": True}]})
    before = {"model": model, "normalizer": {"type": "NFC"}, "added_tokens": [token, token | {"normalized": False}]}
    assert "before normalising" in unsupported_model(before)


def test_text_without_the_characters_of_nfc_is_as_nfc_leaves_it() -> None:
    """Against Python's own tables, of an older Unicode: every pair of a starter and what may join it is flagged."""
    flagged = changed_by_nfc()
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000 or unicodedata.category(chr(code)) == "Cn":
            continue
        character = chr(code)
        joins = unicodedata.combining(character) or unicodedata.normalize("NFC", character) != character
        later = unicodedata.normalize("NFD", character)[1:]
        assert not joins or flagged[code]
        assert all(flagged[ord(part)] for part in later)
    assert not flagged[ord("é")]
    assert not flagged[ord("中")]
    assert not flagged[ord("한")]


def test_an_end_of_document_in_text_stays_text() -> None:
    data = trained()
    library = open_tokenizer_json(data, json_card(data, None))
    (ids,) = library.encode_batch(["a<|endoftext|>b"])
    assert 0 not in list(ids)
    assert library.piece(0) == "<|endoftext|>"
    assert library.piece(json.loads(data)["model"]["vocab"]["é"]) == "<0xE9>"


@pytest.mark.parametrize("end", [65, -1, "<sep>"])
def test_an_end_that_text_can_become_is_refused(end: int | str) -> None:
    data = trained(user_defined=("<sep>",))
    with pytest.raises(RequestError, match="that text can become"):
        json_card(data, end)


def test_an_id_behind_the_last_one_may_end_documents() -> None:
    size = json_card(trained(), None).vocab_size
    assert json_card(trained(), size + 3).vocab_size == size + 4
