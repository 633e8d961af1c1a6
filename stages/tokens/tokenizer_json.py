"""`tokenizer.json` of HF tokenizers: byte-level BPE, the reference for ids being that library.

Added tokens are found before anything else; those marked special are control tokens, whose text stays text
(`encode_special_tokens`). Bytes stand in the vocabulary as printable characters (GPT-2's table).
"""

import json
from functools import cache
from typing import Any

import numpy as np

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.stages.tokens.byte_level import (
    UTF8_BYTES,
    AddedToken,
    ByteLevelLibrary,
    ByteLevelModel,
    codes_of,
    every_character,
)
from corpusmill.stages.tokens.encoder import TokenizerCard
from corpusmill.stages.tokens.split_pattern import CODES

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What the pre-tokenizer ByteLevel splits by with `use_regex`."""
ENDS = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>")
IDENTITY = ("model", "added_tokens", "normalizer", "pre_tokenizer", "decoder")
"""Parts of the file that decide ids; truncation, padding and post-processing are not used."""
PROBED = 8192
"""Characters that the library is asked about at a time: it slows down on long texts."""


def read_json(data: bytes) -> dict[str, Any]:
    """The file; raises RequestError where it is no tokenizer.json of byte-level BPE."""
    try:
        body = json.loads(data)
        kind, vocabulary = body["model"].get("type", "BPE"), body["model"]["vocab"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"tokenizer: no tokenizer.json: {error!r}. Give one that HF tokenizers wrote.") from error
    if kind != "BPE" or not isinstance(vocabulary, dict):
        raise RequestError(f"tokenizer: tokenizer.json with a model {kind}: byte-level BPE is what is read.")
    lacking = [byte for byte in UTF8_BYTES if BYTE_LETTERS[byte] not in vocabulary]
    if lacking:
        raise RequestError(
            f"tokenizer: no token for byte {lacking[0]:#04x}: this BPE is not byte-level, and text could be lost. "
            "For a sentencepiece model give its .model file."
        )
    for token in body.get("added_tokens") or []:
        text = token["content"]
        if not text.isascii() and vocabulary.get(text) == token["id"] and as_bytes(text) != text.encode():
            raise RequestError(
                f"tokenizer: the added token {text!r} has the id of the bytes {as_bytes(text).hex(' ')}, which are "
                "written alike in the vocabulary: decoding could not tell them apart. Leave that token out."
            )
    return dict(body)


def json_card(data: bytes, end_of_document: int | str | None) -> TokenizerCard:
    """The card; `end_of_document` is an added token or an id, by default a usual name."""
    body = read_json(data)
    named = {token["content"]: token["id"] for token in body.get("added_tokens") or []}
    end = end_of_document
    if end is None:
        end = next((named[name] for name in ENDS if name in named), None)
    elif isinstance(end, str):
        end = named.get(end)
    if end is None:
        raise RequestError(
            f"tokenizer.end_of_document: {end_of_document!r} is none of the added tokens {sorted(named)}. "
            "Set it to the one that ends documents."
        )
    taken = {token["id"] for token in body.get("added_tokens") or [] if not token["special"]}
    taken |= set(body["model"]["vocab"].values()) - {t["id"] for t in body.get("added_tokens") or [] if t["special"]}
    if end in taken or end < 0:
        raise RequestError(
            f"tokenizer.end_of_document: {end_of_document!r} is the id {end} of a token that text can become. "
            f"Give a control token, or the id behind the last one, such as {max(*taken, *named.values(), -1) + 1}."
        )
    size = max(*body["model"]["vocab"].values(), *named.values(), end) + 1
    identity = {name: body.get(name) for name in IDENTITY} | {"end": end}
    return TokenizerCard("byte-level-bpe", hash_json(identity), size, end, "tokenizer/tokenizer.json")


def open_tokenizer_json(data: bytes, card: TokenizerCard) -> ByteLevelLibrary:
    """The library with this file."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # the text of a control token is text
    model = read_model(read_json(data), card, tokenizer)

    def encode_batch(texts: list[str]) -> list[list[int]]:
        return [found.ids for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return ByteLevelLibrary(card, model, encode_batch)


def read_model(body: dict[str, Any], card: TokenizerCard, tokenizer: Any) -> ByteLevelModel:
    """What the kernels need, or why they cannot be used (`unsupported`)."""
    vocabulary = body["model"]["vocab"]
    tokens = [b""] * card.vocab_size
    for text, index in vocabulary.items():
        tokens[index] = as_bytes(text)
    before = bool(body.get("normalizer"))
    added = [
        AddedToken(t["content"], t["id"], bool(t["special"]), before and not t["normalized"])
        for t in body.get("added_tokens") or []
    ]
    for token in added:
        tokens[token.id] = token.text.encode()
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in body["model"]["merges"]]
    ids = np.array(
        [(vocabulary[left], vocabulary[right], vocabulary[left + right]) for left, right in pairs], dtype=np.int64
    ).reshape(-1, 3)
    pattern, reason = split_pattern(body)
    normalizer = body.get("normalizer")
    return ByteLevelModel(
        tokens=tokens,
        left=ids[:, 0],
        right=ids[:, 1],
        results=ids[:, 2],
        ranks=np.arange(len(ids)),
        pattern=pattern,
        whole_tokens=bool(body["model"].get("ignore_merges")),
        added=tuple(added),
        normalize=tokenizer.normalizer.normalize_str if normalizer else None,
        changed_by_normalizing=changed_by_nfc if normalizer and normalizer["type"] == "NFC" else None,
        unsupported=reason or unsupported_model(body),
        adds_space=adds_space(body),
        members=members,
    )


