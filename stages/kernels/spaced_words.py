"""Words between white space, as `str.split` gives them, and what programs count of those."""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.characters import LETTER, PUNCTUATION, SINGLE, SPACE, WORD, character_classes
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.word_spans import BASE, HAS_LETTER, HAS_TEXT

COUNTS = (
    "words",
    "chars",  # of these
    "median_x2",  # twice the median of their characters: a whole number
    "letter_words",  # with a letter
    "alnum_words",  # that begin with a letter or digit
    "symbol_words",  # with '#' or '…'
    "longest",  # characters
    "spaced_ellipses",  # '. . .' in the row
)

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Classes = npt.NDArray[np.uint16]


@kernel
def find_spaced_words(
    data: Bytes, offsets: Offsets, classes: Classes
) -> tuple[Offsets, Int32s, Int32s, Int32s, Hashes, Bytes]:
    """The same arrays as `find_words` of kernels/word_spans.py."""
    base = offsets[0]
    room = offsets[-1] - base
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
            if kind & SPACE:
                at += size
                continue
            start, value = at, uint64(0)
            seen, lacking, count = 0, 0, 0
            while not kind & SPACE:
                seen, lacking, count = seen | kind, lacking | ~kind, count + 1
                for _ in range(size):
                    value = value * uint64(BASE) + uint64(data[at]) + uint64(1)
                    at += 1
                if at >= stop:
                    break
                code, size = decode(data, at)
                kind = int(classes[code])
            starts[word], num_bytes[word], num_chars[word], hashes[word] = start - base, at - start, count, value
            flags[word] = (HAS_LETTER if seen & LETTER else 0) | (HAS_TEXT if lacking & PUNCTUATION else 0)
            word += 1
        first[row + 1] = word
    return first, starts[:word], num_bytes[:word], num_chars[:word], hashes[:word], flags[:word]


@kernel
def count_spaced_words(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    first: Offsets,
    starts: Int32s,
    num_bytes: Int32s,
    num_chars: Int32s,
    flags: Bytes,
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)] of what `find_spaced_words` found in the same texts."""
    counts = np.zeros((len(first) - 1, 8), dtype=np.int64)
    base = offsets[0]
    for row in range(len(first) - 1):
        count = counts[row]
        count[0] = first[row + 1] - first[row]
        for word in range(first[row], first[row + 1]):
            start, end = starts[word] + base, starts[word] + base + num_bytes[word]
            count[1] += num_chars[word]
            count[3] += flags[word] & HAS_LETTER != 0
            code, _ = decode(data, start)
            count[4] += classes[code] & (WORD | SINGLE) != 0 and code != 0x5F
            symbol = False
            for at in range(start, end):
                ellipsis = data[at] == 0xA6 and at >= start + 2 and data[at - 1] == 0x80 and data[at - 2] == 0xE2
                symbol = symbol or data[at] == 0x23 or ellipsis
            count[5] += symbol
            count[6] = max(count[6], num_chars[word])
        if count[0] > 0:
            lengths = np.sort(num_chars[first[row] : first[row + 1]])
            count[2] = lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]
        at, stop = offsets[row], offsets[row + 1]
        while at + 5 <= stop:
            begins = data[at] == 0x2E and data[at + 1] == 0x20 and data[at + 2] == 0x2E
            found = begins and data[at + 3] == 0x20 and data[at + 4] == 0x2E
            count[7] += found
            at += 5 if found else 1
    return counts


@kernel
def count_runs(data: Bytes, offsets: Offsets, classes: Classes) -> npt.NDArray[np.int64]:
    """int64 [rows, 2]: runs of letters, digits and '_', or of other characters but white space, as NLTK's
    WordPunctTokenizer cuts; those with an ASCII letter."""
    counts = np.zeros((len(offsets) - 1, 2), dtype=np.int64)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        last, lettered = 0, False  # kind of the run: 0 white space, 1 word, 2 other
        while at < stop:
            code, size = decode(data, at)
            kind = int(classes[code])
            now = 0 if kind & SPACE else 1 if kind & (WORD | SINGLE) else 2
            if now != last:
                lettered = False
                counts[row, 0] += now > 0
            if size == 1 and kind & LETTER and not lettered:
                counts[row, 1] += 1
                lettered = True
            last = now
            at += size
    return counts


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a word", dtype=np.uint8), np.array([0, 6])
    offsets.setflags(write=False)
    classes = character_classes()
    first, starts, num_bytes, num_chars, _, flags = find_spaced_words(data, offsets, classes)
    count_spaced_words(data, offsets, classes, first, starts, num_bytes, num_chars, flags)
    count_runs(data, offsets, classes)
