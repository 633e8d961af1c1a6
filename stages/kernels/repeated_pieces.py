"""Lines and paragraphs that a document says again, from the lines that kernels/lines.py found.

Programs differ in what a piece is and which copies count, so a piece is cut in one of four ways, and both ways of
counting are given: copies after the first (datatrove), and all copies of what occurs more than once (Dolma, DCLM).
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.characters import character_classes
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hash_table import find_slot, table_mask
from corpusmill.stages.kernels.hashing import mix
from corpusmill.stages.kernels.lines import BLANK, FACTOR, find_lines, hash_span

COUNTS = (
    "pieces",
    "chars",  # of all pieces
    "later",  # copies of a piece that stood before in the row
    "later_chars",
    "copies",  # all copies, the first too, of what occurs more than once
    "copied_chars",
)

RUNS = 0  # between runs of line feeds, so one that begins or ends a text leaves an empty piece: re.split("\n+", text)
INK = 1  # lines that are not blank, without the white space at their ends
FULL = 2  # lines that are not blank, as they are
PARAGRAPHS = 3  # between blank lines of no character, text without white space at its ends: re.split("\n{2,}", strip)
INK_PARAGRAPHS = 4  # the same, each without white space at its ends, and none that is blank
ALL = 6  # every line, empty ones too
PAIRS = 5  # between pairs of line feeds, empty ones too: text.split("\n\n")

Bytes = npt.NDArray[np.uint8]
Int32s = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]


@kernel
def count_repeated_pieces(
    data: Bytes,
    first: npt.NDArray[np.int64],
    starts: Int32s,
    ends: Int32s,
    ink_starts: Int32s,
    ink_ends: Int32s,
    num_chars: Int32s,
    ink_chars: Int32s,
    hashes: Hashes,
    ink_hashes: Hashes,
    flags: Bytes,
    cut: int,
) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)]; `data` begins at the batch's first byte, the rest is what `find_lines` gives."""
    counts = np.zeros((len(first) - 1, 6), dtype=np.int64)
    most = 0
    for row in range(len(first) - 1):
        most = max(most, first[row + 1] - first[row])
    table = np.empty(table_mask(most) + 1, dtype=np.uint64)
    times = np.empty(len(table), dtype=np.int32)
    for row in range(len(first) - 1):
        begin, end = first[row], first[row + 1]
        mask = table_mask(end - begin)
        table[: mask + 1] = 0
        count = counts[row]
        if cut in (INK, FULL):
            for line in range(begin, end):
                if not flags[line] & BLANK:
                    value = ink_hashes[line] if cut == INK else hashes[line]
                    _count(count, table, times, mask, value, ink_chars[line] if cut == INK else num_chars[line])
        elif cut in (RUNS, ALL):
            for line in range(begin, end):
                if cut == ALL or num_chars[line] > 0 or line == begin or line == end - 1:
                    _count(count, table, times, mask, hashes[line], num_chars[line])
        elif cut == PAIRS:
            line = begin
            while line < end:
                value, chars, after = _pair_piece(line, end, num_chars, hashes)
                _count(count, table, times, mask, value, chars)
                line = after
        else:
            if cut == PARAGRAPHS:
                begin, end = _ink(begin, end, flags)
                if begin == end:
                    count[0] = 1  # of an empty text
            line = begin
            while line < end:
                last = line
                while last < end and num_chars[last] > 0:
                    last += 1
                low, high = _ink(line, last, flags) if cut == INK_PARAGRAPHS else (line, last)
                if low < high:
                    start = ink_starts[low] if cut == INK_PARAGRAPHS or low == begin else starts[low]
                    stop = ink_ends[high - 1] if cut == INK_PARAGRAPHS or high == end else ends[high - 1]
                    value, chars = hash_span(data, start, stop)
                    _count(count, table, times, mask, value, chars)
                line = last + 1
    return counts


@inlined
def _ink(line: int, end: int, flags: Bytes) -> tuple[int, int]:
    """Lines [line, end) without those at both ends that are blank."""
    while end > line and flags[end - 1] & BLANK:
        end -= 1
    while line < end and flags[line] & BLANK:
        line += 1
    return line, end


@inlined
def _pair_piece(line: int, end: int, num_chars: Int32s, hashes: Hashes) -> tuple[np.uint64, int, int]:
    """The piece that begins with a line, up to a pair of line feeds: hash, characters, the line that follows it."""
    value, chars = hashes[line], int(num_chars[line])
    while line + 1 < end:
        if num_chars[line + 1] == 0 and line + 2 < end:  # a line feed, nothing, a line feed
            return value, chars, line + 2
        line += 1
        value = mix(value ^ (hashes[line] * uint64(FACTOR)))
        chars += 1 + num_chars[line]
    return value, chars, end


@inlined
def _count(count: npt.NDArray[np.int64], table: Hashes, times: Int32s, mask: int, value: np.uint64, chars: int) -> None:
    key = max(value, uint64(1))
    slot = find_slot(table, mask, key)
    count[0] += 1
    count[1] += chars
    if table[slot] == key:
        count[2] += 1
        count[3] += chars
        first_too = 1 if times[slot] == 1 else 0
        count[4] += 1 + first_too
        count[5] += chars * (1 + first_too)
        times[slot] += 1
    else:
        table[slot], times[slot] = key, 1


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a\n\na", dtype=np.uint8), np.array([0, 4])
    offsets.setflags(write=False)
    count_repeated_pieces(data, *find_lines(data, offsets, character_classes()), RUNS)
