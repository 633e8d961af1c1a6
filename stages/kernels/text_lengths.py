"""Characters and words of texts, for fertility: one pass over the bytes, ASCII eight bytes at a time.

A word is a run between white space (Unicode White_Space). Where half of the characters or more are of scripts written
without spaces (Han, kana, Thai, Lao, Khmer, Burmese, Tibetan) a text has no words by this measure: 0.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.unaligned import load8

HIGH_BITS = 0x8080808080808080
EACH_BYTE = 0x0101010101010101
SPACE_BEFORE = 0x80
HAN_FROM, HAN_TO = 0xE4, 0xE9
"""First bytes of U+4000 to U+9FFF: nothing but Han characters (and the hexagrams, which are as unspaced)."""


@kernel
def text_lengths(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    characters: npt.NDArray[np.int64],
    words: npt.NDArray[np.int64],
) -> None:
    """Per text its characters and words, both [texts]."""
    for row in range(len(characters)):
        at, end = offsets[row], offsets[row + 1]
        num_characters = num_words = num_unspaced = 0
        before = uint64(SPACE_BEFORE)  # or 0: whether what precedes is white space
        while at < end:
            while at + 8 <= end:
                eight = load8(data, at)
                if eight & uint64(HIGH_BITS) != uint64(0):
                    break
                spaces = ascii_spaces(eight)
                begun = ~spaces & (spaces << uint64(8) | before) & uint64(HIGH_BITS)
                num_words += int((begun >> uint64(7)) * uint64(EACH_BYTE) >> uint64(56))
                before = spaces >> uint64(56)
                num_characters += 8
                at += 8
            stop = min(at + 8, end)
            while at < stop:
                code, length = int(data[at]), 1
                if HAN_FROM <= code <= HAN_TO:
                    at += 3
                    num_characters += 1
                    num_words += int(before >> uint64(7))
                    before = uint64(0)
                    num_unspaced += 1
                    continue
                if code >= 128:
                    code, length = decode(data, at)
                at += length
                num_characters += 1
                if is_space(code):
                    before = uint64(SPACE_BEFORE)
                    continue
                num_words += int(before >> uint64(7))
                before = uint64(0)
                num_unspaced += int(code >= 0x0E00 and is_unspaced(code))
        characters[row] = num_characters
        words[row] = 0 if 2 * num_unspaced >= num_characters else num_words


@inlined
def ascii_spaces(eight: np.uint64) -> np.uint64:
    """The high bit of each of eight bytes below 128 that is 0x20 or 0x09..0x0D: no sum carries into the next byte."""
    other = (eight ^ uint64(0x20 * EACH_BYTE)) + uint64(0x7F * EACH_BYTE)
    low, high = eight + uint64((0x80 - 0x09) * EACH_BYTE), eight + uint64((0x80 - 0x0E) * EACH_BYTE)
    return (~other | (low & ~high)) & uint64(HIGH_BITS)


@inlined
def is_space(code: int) -> bool:
    """White_Space of the Unicode Character Database."""
    if code < 0x1680:
        return code == 0x20 or 0x09 <= code <= 0x0D or code == 0x85 or code == 0xA0
    return (
        code == 0x1680
        or 0x2000 <= code <= 0x200A
        or code == 0x2028
        or code == 0x2029
        or code == 0x202F
        or code == 0x205F
        or code == 0x3000
    )


@inlined
def is_unspaced(code: int) -> bool:
    """Blocks of scripts that do not put spaces between words."""
    return (
        code < 0x1100  # Thai, Lao, Tibetan, Burmese
        or 0x1780 <= code < 0x1800  # Khmer
        or 0x3040 <= code < 0x3100  # kana
        or 0x3400 <= code < 0xA000  # Han
        or 0xF900 <= code < 0xFB00
        or 0x20000 <= code < 0x40000
    )


def warmup() -> None:
    """Compile for the types that encoding uses."""
    data, offsets = np.frombuffer(b"ab", dtype=np.uint8), np.array([0, 2], np.int64)
    text_lengths(data, offsets, np.zeros(1, np.int64), np.zeros(1, np.int64))
