"""Counts the letters of a text by script: what tells a wrong language label, and text in more than one script.

`scripts.json` (committed, made by `python -m corpusmill.stages.kernels.scripts` from the Unicode data of the library
`regex`) has runs of code points of equal script. Letters are characters of class LETTER; those that several scripts
share (ª, ー) count for none. About 600 MB/s.
"""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.characters import LETTER, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode

SCRIPTS = {  # ISO 15924 code → Unicode's name
    "Latn": "Latin", "Grek": "Greek", "Cyrl": "Cyrillic", "Armn": "Armenian", "Hebr": "Hebrew", "Arab": "Arabic",
    "Syrc": "Syriac", "Thaa": "Thaana", "Deva": "Devanagari", "Beng": "Bengali", "Guru": "Gurmukhi",
    "Gujr": "Gujarati", "Orya": "Oriya", "Taml": "Tamil", "Telu": "Telugu", "Knda": "Kannada", "Mlym": "Malayalam",
    "Sinh": "Sinhala", "Thai": "Thai", "Laoo": "Lao", "Tibt": "Tibetan", "Mymr": "Myanmar", "Geor": "Georgian",
    "Hang": "Hangul", "Ethi": "Ethiopic", "Cher": "Cherokee", "Cans": "Canadian_Aboriginal", "Khmr": "Khmer",
    "Mong": "Mongolian", "Hira": "Hiragana", "Kana": "Katakana", "Bopo": "Bopomofo", "Hani": "Han", "Yiii": "Yi",
    "Tfng": "Tifinagh", "Nkoo": "Nko", "Olck": "Ol_Chiki", "Mtei": "Meetei_Mayek", "Copt": "Coptic",
    "Java": "Javanese", "Sund": "Sundanese", "Bali": "Balinese", "Bugi": "Buginese", "Vaii": "Vai",
    "Adlm": "Adlam", "Tale": "Tai_Le", "Lisu": "Lisu",
}  # fmt: skip
SHARED, OTHER = 0, 1
"""Columns of letters that scripts share, and of scripts that are not in the table; the scripts follow in order."""

FILE = Path(__file__).with_name("scripts.json")
COLUMNS = {code: number for number, code in enumerate(SCRIPTS, start=OTHER + 1)}


@cache
def script_table() -> npt.NDArray[np.uint8]:
    """uint8 [0x110000]: the column of each code point. Read-only."""
    runs = np.array(json.loads(FILE.read_text(encoding="utf-8"))["runs"], dtype=np.int64).reshape(-1, 2)
    table = np.repeat(runs[:, 1].astype(np.uint8), runs[:, 0])
    table.setflags(write=False)
    return table


def letters_by_script(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """int32 [rows, 2 + scripts] of rows of UTF-8."""
    return count_letters(data, offsets, character_classes(), script_table(), len(SCRIPTS) + 2)


@kernel
def count_letters(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    classes: npt.NDArray[np.uint16],
    table: npt.NDArray[np.uint8],
    num_columns: int,
) -> npt.NDArray[np.int32]:
    counts = np.zeros((len(offsets) - 1, num_columns), dtype=np.int32)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            code, size = decode(data, at)
            at += size
            if classes[code] & LETTER:
                counts[row, table[code]] += 1
    return counts


def generate() -> str:
    """The content of `scripts.json`."""
    import regex

    columns = np.full(0x110000, OTHER, dtype=np.uint8)
    everything = "".join(chr(code) if not 0xD800 <= code < 0xE000 else "\0" for code in range(0x110000))
    for name, column in [*((name, COLUMNS[code]) for code, name in SCRIPTS.items()), ("Common", SHARED)]:
        for found in regex.finditer(rf"\p{{Script={name}}}+", everything):
            columns[found.start() : found.end()] = column
    edges = [0, *(np.flatnonzero(np.diff(columns)) + 1).tolist(), len(columns)]
    runs = [[stop - start, int(columns[start])] for start, stop in pairwise(edges)]
    lines = ",\n".join(json.dumps(runs[at : at + 24], separators=(",", ":"))[1:-1] for at in range(0, len(runs), 24))
    return f'{{"regex": "{regex.__version__}", "scripts": {json.dumps(list(SCRIPTS))},\n"runs": [\n{lines}\n]}}\n'


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    offsets = np.array([0, 1])
    offsets.setflags(write=False)
    letters_by_script(np.frombuffer(b"a", dtype=np.uint8), offsets)


if __name__ == "__main__":
    FILE.write_text(generate(), encoding="utf-8")
