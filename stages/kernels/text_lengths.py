"""Characters and words of texts, for fertility: one pass over the bytes, whole blocks of ASCII at a time.

A word is a run between white space (Unicode White_Space). Where half of the characters or more are of scripts written
without spaces (Han, kana, Thai, Lao, Khmer, Burmese, Tibetan) a text has no words by this measure: 0.
"""

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode

BLOCK_BYTES = 64
"""Of ASCII, counted without branches, so that the compiler uses vector instructions; other blocks go by character."""


@kernel
def text_lengths(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    characters: npt.NDArray[np.int64],
    words: npt.NDArray[np.int64],
) -> None:
    """Per text its characters and words, both [texts]."""
    for row in range(len(characters)):
        at = offsets[row]
        num_characters = num_words = num_unspaced = 0
        after_space = True
        while at < offsets[row + 1]:
            stop = min(at + BLOCK_BYTES, offsets[row + 1])
            if stop - at == BLOCK_BYTES and is_ascii(data[at:stop]):
                num_characters += BLOCK_BYTES
                num_words += int(after_space and not is_ascii_space(data[at])) + words_begun(data[at:stop])
                after_space = is_ascii_space(data[stop - 1])
                at = stop
            while at < stop:
                code, length = int(data[at]), 1
                if code >= 128:
                    code, length = decode(data, at)
                at += length
                num_characters += 1
                if is_space(code):
                    after_space = True
                    continue
                num_words += int(after_space)
                after_space = False
                num_unspaced += int(code >= 0x0E00 and is_unspaced(code))
        characters[row] = num_characters
        words[row] = 0 if 2 * num_unspaced >= num_characters else num_words


@kernel
def is_ascii(block: npt.NDArray[np.uint8]) -> bool:
    """Whether no byte of BLOCK_BYTES has its high bit set."""
    found = np.uint8(0)
    for at in range(BLOCK_BYTES):
        found |= block[at]
    return bool(found < 128)


@kernel
def words_begun(block: npt.NDArray[np.uint8]) -> int:
    """Bytes of BLOCK_BYTES of ASCII that are no space and follow one."""
    found = 0
    for at in range(1, BLOCK_BYTES):
        found += int(is_ascii_space(block[at - 1]) & (not is_ascii_space(block[at])))
    return found


@inlined
def is_ascii_space(byte: int) -> bool:
    """As `is_space`, of a byte below 128."""
    return (byte == 0x20) | ((byte >= 0x09) & (byte <= 0x0D))


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
