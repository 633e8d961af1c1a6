"""tiktoken rank files: a line per token, base64 of its bytes and its rank, which is its id.

The file lacks the split pattern and the control tokens. Both are known for the published encodings (tiktoken
`openai_public.py`), by the file's name or the setting `pattern`; for others the recipe gives the expression itself and
the id of the end of a document. A merge of two tokens is any whose bytes together are a token; its rank is that
token's. Ids come from `encode_ordinary`, which knows no control tokens.
"""

import base64
import binascii
from pathlib import PurePath

import numpy as np

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.stages.tokens.byte_level import ByteLevelLibrary, ByteLevelModel, codes_of, every_character
from corpusmill.stages.tokens.encoder import TokenizerCard
from corpusmill.stages.tokens.split_pattern import CODES

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS,
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS,
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
R50K = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
PATTERNS = {"cl100k": CL100K, "o200k": O200K, "r50k": R50K, "p50k": R50K}
END_OF_TEXT = {"cl100k": 100257, "o200k": 199999, "r50k": 50256, "p50k": 50256}
"""The id of `<|endoftext|>`, which the files do not hold."""


def read_ranks(data: bytes) -> dict[bytes, int]:
    """Token -> rank; raises RequestError at a line that is none."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
            except (ValueError, binascii.Error) as error:
                raise RequestError(
                    f"tokenizer: line {number}: {line[:60]!r} is no base64 token and rank. Give a tiktoken file."
                ) from error
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise RequestError(f"tokenizer: no rank for byte {missing[0]:#04x}. Give a whole tiktoken file.")
    return ranks


def pattern_of(path: str, pattern: str | None) -> tuple[str, str | None]:
    """(expression, name of the encoding or None): the setting's expression, else by the name of the file."""
    name = next((name for name in PATTERNS if PurePath(path).name.startswith(name)), None)
    if pattern is not None:
        return PATTERNS.get(pattern, pattern), name
    if name is None:
        raise RequestError(
            f"tokenizer.load: {path}: a tiktoken file does not say how text is split. "
            f"Set tokenizer.pattern to one of {', '.join(PATTERNS)}, or to the expression."
        )
    return PATTERNS[name], name


def tiktoken_card(data: bytes, pattern: str, end_of_document: int | str | None, name: str | None) -> TokenizerCard:
    """The card; the pattern is part of it."""
    ranks = read_ranks(data)
    end = END_OF_TEXT[name] if end_of_document in (None, "<|endoftext|>") and name else end_of_document
    if not isinstance(end, int) or end in ranks.values() or end < 0:
        raise RequestError(
            f"tokenizer.end_of_document: {end_of_document!r}; a tiktoken file names no control tokens. "
            f"Give the id of the one that ends documents, such as {max(ranks.values()) + 1}."
        )
    identity = {"ranks": sorted([token.hex(), rank] for token, rank in ranks.items()), "pattern": pattern, "end": end}
    size = max(*ranks.values(), end) + 1
    return TokenizerCard("tiktoken", hash_json(identity), size, end, "tokenizer/tokenizer.tiktoken", pattern)


def open_tiktoken(data: bytes, card: TokenizerCard) -> ByteLevelLibrary:
    """The library with this file."""
    import tiktoken

    ranks = read_ranks(data)
    encoding = tiktoken.Encoding("loaded", pat_str=card.pattern, mergeable_ranks=ranks, special_tokens={})
    tokens = [b""] * card.vocab_size
    for token, rank in ranks.items():
        tokens[rank] = token
    left, right, made = [], [], []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            first = ranks.get(token[:cut])
            if first is not None:
                second = ranks.get(token[cut:])
                if second is not None:
                    left.append(first)
                    right.append(second)
                    made.append(rank)
    results = np.array(made, dtype=np.int64)
    model = ByteLevelModel(
        tokens=tokens,
        left=np.array(left, dtype=np.int64),
        right=np.array(right, dtype=np.int64),
        results=results,
        ranks=results,
        pattern=card.pattern,
        whole_tokens=True,
        members=members,
    )
    return ByteLevelLibrary(card, model, lambda texts: [encoding.encode_ordinary(text) for text in texts])


def members(expression: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """[CODES] which characters the library's engine matches: it encodes what matches and leaves the rest out."""
    import tiktoken

    by_bytes = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("probe", pat_str=expression, mergeable_ranks=by_bytes, special_tokens={})
    found = np.zeros(CODES, dtype=np.bool_)
    found[codes_of(bytes(encoding.encode_ordinary(every_character())).decode())] = True
    return found
