"""Classes of every Unicode character, as one table of bits that kernels take as an argument.

The classes are those that the published filters ask for: Python's `isspace`, `isalpha` and `isupper`, its line ends
(`str.splitlines`), decimal digits, the two punctuation sets of datatrove, and what our own words are made of. The
table is made from `characters.json` (Unicode 14.0, committed, so that it does not change with the interpreter), which
`python -m corpusmill.stages.kernels.characters` writes; datatrove's sets are taken from the installed datatrove.
"""

import json
import unicodedata
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

SPACE = 1  # str.isspace
LINE_END = 2  # where str.splitlines cuts
LETTER = 4  # str.isalpha: categories L*
DIGIT = 8  # category Nd
UPPER = 16  # str.isupper
PUNCTUATION = 32  # datatrove's PUNCTUATION_SET: a word of these alone is a symbol
TERMINAL = 64  # datatrove's TERMINAL_PUNCTUATION: ends a sentence, in any script
WORD = 128  # letters, digits, numbers, underscore and the like, of scripts that write spaces
SINGLE = 256  # letters of scripts that write no spaces: each is a word
EXTEND = 512  # combining marks and format characters: belong to the character before
SKIP = 1024  # controls, format and unassigned characters: never begin a word
LOWER = 2048  # str.islower

FILE = Path(__file__).with_name("characters.json")


@cache
def character_classes() -> npt.NDArray[np.uint16]:
    """uint16 [0x110000]: the sum of a code point's classes. Read-only."""
    runs = json.loads(FILE.read_text(encoding="utf-8"))["runs"]
    lengths, classes = np.array(runs, dtype=np.int64).reshape(-1, 2).T
    table = np.repeat(classes.astype(np.uint16), lengths)
    table.setflags(write=False)
    return table


UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # 々〆〇
    (0x3021, 0x3029),
    (0x3031, 0x3035),
    (0x3038, 0x303C),
    (0x3040, 0x312F),  # kana, bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAADF),  # Burmese extended, Tai Viet
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width katakana
    (0x16FE0, 0x18D08),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana supplements, Nushu
    (0x20000, 0x3FFFD),
)
"""Blocks (Unicode 14) of scripts that write words without spaces. Tibetan marks its syllables and is not among them."""


def classify(character: str, punctuation: set[str], terminal: set[str]) -> int:
    """The classes of one character by this interpreter's Unicode data and the two sets."""
    category, code = unicodedata.category(character), ord(character)
    unspaced = any(first <= code <= last for first, last in UNSPACED)
    in_word = category[0] in "LN" or category == "Pc"
    bits = {
        SPACE: character.isspace(),
        LINE_END: len(f"{character}x".splitlines()) == 2,
        LETTER: character.isalpha(),
        DIGIT: category == "Nd",
        UPPER: character.isupper(),
        PUNCTUATION: character in punctuation,
        TERMINAL: character in terminal,
        WORD: in_word and not (unspaced and category[0] == "L"),
        SINGLE: unspaced and category[0] == "L",
        EXTEND: category[0] == "M" or category == "Cf",
        LOWER: character.islower(),
        SKIP: category[0] == "C" and not character.isspace(),
    }
    return sum(bit for bit, holds in bits.items() if holds)


def generate() -> str:
    """The content of `characters.json`: [length, classes] of each run of equal code points."""
    from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

    classes = [classify(chr(code), PUNCTUATION_SET, TERMINAL_PUNCTUATION) for code in range(0x110000)]
    edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    runs = [[stop - start, classes[start]] for start, stop in pairwise(edges)]
    lines = ",\n".join(json.dumps(runs[at : at + 24], separators=(",", ":"))[1:-1] for at in range(0, len(runs), 24))
    versions = {"unicode": unicodedata.unidata_version, "datatrove": metadata.version("datatrove")}
    return f'{json.dumps(versions)[:-1]},\n"runs": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    FILE.write_text(generate(), encoding="utf-8")