def split_pattern(body: dict[str, Any]) -> tuple[str, str]:
    """(the expression, "") or ("", why there is no single one)."""
    outer = body.get("pre_tokenizer") or {}
    steps = outer.get("pretokenizers", [outer]) if outer.get("type") == "Sequence" else [outer]
    if not steps or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return "", "its pre-tokenizer is not ByteLevel, or adds a space"
    if len(steps) == 1:
        return (GPT2, "") if steps[0].get("use_regex", True) else ("", "it does not split text")
    split = steps[0]
    plain = len(steps) == 2 and split.get("type") == "Split" and not steps[1].get("use_regex", True)
    if not plain or split["behavior"] != "Isolated" or split.get("invert") or "Regex" not in split["pattern"]:
        return "", "it splits text in several steps, or otherwise than by one expression"
    return split["pattern"]["Regex"], ""


def unsupported_model(body: dict[str, Any]) -> str:
    model = body["model"]
    odd = [name for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix") if model.get(name)]
    if odd:
        return f"its model has {odd[0]}"
    for token in body.get("added_tokens") or []:
        if token["single_word"] or token["lstrip"] or token["rstrip"] or not token["content"]:
            return f"the added token {token['content']!r} takes spaces or whole words"
    plain = [token for token in body.get("added_tokens") or [] if not token["special"]]
    if body.get("normalizer") and len({token["normalized"] for token in plain}) > 1:
        return "some of its added tokens are found before normalising and some after"
    return ""


def adds_space(body: dict[str, Any]) -> bool:
    """Whether some step of the pre-tokenizer puts a space before a text."""
    outer = body.get("pre_tokenizer") or {}
    return any(step.get("add_prefix_space") for step in outer.get("pretokenizers", [outer]))


def byte_letters() -> list[str]:
    """How each byte is written in the vocabulary: itself where it is printable, else a letter from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


BYTE_LETTERS = byte_letters()
LETTER_BYTES = {letter: byte for byte, letter in enumerate(BYTE_LETTERS)}


def as_bytes(text: str) -> bytes:
    """A token's bytes; text with other letters is an added token, written as it is."""
    try:
        return bytes(LETTER_BYTES[letter] for letter in text)
    except KeyError:
        return text.encode()


def members(expression: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """[CODES] which characters the library's engine matches: it is asked to take them out of a text of all."""
    import tokenizers

    found = np.ones(CODES, dtype=np.bool_)
    found[0xD800:0xE000] = False
    take_out = tokenizers.normalizers.Replace(tokenizers.Regex(expression), "")
    every = every_character()
    for start in range(0, len(every), PROBED):
        found[codes_of(take_out.normalize_str(every[start : start + PROBED]))] = False
    return found


@cache
def changed_by_nfc() -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """[CODES] characters that NFC changes, or that can join or change places with one before them.

    Marks hold all characters with a combining class; whatever composes with the character before it is a later part
    of some decomposition. A text without any of these is as NFC leaves it. All of it is asked of the library.
    """
    import tokenizers

    found = members(r"\p{M}")
    composed, decomposed = tokenizers.normalizers.NFC(), tokenizers.normalizers.NFD()
    every = every_character()
    for start in range(0, len(every), PROBED):
        text = every[start : start + PROBED].replace("\n", "")
        apart = "\n".join(text)
        if composed.normalize_str(apart) != apart:
            pairs = zip(text, composed.normalize_str(apart).split("\n"), strict=True)
            found[[ord(before) for before, after in pairs if before != after]] = True
        if decomposed.normalize_str(apart) != apart:
            parts = decomposed.normalize_str(apart).split("\n")
            found[[ord(later) for part in parts for later in part[1:]]] = True
    return found
