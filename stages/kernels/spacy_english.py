"""spaCy's rules for English words as tables: classes of characters, special cases, units.

spaCy cuts each chunk between white space on its own: affixes are split off while regular expressions match, then what
is left is cut at infixes, and about 1,300 special cases ("don't", "U.S.", ":-)") go their own way. All but a few of
those expressions ask for one character of a class beside another, so the classes are found out by asking the
expressions about every character, and kept in `spacy_english.json`, which `python -m
corpusmill.stages.kernels.spacy_english` writes where spaCy is installed. kernels/spacy_words.py applies them.
"""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

PREFIX = 1  # is split off where it begins a chunk
SUFFIX = 2  # is split off where it ends one
ICON = 4  # cuts a chunk wherever it stands: pictures and '…'
ALPHA = 8  # spaCy's letters
BEFORE_STOP = 16  # a full stop behind it at the end is split off
UPPER = 32  # two of these before a full stop at the end: split off
LEFT_OF_STOP = 64  # a full stop between this
RIGHT_OF_STOP = 128  # and this cuts
PUNCTUATION = 256  # Token.is_punct
SENTENCE_END = 512  # the sentencizer's list
URL_LETTER = 1024  # of a host's last label

FILE = Path(__file__).with_name("spacy_english.json")


class SpacyTables(NamedTuple):
    """What the kernel takes, all read-only.

    classes: uint16 [0x110000]; tails: uint64 [n], sorted hashes of what is split off behind a digit
    special_slots: int32 [slots], a power of two: number of a special case + 1, at the slot of its hash >> 40 or behind
    it, 0 where none is; special_hashes: uint64 [specials]; special_first: int32 [specials + 1]; special_lengths: int32,
    characters of each token; pattern_first, pattern_lengths: the same for the tokens that become a special case where
    they stand together, none for most
    """

    classes: npt.NDArray[np.uint16]
    tails: npt.NDArray[np.uint64]
    special_slots: npt.NDArray[np.int32]
    special_hashes: npt.NDArray[np.uint64]
    special_first: npt.NDArray[np.int32]
    special_lengths: npt.NDArray[np.int32]
    pattern_first: npt.NDArray[np.int32]
    pattern_lengths: npt.NDArray[np.int32]


def hash_characters(text: str) -> int:
    """As the kernel hashes a run of code points."""
    value = len(text)
    for character in text:
        value = ((value ^ ord(character)) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 29
    return value


@cache
def spacy_tables() -> SpacyTables:
    """The committed tables."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    lengths, classes = np.array(content["runs"], dtype=np.int64).reshape(-1, 2).T
    specials = sorted((hash_characters(text), *cut) for text, *cut in content["specials"])
    tables = SpacyTables(
        np.repeat(classes.astype(np.uint16), lengths),
        np.sort(np.array([hash_characters(tail) for tail in content["tails"]], dtype=np.uint64)),
        _slots([value for value, _, _ in specials]),
        np.array([value for value, _, _ in specials], dtype=np.uint64),
        np.cumsum([0, *(len(tokens) for _, tokens, _ in specials)], dtype=np.int32),
        np.array([length for _, tokens, _ in specials for length in tokens], dtype=np.int32),
        np.cumsum([0, *(len(pattern) for _, _, pattern in specials)], dtype=np.int32),
        np.array([length for _, _, pattern in specials for length in pattern], dtype=np.int32),
    )
    for table in tables:
        table.setflags(write=False)
    return tables


def _slots(hashes: list[int]) -> npt.NDArray[np.int32]:
    slots = np.zeros(1 << 13, dtype=np.int32)
    for number, value in enumerate(hashes):
        slot = (value >> 40) & (len(slots) - 1)
        while slots[slot]:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = number + 1
    return slots


def generate() -> str:
    """The content of `spacy_english.json`, from the installed spaCy.

    Runs of equal classes; special cases as [text, lengths of its tokens, lengths of the tokens that it is cut into
    without the case]; what is split off behind digits.
    """
    import spacy
    from spacy.lang.char_classes import CURRENCY, UNITS
    from spacy.tokenizer import Tokenizer

    nlp = spacy.blank("en")
    own: Any = nlp.tokenizer
    plain = Tokenizer(
        nlp.vocab,
        prefix_search=own.prefix_search,
        suffix_search=own.suffix_search,
        infix_finditer=own.infix_finditer,
        url_match=own.url_match,
    )
    ends = set(nlp.add_pipe("sentencizer").punct_chars)
    classes = [_classify(chr(code), own, ends) for code in range(0x110000)]
    edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    runs = [[stop - start, classes[start]] for start, stop in pairwise(edges)]
    specials = []
    for text, tokens in sorted(own.rules.items()):
        if text.split() != [text]:
            continue  # white space
        affixed = own.find_prefix(text) or own.find_infix(text) or own.find_suffix(text)
        pattern = [len(token.text) for token in plain(text)] if affixed else []
        specials.append([text, [len(next(iter(part.values()))) for part in tokens], pattern])
    tails = sorted({tail.replace("\\", "") for tail in f"{UNITS}|{CURRENCY}".split("|")} | {"+"})
    body = {"spacy": spacy.__version__, "tails": tails, "specials": specials, "runs": runs}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).replace("],[", "],\n[") + "\n"


def _classify(character: str, own: Any, ends: set[str]) -> int:
    import unicodedata

    if 0xD800 <= ord(character) < 0xE000:
        return 0
    infix = [found.group() for found in own.find_infix(f"x{character}x")]
    bits = {
        PREFIX: character not in ".+" and own.find_prefix(character) > 0,
        SUFFIX: own.find_suffix(f"x{character}") == 1 and character != ".",
        ICON: character in infix and own.find_infix(f"({character})") != [],
        ALPHA: any(found.group() == ":" for found in own.find_infix(f"a:{character}")),
        BEFORE_STOP: character != "." and own.find_suffix(f"{character}.") == 1,
        UPPER: own.find_suffix(f"{character}A.") == 1,
        LEFT_OF_STOP: character != "." and any(found.group() == "." for found in own.find_infix(f"{character}.A")),
        RIGHT_OF_STOP: character != "." and any(found.group() == "." for found in own.find_infix(f"a.{character}")),
        PUNCTUATION: unicodedata.category(character).startswith("P"),
        SENTENCE_END: character in ends,
        URL_LETTER: own.url_match(f"a.{character}{character}") is not None,
    }
    return sum(bit for bit, holds in bits.items() if holds)


if __name__ == "__main__":
    FILE.write_text(generate(), encoding="utf-8")
