"""The lines of texts between line feeds: where each is, how long, its hash; found once and shared by all measures.

One pass reads eight bytes at a time, so it costs a fraction of what a pass over characters does. Every row has one
line more than line feeds, as `str.split("\\n")` gives: an empty row has one empty line. A line's *ink* is what is left
of it without white space at its ends; a blank line has none.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.characters import SPACE, TERMINAL, character_classes
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode, mix
from corpusmill.stages.kernels.unaligned import load8

BLANK = 1  # no ink
ENDS_SENTENCE = 2  # the last character, white space or not, is of class TERMINAL

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Classes = npt.NDArray[np.uint16]

FACTOR = 0x9E3779B97F4A7C15
ONES, HIGHS, LINE_FEEDS = 0x0101010101010101, 0x8080808080808080, 0x0A0A0A0A0A0A0A0A


@inlined
def num_line_feeds(data: Bytes, start: int, stop: int) -> int:
    """Line feeds in bytes [start, stop)."""
    count = 0
    for at in range(start, stop):
        count += data[at] == 0x0A
    return count


@kernel
def hash_span(data: Bytes, start: int, stop: int) -> tuple[np.uint64, int]:
    """Hash of bytes [start, stop), and how many characters they are."""
    value, end, chars = hash_to_line_feed(data, start, stop)
    while end < stop:  # line feeds inside
        more, after, count = hash_to_line_feed(data, end + 1, stop)
        value = mix(value ^ (more * uint64(FACTOR)))
        chars += count + 1
        end = after
    return value, chars


@inlined
def hash_to_line_feed(data: Bytes, at: int, stop: int) -> tuple[np.uint64, int, int]:
    """Of the bytes up to the next line feed or `stop`: hash, their end, how many characters."""
    value, start, chars = uint64(0), at, 0
    while at + 8 <= stop:
        eight = load8(data, at)
        marked = eight ^ uint64(LINE_FEEDS)
        if (marked - uint64(ONES)) & ~marked & uint64(HIGHS) != uint64(0):
            break
        following = eight & ~(eight << uint64(1)) & uint64(HIGHS)  # the high bit set, the next one not
        chars += 8 - int(((following >> uint64(7)) * uint64(ONES)) >> uint64(56))
        value = (value ^ eight) * uint64(FACTOR)
        value ^= value >> uint64(29)
        at += 8
    while at < stop and data[at] != 0x0A:
        value = (value ^ uint64(data[at])) * uint64(FACTOR)
        value ^= value >> uint64(29)
        chars += data[at] & 0xC0 != 0x80
        at += 1
    return mix(value + uint64(at - start)), at, chars


@kernel
def find_lines(
    data: Bytes, offsets: Offsets, classes: Classes
) -> tuple[Offsets, Int32s, Int32s, Int32s, Int32s, Int32s, Int32s, Hashes, Hashes, Bytes]:
    """first [rows + 1] line of each row, and of each line: start, end, start and end of its ink (bytes from the batch's
    first byte), characters, characters of the ink, hash, hash of the ink, the flags above."""
    base = offsets[0]
    room = num_line_feeds(data, base, offsets[-1]) + len(offsets) - 1
    first = np.zeros(len(offsets), dtype=np.int64)
    starts, ends = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    ink_starts, ink_ends = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    num_chars, ink_chars = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    hashes, ink_hashes = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.uint64)
    flags = np.zeros(room, dtype=np.uint8)
    line = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while True:
            value, end, chars = hash_to_line_feed(data, at, stop)
            ink_start, ink_end = stripped(data, at, end, classes)
            if ink_start == at and ink_end == end:
                ink_value, inked = value, chars
            else:
                ink_value, inked = hash_span(data, ink_start, ink_end)
            starts[line], ends[line] = at - base, end - base
            ink_starts[line], ink_ends[line] = ink_start - base, ink_end - base
            num_chars[line], ink_chars[line], hashes[line], ink_hashes[line] = chars, inked, value, ink_value
            flags[line] = (BLANK if ink_start == ink_end else 0) | (
                ENDS_SENTENCE if last_class(data, at, end, classes) & TERMINAL else 0
            )
            line += 1
            if end == stop:
                break
            at = end + 1
        first[row + 1] = line
    return first, starts, ends, ink_starts, ink_ends, num_chars, ink_chars, hashes, ink_hashes, flags


@inlined
def last_class(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The classes of the last character of bytes [start, end), 0 where there is none."""
    if start == end:
        return 0
    at = end - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    code, _ = decode(data, at)
    return int(classes[code])


@kernel
def stripped(data: Bytes, at: int, stop: int, classes: npt.NDArray[np.uint16]) -> tuple[int, int]:
    """The bytes [at, stop) without white space at both ends."""
    while at < stop:
        code, size = decode(data, at)
        if not classes[code] & SPACE:
            break
        at += size
    while stop > at:
        last = stop - 1
        while data[last] & 0xC0 == 0x80:
            last -= 1
        code, _ = decode(data, last)
        if not classes[code] & SPACE:
            break
        stop = last
    return at, stop


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a\n\na", dtype=np.uint8), np.array([0, 4])
    offsets.setflags(write=False)
    find_lines(data, offsets, character_classes())
