"""C4's line rules, applied to whole documents: which lines stay, and the text that is left of them.

Lines are those of `str.splitlines`, stripped; words those of `str.split`. The rules stand in the order of datatrove's
C4QualityFilter: a line counts under the first rule that removes it, and some rules end the document there and then.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.characters import DIGIT, LINE_END, SPACE, character_classes
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode
from corpusmill.stages.kernels.lines import HIGHS, ONES, stripped
from corpusmill.stages.kernels.unaligned import load8, store8

COUNTS = (
    "lines",  # read, up to and with the one that ends the document
    "long_word_lines",  # removed: a word is too long
    "non_terminal_lines",  # removed: does not end in . ? ! " or ', or ends in '...'
    "short_lines",  # removed: too few words
    "lorem_ipsum",  # 1: a line says it, and the document ends there
    "javascript_lines",  # removed: say javascript
    "curly_brackets",  # 1: a line has '{', and the document ends there
    "policy_lines",  # removed: speak of cookies, terms of use, privacy policy
    "kept_lines",
    "citations",  # [1], [edit] and [citation needed], removed from kept lines
)

BRACKETS = 0x5B5B5B5B5B5B5B5B  # eight '['

SAYS_LOREM_IPSUM, SAYS_JAVASCRIPT, SAYS_POLICY, HAS_BRACKET = 1, 2, 4, 8

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Classes = npt.NDArray[np.uint16]


def phrase_table(phrases: tuple[str, ...]) -> Bytes:
    """Lower-case ASCII phrases as bytes, each with a zero byte behind it."""
    table = np.frombuffer("".join(f"{phrase}\0" for phrase in phrases).encode(), dtype=np.uint8)
    table.setflags(write=False)
    return table


MARKS = phrase_table(("[edit]", "[citation needed]"))
LOREM_IPSUM = phrase_table(("lorem ipsum",))
JAVASCRIPT = phrase_table(("javascript",))
POLICY = phrase_table(
    ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
)
NEVER = phrase_table(())


@kernel
def keep_lines(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    marks: Bytes,
    lorem_ipsum: Bytes,
    javascript: Bytes,
    policy: Bytes,
    max_word_chars: int,
    min_line_words: int,
    terminal: bool,
    curly: bool,
) -> tuple[Bytes, Offsets, npt.NDArray[np.int64]]:
    """The text left of each row: bytes, offsets [rows + 1]; and counts, int64 [rows, len(COUNTS)].

    `marks` and phrases are phrase tables, empty to switch a rule off, and a limit of -1 is none. A document that was
    ended, or of which no line is left, keeps its text.
    """
    out = np.empty(offsets[-1] - offsets[0] + 9, dtype=np.uint8)
    texts = np.zeros(len(offsets), dtype=np.int64)
    counts = np.zeros((len(offsets) - 1, 10), dtype=np.int64)
    heads = np.zeros(1 << 15, dtype=np.bool_)
    for phrases in (lorem_ipsum, javascript, policy):
        _note_heads(phrases, heads)
    for row in range(len(offsets) - 1):
        count = counts[row]
        begin = texts[row]
        written, at, stop, ended = begin, offsets[row], offsets[row + 1], False
        while at < stop and not ended:
            start, end, at, words, longest = _next_line(data, at, stop, classes)
            count[0] += 1
            line = written if count[8] == 0 else written + 1  # behind a line feed
            if max_word_chars >= 0 and longest > max_word_chars:
                count[1] += 1
                continue
            line_end, citations = _copy_without_marks(data, start, end, classes, marks, out, line)
            ends = not terminal or _ends_a_sentence(out, line, line_end)
            said = 0
            if ends and words >= min_line_words:
                said = _scan(out, line, line_end, lorem_ipsum, javascript, policy, heads)
            if not ends:
                count[2] += 1
            elif words < min_line_words:
                count[3] += 1
            elif said & SAYS_LOREM_IPSUM:
                count[4] = 1
                ended = True
            elif said & SAYS_JAVASCRIPT:
                count[5] += 1
            elif curly and said & HAS_BRACKET:
                count[6] = 1
                ended = True
            elif said & SAYS_POLICY:
                count[7] += 1
            else:
                if count[8] > 0:
                    out[written] = 0x0A
                count[8] += 1
                count[9] += citations
                written = line_end
        if ended or count[8] == 0:
            written = begin + stop - offsets[row]
            out[begin:written] = data[offsets[row] : stop]
        else:
            first, last = stripped(out, begin, written, classes)
            if first > begin:
                for position in range(first, last):
                    out[begin + position - first] = out[position]
            written = begin + last - first
        texts[row + 1] = written
    return out[: texts[-1]], texts, counts


@kernel
def _next_line(data: Bytes, at: int, stop: int, classes: Classes) -> tuple[int, int, int, int, int]:
    """The line at byte `at`: first byte and end without white space at its ends, where the next line begins, its words,
    the characters of its longest word."""
    start, end, words, longest, word = -1, at, 0, 0, 0
    while at < stop:
        if 0x20 < data[at] < 0x80:
            begin = at
            while at < stop and 0x20 < data[at] < 0x80:
                at += 1
            words += word == 0
            word += at - begin
            longest = max(longest, word)
            start = begin if start < 0 else start
            end = at
            continue
        code, size = decode(data, at)
        kind = int(classes[code])
        at += size
        if kind & SPACE:
            word = 0
            if kind & LINE_END:
                if code == 0x0D and at < stop and data[at] == 0x0A:
                    at += 1
                break
        else:
            if word == 0:
                words += 1
            word += 1
            longest = max(longest, word)
            start = at - size if start < 0 else start
            end = at
    return (start, end, at, words, longest) if start >= 0 else (end, end, at, words, longest)


@kernel
def _copy_without_marks(
    data: Bytes, at: int, end: int, classes: Classes, marks: Bytes, out: Bytes, to: int
) -> tuple[int, int]:
    """Copy bytes [at, end) to out[to:] without citation marks; the end of the copy, and the number of marks."""
    num_marks, brackets, after = 0, uint64(0), to + end - at
    copied, target = at, to
    while copied < end and copied + 8 <= len(data):  # bytes written too many are written over later
        eight = load8(data, copied)
        store8(out, target, eight)
        marked = eight ^ uint64(BRACKETS)
        brackets |= (marked - uint64(ONES)) & ~marked & uint64(HIGHS)
        copied, target = copied + 8, target + 8
    while copied < end:
        out[target] = data[copied]
        brackets |= uint64(data[copied] == 0x5B)
        copied, target = copied + 1, target + 1
    if brackets == uint64(0) or len(marks) == 0:
        return after, 0
    while at < end:
        if data[at] == 0x5B:
            after = at + 1
            while after < end:
                code, size = decode(data, after)
                if not classes[code] & DIGIT:
                    break
                after += size
            if after < end and data[after] == 0x5D:
                at, num_marks = after + 1, num_marks + 1
                continue
            length = phrase_at(data, at, end, marks, False)
            if length > 0:
                at, num_marks = at + length, num_marks + 1
                continue
        out[to] = data[at]
        to, at = to + 1, at + 1
    return to, num_marks


@inlined
def _ends_a_sentence(line: Bytes, start: int, end: int) -> bool:
    ends = False
    if end > start:
        last = line[end - 1]
        ends = last == 0x2E or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27
        if end - start >= 3 and last == 0x2E and line[end - 2] == 0x2E and line[end - 3] == 0x2E:
            ends = False
    return ends


@kernel
def _note_heads(phrases: Bytes, heads: npt.NDArray[np.bool_]) -> None:
    """Mark the first three letters of every phrase, in either case; other bytes may share their mark."""
    begins = True
    for position in range(len(phrases) - 2):
        if begins:
            first, second = int(phrases[position]) & 31, int(phrases[position + 1]) & 31
            heads[first << 10 | second << 5 | int(phrases[position + 2]) & 31] = True
        begins = phrases[position] == 0


@kernel
def _scan(
    line: Bytes,
    start: int,
    end: int,
    lorem_ipsum: Bytes,
    javascript: Bytes,
    policy: Bytes,
    heads: npt.NDArray[np.bool_],
) -> int:
    """What the line says, in any case: the sum of SAYS_LOREM_IPSUM, SAYS_JAVASCRIPT, SAYS_POLICY and HAS_BRACKET."""
    said, letters = 0, 0
    for position in range(start, end):
        byte = int(line[position])
        letters = (letters << 5 | byte & 31) & 0x7FFF  # of the last three bytes
        if byte == 0x7B:
            said |= HAS_BRACKET
        if heads[letters] and position >= start + 2:
            if phrase_at(line, position - 2, end, lorem_ipsum, True) > 0:
                said |= SAYS_LOREM_IPSUM
            if phrase_at(line, position - 2, end, javascript, True) > 0:
                said |= SAYS_JAVASCRIPT
            if phrase_at(line, position - 2, end, policy, True) > 0:
                said |= SAYS_POLICY
    return said


@kernel
def phrase_at(line: Bytes, at: int, end: int, phrases: Bytes, any_case: bool) -> int:
    """Bytes of the phrase that begins at byte `at`, 0 if none does. A Kelvin sign is a k in any case (str.lower)."""
    position, here = 0, at
    while position < len(phrases):
        wanted = phrases[position]
        if wanted == 0:
            return here - at
        matched = 0
        if here < end:
            byte = line[here]
            if byte == wanted or (any_case and 0x41 <= byte <= 0x5A and byte + 0x20 == wanted):
                matched = 1
            elif any_case and wanted == 0x6B and byte == 0xE2 and line[here + 1] == 0x84 and line[here + 2] == 0xAA:
                matched = 3
        if matched > 0:
            here += matched
            position += 1
        else:
            while phrases[position] != 0:
                position += 1
            position, here = position + 1, at
    return 0


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a [1] line.", dtype=np.uint8), np.array([0, 11])
    offsets.setflags(write=False)
    keep_lines(data, offsets, character_classes(), MARKS, LOREM_IPSUM, JAVASCRIPT, POLICY, 1000, 3, True, True)
