"""Cuts texts into words and hashes them: the one pass over the characters that all word measures share.

A word is a run of letters, marks and digits; or one letter with its marks, in scripts that write no spaces; or a run
of one and the same symbol ("...", "---"). An apostrophe between letters and a point or comma between digits belong to
the word, as in UAX #29 (rules WB6, WB7, WB11, WB12), which we otherwise follow loosely: it does not give symbols.

A word's hash is its bytes as digits of a number in base `BASE`, modulo 2^64, so the hash of words written together is
put together from their hashes and their lengths (`power`). Different texts have equal hashes with a probability of
about 2^-60 each, unless they were made for it (Thue-Morse strings collide in every such hash).
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.characters import (
    DIGIT,
    EXTEND,
    LETTER,
    PUNCTUATION,
    SINGLE,
    SKIP,
    SPACE,
    WORD,
    character_classes,
)
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode

BASE = 0xD6E8FEB86659FD93
"""Odd, so that multiplying loses no bit; any other would do."""

HAS_LETTER = 1  # a character of class LETTER
HAS_TEXT = 2  # a character that is not in datatrove's punctuation set: not a symbol
IS_SINGLE = 4  # a letter of a script without spaces that was made a word; never set on words found elsewhere
IS_ALPHABETIC = 8  # with IS_SINGLE: of Thai, Lao, Burmese, Khmer, whose letters are sounds, not of Han or kana
ENDS_SENTENCE = 16  # only of spaCy's words: one mark at which its sentencizer ends a sentence
ONLY_PUNCTUATION = 32  # only of spaCy's words: nothing but characters of Unicode's category P
FIRST_EAST_ASIAN = 0x2E80

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Int32s = npt.NDArray[np.int32]
Classes = npt.NDArray[np.uint16]


@kernel
def find_words(
    data: Bytes, offsets: Offsets, classes: Classes
) -> tuple[Offsets, Int32s, Int32s, Int32s, Hashes, Bytes]:
    """The words of rows of UTF-8: first [rows + 1] word of each row, and what `Layout` has of each word.

    The arrays have room for a word per byte; memory that is never written is never there (writing new memory takes
    a third of the time, so a word has 21 bytes and no more).
    """
    room = offsets[-1] - offsets[0]
    first = np.zeros(len(offsets), dtype=np.int64)
    starts, num_bytes = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    num_chars, flags = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.uint8)
    hashes = np.empty(room, dtype=np.uint64)
    word = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            code, size = decode(data, at)
            kind = int(classes[code])
            if kind & (SPACE | SKIP):
                at += size
                continue
            start, lead = at, code
            seen, lacking, count = kind, ~kind, 1
            value = uint64(0)
            symbol = -1 if kind & (WORD | EXTEND | SINGLE) else code
            if kind & SINGLE:
                kind = 0  # nothing but marks may follow
            while True:
                for _ in range(size):
                    value = value * uint64(BASE) + uint64(data[at]) + uint64(1)
                    at += 1
                if at >= stop:
                    break
                code, size = decode(data, at)
                next_kind = int(classes[code])
                if symbol >= 0:
                    if code != symbol and not next_kind & EXTEND:
                        break
                elif next_kind & EXTEND:
                    pass
                elif next_kind & WORD and kind != 0:
                    kind = next_kind
                elif not _joins(data, at + size, stop, code, kind, classes):
                    break
                seen, lacking, count = seen | next_kind, lacking | ~next_kind, count + 1
            starts[word], num_bytes[word], num_chars[word] = start - offsets[0], at - start, count
            hashes[word], flags[word] = value, _flags(seen, lacking)
            if seen & SINGLE and lead < FIRST_EAST_ASIAN:
                flags[word] |= IS_ALPHABETIC
            word += 1
        first[row + 1] = word
    return first, starts[:word], num_bytes[:word], num_chars[:word], hashes[:word], flags[:word]


@inlined
def _joins(data: Bytes, after: int, stop: int, code: int, kind: int, classes: Classes) -> bool:
    """Whether `code` holds a word together between two characters of class `kind`; the second one is at `after`."""
    joins = False
    if kind & LETTER:
        joins = code == 0x27 or code == 0x2019  # apostrophes
    elif kind & DIGIT:
        joins = code == 0x2E or code == 0x2C  # point, comma
    if joins and after < stop:
        following, _ = decode(data, after)
        shared = int(classes[following]) & kind
        return bool(shared & WORD != 0 and shared & (LETTER | DIGIT) != 0)
    return False


@inlined
def _flags(seen: int, lacking: int) -> int:
    return (
        (HAS_LETTER if seen & LETTER else 0)
        | (HAS_TEXT if lacking & PUNCTUATION else 0)
        | (IS_SINGLE if seen & SINGLE else 0)
    )


@kernel
def describe_words(data: Bytes, offsets: Offsets, classes: Classes) -> tuple[Int32s, Hashes, Bytes]:
    """The same for given words, `offsets` [words + 1] apart: characters, hashes, flags, each [words]."""
    num_words = len(offsets) - 1
    num_chars, flags = np.empty(num_words, dtype=np.int32), np.empty(num_words, dtype=np.uint8)
    hashes = np.empty(num_words, dtype=np.uint64)
    for word in range(num_words):
        value = uint64(0)
        seen, lacking, count = 0, 0, 0
        at = offsets[word]
        while at < offsets[word + 1]:
            code, size = decode(data, at)
            kind = int(classes[code])
            seen, lacking, count = seen | kind, lacking | ~kind, count + 1
            for _ in range(size):
                value = value * uint64(BASE) + uint64(data[at]) + uint64(1)
                at += 1
        num_chars[word], hashes[word] = count, value
        flags[word] = _flags(seen & ~SINGLE, lacking)
    return num_chars, hashes, flags


@kernel
def power(num_bytes: int, powers: Hashes) -> np.uint64:
    """BASE to the power of `num_bytes`, looked up in `power_table()` and multiplied on for long words."""
    value: np.uint64 = powers[min(num_bytes, len(powers) - 1)]
    for _ in range(len(powers) - 1, num_bytes):
        value *= uint64(BASE)
    return value


def power_table() -> Hashes:
    """uint64 [256]: BASE^i modulo 2^64."""
    return np.array([pow(BASE, exponent, 1 << 64) for exponent in range(256)], dtype=np.uint64)


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data = np.frombuffer(b"a word", dtype=np.uint8)
    offsets = np.array([0, 6])
    offsets.setflags(write=False)
    classes = character_classes()
    find_words(data, offsets, classes)
    describe_words(data, offsets, classes)
