"""DCLM's line edits, applied to whole documents: which lines stay, and what is cut out of them.

Lines are those between line feeds. DCLM edits in steps: each goes over all lines that the last one left and then strips
the text, except the step for short lines, which strips nothing. A line that lost blanks at an end of the text meets the
next step without them, so the steps are kept apart here too.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from corpusmill.stages.kernels.c4_lines import phrase_table
from corpusmill.stages.kernels.characters import DIGIT, SINGLE, SPACE, UPPER, WORD, character_classes
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.lines import num_line_feeds, stripped

COUNTS = (
    "lines",  # read, after runs of line feeds became two
    "uppercase_lines",  # removed: too large a share of capitals
    "numeric_lines",  # removed: nothing but digits
    "counter_lines",  # removed: '3 likes'
    "short_lines",  # removed: too few words, but not empty
    "phrase_lines",  # removed: blank without 'items in cart', 'Read more...', 'Sign-in'
    "blank_lines",  # removed: at an end of the text
    "kept_lines",
    "phrases",  # cut out of short lines
    "line_feeds",  # removed: more than two in a row
    "words",  # before
    "kept_words",
)
LINES, UPPERCASE, NUMERIC, COUNTER, SHORT, PHRASE, BLANK, KEPT, PHRASES, FEEDS, WORDS, KEPT_WORDS = range(12)

UPPERCASE_STEP, NUMERIC_STEP, COUNTER_STEP, SHORT_STEP, ANYWHERE_STEP, SUFFIX_STEP, PREFIX_STEP, NUM_STEPS = range(8)
REMOVED_BY = (UPPERCASE, NUMERIC, COUNTER, SHORT, PHRASE, PHRASE, PHRASE)  # of each step

PHRASE_MAX_WORDS = 10  # longer lines keep their phrases

ALNUM = 4096  # str.isalnum
ANY_DIGIT = 8192  # str.isdigit: DIGIT, and digits of superscripts, circles and the like

CONNECTORS = (0x5F, 0x203F, 0x2040, 0x2054, 0xFE33, 0xFE34, 0xFE4D, 0xFE4E, 0xFE4F, 0xFF3F)  # WORD, but not alnum
OTHER_DIGITS = (
    (0xB2, 0xB3),
    (0xB9, 0xB9),
    (0x1369, 0x1371),
    (0x19DA, 0x19DA),
    (0x2070, 0x2070),
    (0x2074, 0x2079),
    (0x2080, 0x2089),
    (0x2460, 0x2468),
    (0x2474, 0x247C),
    (0x2488, 0x2490),
    (0x24EA, 0x24EA),
    (0x24F5, 0x24FD),
    (0x24FF, 0x24FF),
    (0x2776, 0x277E),
    (0x2780, 0x2788),
    (0x278A, 0x2792),
    (0x10A40, 0x10A43),
    (0x10E60, 0x10E68),
    (0x11052, 0x1105A),
    (0x1F100, 0x1F10A),
)
"""Unicode 14: Numeric_Type=Digit, which is not category Nd."""

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Classes = npt.NDArray[np.uint16]


COUNTED = phrase_table(
    (
        *("likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes"),
        *("downloads", "views", "followers"),
    )
)
ANYWHERE, SUFFIX, PREFIX = phrase_table(("items in cart",)), phrase_table(("read more...",)), phrase_table(("sign-in",))
"""A full stop is any character: DCLM takes its phrases for regular expressions."""
NEVER = phrase_table(())


@cache
def line_classes() -> Classes:
    """uint16 [0x110000]: the character classes with ALNUM and ANY_DIGIT. Read-only."""
    table = character_classes().copy()
    table[(table & (WORD | SINGLE)) != 0] |= ALNUM
    table[list(CONNECTORS)] &= 0xFFFF ^ ALNUM
    table[(table & DIGIT) != 0] |= ANY_DIGIT
    for first, last in OTHER_DIGITS:
        table[first : last + 1] |= ANY_DIGIT
    table.setflags(write=False)
    return table


@kernel
def edit_lines(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    counted: Bytes,
    anywhere: Bytes,
    suffix: Bytes,
    prefix: Bytes,
    max_uppercase: float,
    max_digits: float,
    min_words: int,
    line_feeds: bool,
) -> tuple[Bytes, Offsets, npt.NDArray[np.int64]]:
    """The text left of each row: bytes, offsets [rows + 1]; and counts, int64 [rows, len(COUNTS)].

    An empty phrase table, or a limit of 1 or 0, switches a step off. A document with no line left keeps its text.
    """
    out = np.empty(offsets[-1] - offsets[0], dtype=np.uint8)
    texts = np.zeros(len(offsets), dtype=np.int64)
    counts = np.zeros((len(offsets) - 1, 12), dtype=np.int64)
    room = 1
    for row in range(len(offsets) - 1):
        room = max(room, num_line_feeds(data, offsets[row], offsets[row + 1]) + 1)
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    for row in range(len(offsets) - 1):
        count, begin = counts[row], texts[row]
        stop = begin + offsets[row + 1] - offsets[row]
        out[begin:stop] = data[offsets[row] : offsets[row + 1]]
        num = _cut_lines(out, begin, stop, line_feeds, starts, ends, count)
        count[WORDS] = _num_words(out, begin, stop, classes)
        for step in range(NUM_STEPS):
            kept = 0
            for line in range(num):
                start, end = starts[line], ends[line]
                if start == end:
                    stays = True
                elif step == UPPERCASE_STEP:
                    stays = _share(out, start, end, classes, UPPER) <= max_uppercase
                elif step == NUMERIC_STEP:
                    stays = _share(out, start, end, classes, ANY_DIGIT) <= max_digits
                elif step == COUNTER_STEP:
                    stays = not _is_counter(out, start, end, classes, counted)
                elif step == SHORT_STEP:
                    stays = _has_words(out, start, end, classes, min_words)
                elif len(anywhere) == 0 or _has_words(out, start, end, classes, PHRASE_MAX_WORDS + 1):
                    stays = True
                else:
                    if step == PREFIX_STEP:
                        start, end, cuts = _without_prefix(out, start, end, classes, prefix)
                    elif step == SUFFIX_STEP:
                        start, end, cuts = _without(out, start, end, classes, suffix, True)
                    else:
                        start, end, cuts = _without(out, start, end, classes, anywhere, False)
                    count[PHRASES] += cuts
                    ink_start, ink_end = stripped(out, start, end, classes)
                    stays = ink_start < ink_end
                if stays:
                    starts[kept], ends[kept] = start, end
                    kept += 1
                else:
                    count[REMOVED_BY[step]] += 1
            num = kept if step == SHORT_STEP else _strip(out, kept, starts, ends, classes, count)
        count[KEPT] = num
        written = begin
        for line in range(num):
            if line > 0:
                out[written] = 0x0A
                written += 1
            for position in range(starts[line], ends[line]):
                out[written] = out[position]
                written += 1
        if num == 0:
            out[begin:stop] = data[offsets[row] : offsets[row + 1]]
            written = stop
        else:
            count[KEPT_WORDS] = _num_words(out, begin, written, classes)
        texts[row + 1] = written
    return out[: texts[-1]], texts, counts


@kernel
def _cut_lines(
    out: Bytes, begin: int, stop: int, line_feeds: bool, starts: Offsets, ends: Offsets, count: Offsets
) -> int:
    """Fill `starts` and `ends` (bytes) with the lines, and say how many; of a run of line feeds two count."""
    num, run, start = 0, 0, begin
    for at in range(begin, stop):
        if out[at] != 0x0A:
            run = 0
            continue
        run += 1
        if line_feeds and run > 2:
            count[FEEDS] += 1
        else:
            starts[num], ends[num] = start, at
            num += 1
        start = at + 1
    starts[num], ends[num] = start, stop
    count[LINES] = num + 1
    return num + 1


@kernel
def _strip(out: Bytes, num: int, starts: Offsets, ends: Offsets, classes: Classes, count: Offsets) -> int:
    """Take white space from both ends of the text, with lines that are nothing else; the number of lines left."""
    first, given = 0, num
    while first < num:
        starts[first], end = stripped(out, starts[first], ends[first], classes)
        if starts[first] < end:
            break
        first += 1
    while num > first:
        start, ends[num - 1] = stripped(out, starts[num - 1], ends[num - 1], classes)
        if start < ends[num - 1]:
            break
        num -= 1
    left = num - first
    count[BLANK] += given - left
    for line in range(left):
        starts[line], ends[line] = starts[line + first], ends[line + first]
    return left


@kernel
def _share(out: Bytes, start: int, end: int, classes: Classes, wanted: int) -> float:
    """Characters of a class in all characters of a line that is not empty."""
    found, chars, at = 0, 0, start
    while at < end:
        code, size = decode(out, at)
        found += int(classes[code]) & wanted != 0
        chars += 1
        at += size
    return found / chars


@kernel
def _num_words(out: Bytes, start: int, end: int, classes: Classes) -> int:
    """fastText's words that begin with a letter or number: what separates them is ASCII white space or a zero byte."""
    words, between = 0, True
    for at in range(start, end):
        byte = out[at]
        if byte == 0x20 or 0x09 <= byte <= 0x0D or byte == 0:
            between = True
        elif between:
            code, _ = decode(out, at)
            words += int(classes[code]) & ALNUM != 0
            between = False
    return words


