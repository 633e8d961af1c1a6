"""What every character counts as when texts are compared: one table from code point to class and folded character.

Folding follows the text normalisation of FineWeb's MinHash (datatrove's `TextNormConfig`): lower case, punctuation to
blanks, accents off. Where it departs: the unit is a single character (ß and Latin ligatures are spelled out where texts
are hashed, `hashing.spelled`); compatibility forms of one character (full-width Latin, half-width kana, circled digits)
fold to the plain one; only accents and the points of Hebrew and Arabic go (combining classes 10-36 and 200 up), while
datatrove strips every nonspacing mark, which are the vowels of Hindi and the voicing of kana; every symbol is a blank,
not only those of a list; the Turkish dotless i is an i, as the capital of either may be I; the Persian yeh and kaf are
the Arabic ones, as keyboards mix them; the stretching of Arabic words (tatweel) vanishes. Scripts that write no spaces
(Han, kana, Thai, Lao, Khmer, Burmese, Tibetan, Yi ...) count by character.

The table is made from `folding.json` (Unicode 14.0, committed, so that it does not change with the interpreter), which
`python -m corpusmill.stages.kernels.folding` writes. 4.25 MiB of memory, 10 ms.
"""

import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLANK, IGNORED, LETTER, DIGIT, SINGLE = range(5)
"""Classes: blanks end words, ignored ones vanish, letters and digits make words, a single one is a word."""

CLASS_SHIFT = 24
SPACE_FLAG = 1 << 28
"""Set on White_Space characters, which are BLANK as well."""

CHARACTER_MASK = (1 << 21) - 1
UNICODE_VERSION = "14.0.0"
FILE = Path(__file__).with_name("folding.json")


@cache
def folding_table() -> npt.NDArray[np.uint32]:
    """uint32 [0x110000]: folded code point | class << CLASS_SHIFT | SPACE_FLAG. Do not write into it."""
    stored: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    folded = np.arange(0x110000, dtype=np.uint32)
    for first, last, step, delta in stored["folds"]:
        folded[first : last + 1 : step] += np.uint32(delta % (1 << 32))
    classes = np.full(0x110000, BLANK << CLASS_SHIFT, dtype=np.uint32)
    for name, number in (("ignored", IGNORED), ("letter", LETTER), ("digit", DIGIT), ("single", SINGLE)):
        for first, last in stored[name]:
            classes[first : last + 1] = number << CLASS_SHIFT
    for first, last in stored["space"]:
        classes[first : last + 1] = SPACE_FLAG
    table: npt.NDArray[np.uint32] = folded | classes
    table.setflags(write=False)
    return table


# Blocks (Unicode 14) whose letters and marks each count as a word, because the script writes no spaces.
UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),  # 々〆〇
    (0x3021, 0x3029),
    (0x3031, 0x3035),
    (0x3038, 0x303C),
    (0x3040, 0x312F),  # kana, bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xAA80, 0xAADF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width katakana
    (0x16FE0, 0x18D08),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana supplements, Nushu
    (0x20000, 0x3FFFD),
)

TATWEEL = "\u0640"
ALIKE = {"ς": "σ", "ı": "i", "\u06cc": "\u064a", "\u06a9": "\u0643"}
"""Forms of a letter that case, place in the word or keyboard decide on."""

SPACES = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def classify(character: str) -> int:
    """The class of one character."""
    category = unicodedata.category(character)
    code = ord(character)
    if category == "Cf" or is_accent(character) or 0xFE00 <= code <= 0xFE0F or character == TATWEEL:
        return IGNORED
    if category[0] not in "LMN":
        return BLANK
    if any(first <= code <= last for first, last in UNSPACED_BLOCKS):
        return SINGLE
    return DIGIT if category == "Nd" else LETTER


def is_accent(character: str) -> bool:
    combining = unicodedata.combining(character)
    return unicodedata.category(character) == "Mn" and (10 <= combining <= 36 or combining >= 200)


def fold(character: str) -> str:
    """The one character that stands for `character`: lower case, without accents, in its plain form."""
    while True:
        folded = _fold_once(character)
        if folded == character:
            return folded
        character = folded


def _fold_once(character: str) -> str:
    if character in ALIKE:
        return ALIKE[character]
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.decimal(character))
    for form in (unicodedata.normalize("NFKD", character), character.lower()):
        plain = _strip(unicodedata.normalize("NFKD", form))
        if len(plain) == 1 and plain != character:
            return plain
    return character


def _strip(text: str) -> str:
    return "".join(c for c in text if not is_accent(c)) or text


def generate() -> dict[str, Any]:
    """The content of `folding.json`, from this interpreter's Unicode data."""
    classes = np.zeros(0x110000, dtype=np.int64)
    delta = np.zeros(0x110000, dtype=np.int64)
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            classes[code] = classify(chr(code))
            if classes[code] in (LETTER, DIGIT, SINGLE):
                delta[code] = ord(fold(chr(code))) - code
    space = np.isin(np.arange(0x110000), [ord(c) for c in SPACES])
    return {
        "unicode": unicodedata.unidata_version,
        "ignored": _ranges(classes == IGNORED),
        "letter": _ranges(classes == LETTER),
        "digit": _ranges(classes == DIGIT),
        "single": _ranges(classes == SINGLE),
        "space": _ranges(space),
        "folds": _steps(delta),
    }


def _ranges(wanted: npt.NDArray[np.bool_]) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    return [[int(first), int(stop) - 1] for first, stop in edges.reshape(-1, 2)]


def _steps(delta: npt.NDArray[np.int64]) -> list[list[int]]:
    """Runs [first, last, step, delta] of code points 1 or 2 apart that move by the same distance."""
    runs: list[list[int]] = []
    open_runs: dict[int, list[int]] = {}
    for code in np.flatnonzero(delta).tolist():
        moved = int(delta[code])
        run = open_runs.get(moved)
        distance = code - run[1] if run else 0
        if run and distance <= 2 and run[2] in (0, distance):
            run[1], run[2] = code, distance
        else:
            run = open_runs[moved] = [code, code, 0, moved]
            runs.append(run)
    return [[first, last, step or 1, moved] for first, last, step, moved in runs]


if __name__ == "__main__":
    content = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in generate().items())
    FILE.write_text("{\n" + content + "\n}\n", encoding="utf-8")