@kernel
def _has_words(out: Bytes, start: int, end: int, classes: Classes, wanted: int) -> bool:
    """Whether a line has so many words of `str.split`, or more."""
    words, between, at = 0, True, start
    while at < end and words < wanted:
        code, size = decode(out, at)
        blank = int(classes[code]) & SPACE != 0
        words += between and not blank
        between = blank
        at += size
    return words >= wanted


@inlined
def _lower(code: int, folds: bool) -> int:
    """Lower case as `str.lower` has it, where that is ASCII. `folds` as re.IGNORECASE does: ı and İ are i, ſ is s."""
    if 0x41 <= code <= 0x5A:
        code += 0x20
    elif code == 0x212A:
        code = 0x6B
    elif folds and code == 0x17F:
        code = 0x73
    elif folds and (code == 0x130 or code == 0x131):
        code = 0x69
    return code


@kernel
def _is_counter(out: Bytes, start: int, end: int, classes: Classes, counted: Bytes) -> bool:
    """A number, perhaps with K, M or B, blanks and a word of `counted`; around them neither letters nor numbers."""
    at, code, size = start, 0, 0
    while at < end:  # what is no word character
        code, size = decode(out, at)
        if int(classes[code]) & ALNUM or code == 0x5F:
            break
        at += size
    if at == end or not int(classes[code]) & DIGIT:
        return False
    while at < end:
        code, size = decode(out, at)
        if not (int(classes[code]) & DIGIT or code == 0x2C or code == 0x2E):
            break
        at += size
    if at < end:
        lower = _lower(code, False)
        if lower == 0x6B or lower == 0x6D or lower == 0x62:
            at += size
    blanks = at
    while at < end:
        code, size = decode(out, at)
        if not int(classes[code]) & SPACE:
            break
        at += size
    if at == blanks:
        return False
    at = _match(out, at, end, counted, False)
    if at < 0:
        return False
    while at < end:
        code, size = decode(out, at)
        if int(classes[code]) & ALNUM or code == 0x5F:
            return False
        at += size
    return True


@kernel
def _match(out: Bytes, start: int, end: int, words: Bytes, folds: bool) -> int:
    """End of the first word of a table that stands at byte `start`, in any case; -1 if none does."""
    position, at = 0, start
    while position < len(words):
        if words[position] == 0:
            return at
        matched = False
        if at < end:
            code, size = decode(out, at)
            matched = words[position] == 0x2E or _lower(code, folds) == words[position]
        if matched:
            at += size
            position += 1
        else:
            while words[position] != 0:
                position += 1
            position, at = position + 1, start
    return -1


@kernel
def _without(out: Bytes, start: int, end: int, classes: Classes, phrase: Bytes, last: bool) -> tuple[int, int, int]:
    """Cut a phrase with the blank before it wherever it stands, or only where the line ends with it: start and end of
    the line, number of cuts."""
    at, to, cuts = start, start, 0
    while at < end:
        code, size = decode(out, at)
        begins, after = at + size if int(classes[code]) & SPACE else at, -1
        if begins < end and (out[begins] | 0x20 == phrase[0] or out[begins] >= 0x80):  # spares nearly all comparisons
            after = _match(out, begins, end, phrase, True)
        if after >= 0 and (after == end or not last):
            at, cuts = after, cuts + 1
            continue
        for _ in range(size):
            out[to] = out[at]
            to, at = to + 1, at + 1
    return start, to, cuts


@kernel
def _without_prefix(out: Bytes, start: int, end: int, classes: Classes, phrase: Bytes) -> tuple[int, int, int]:
    """Cut a phrase that the line begins with, and the blank behind it: start and end of the line, number of cuts."""
    after = _match(out, start, end, phrase, True)
    if after < 0:
        return start, end, 0
    if after < end:
        code, size = decode(out, after)
        if int(classes[code]) & SPACE:
            after += size
    return after, end, 1


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"Two words.\n3 likes", dtype=np.uint8), np.array([0, 18])
    offsets.setflags(write=False)
    edit_lines(data, offsets, line_classes(), COUNTED, ANYWHERE, SUFFIX, PREFIX, 0.5, 0.999_999, 2, True)
