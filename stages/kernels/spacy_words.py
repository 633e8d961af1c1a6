"""English words as spaCy cuts them, and so as datatrove's English filters count them: its rules, compiled.

A chunk between white space is cut by `cut_chunk` into the tokens that spaCy's tokenizer gives for it alone (tables:
kernels/spacy_english.py): affixes are split off from both ends, special cases stop that, an address stays whole, what
is left is cut at infixes, and last, neighbouring tokens that make a special case together become it. Nineteen of twenty
chunks of running text were seen before in the batch: a table from the chunk's hash to its tokens answers for those.

Two things are not repeated: special cases across white space (there are none in the table), and digits of other
scripts in IP addresses and ports.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.characters import LETTER, PUNCTUATION, SPACE, character_classes
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hashing import decode, mix
from corpusmill.stages.kernels.spacy_chunks import cut_chunk
from corpusmill.stages.kernels.spacy_english import PUNCTUATION as IS_PUNCTUATION
from corpusmill.stages.kernels.spacy_english import SENTENCE_END, SpacyTables, spacy_tables
from corpusmill.stages.kernels.word_spans import BASE, ENDS_SENTENCE, HAS_LETTER, HAS_TEXT, ONLY_PUNCTUATION

FACTOR = 0x9E3779B97F4A7C15
MAX_KNOWN = 1 << 17
"""Different chunks of a batch whose tokens are kept: 16 MiB at most, of which only what is used is ever touched."""

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Classes = npt.NDArray[np.uint16]


def find_spacy_words(data: Bytes, offsets: Offsets) -> tuple[Offsets, Int32s, Int32s, Int32s, Hashes, Bytes]:
    """The same arrays as `find_words` of kernels/word_spans.py; flags have ENDS_SENTENCE and ONLY_PUNCTUATION too."""
    found: tuple[Offsets, Int32s, Int32s, Int32s, Hashes, Bytes] = _find(
        data, offsets, character_classes(), spacy_tables()
    )
    return found


@kernel
def _find(
    data: Bytes, offsets: Offsets, classes: Classes, tables: SpacyTables
) -> tuple[Offsets, Int32s, Int32s, Int32s, Hashes, Bytes]:
    base = offsets[0]
    room = offsets[-1] - base
    first = np.zeros(len(offsets), dtype=np.int64)
    starts, num_bytes = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    num_chars, flags = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.uint8)
    hashes = np.empty(room, dtype=np.uint64)
    codes, places = np.empty(64, dtype=np.int32), np.empty(65, dtype=np.int64)  # of the chunk's characters
    ends, spare = np.empty(64, dtype=np.int32), np.empty(64, dtype=np.int32)  # of its tokens, in characters
    known = np.zeros((2 * MAX_KNOWN, 2), dtype=np.uint64)  # hash of a chunk; its first token << 32 | tokens
    kept = np.empty((4 * MAX_KNOWN, 2), dtype=np.uint64)  # hash of a token; bytes << 32 | characters << 8 | flags
    num_known, num_kept = 0, 0
    word = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            start, at, value = _next_chunk(data, at, stop, classes)
            if start == at:
                break
            slot = int(np.int64(value >> uint64(40))) & (len(known) - 1)
            while known[slot, 0] != uint64(0) and known[slot, 0] != value:
                slot = (slot + 1) & (len(known) - 1)
            if known[slot, 0] == value:
                begin = start - base
                source = int(np.int64(known[slot, 1] >> uint64(32)))
                for index in range(source, source + int(np.int64(known[slot, 1] & uint64(0xFFFFFFFF)))):
                    described = int(np.int64(kept[index, 1]))  # unsigned and signed together are a float
                    size = described >> 32
                    starts[word], num_bytes[word] = begin, size
                    num_chars[word] = described >> 8 & 0xFFFFFF
                    hashes[word], flags[word] = kept[index, 0], described & 0xFF
                    begin += size
                    word += 1
                continue
            if at - start > len(codes):
                codes, places = np.empty(2 * (at - start), np.int32), np.empty(2 * (at - start) + 1, np.int64)
                ends, spare = np.empty(2 * (at - start), np.int32), np.empty(2 * (at - start), np.int32)
            num_codes, position = 0, start
            while position < at:
                code, size = decode(data, position)
                codes[num_codes], places[num_codes] = code, position
                num_codes, position = num_codes + 1, position + size
            places[num_codes] = at
            tokens = cut_chunk(codes[:num_codes], tables, ends, spare)
            remember = num_known < MAX_KNOWN and num_kept + tokens <= len(kept) and at - start < 256
            if remember:
                known[slot, 0] = value
                known[slot, 1] = uint64(num_kept) << uint64(32) | uint64(tokens)
                num_known += 1
            begin_code = 0
            for token in range(tokens):
                begin, end = places[begin_code], places[ends[token]]
                starts[word], num_bytes[word], num_chars[word] = begin - base, end - begin, ends[token] - begin_code
                hashes[word] = _hash(data, begin, end)
                flags[word] = _describe(codes, begin_code, ends[token], classes, tables.classes)
                if remember:
                    kept[num_kept, 0] = hashes[word]
                    sizes = uint64(num_bytes[word]) << uint64(32) | uint64(num_chars[word]) << uint64(8)
                    kept[num_kept, 1] = sizes | uint64(flags[word])
                    num_kept += 1
                begin_code = ends[token]
                word += 1
        first[row + 1] = word
    return first, starts[:word], num_bytes[:word], num_chars[:word], hashes[:word], flags[:word]


@inlined
def _next_chunk(data: Bytes, at: int, stop: int, classes: Classes) -> tuple[int, int, np.uint64]:
    """First byte, end and hash of the next chunk in bytes [at, stop); (stop, stop, 1) where there is none."""
    while at < stop:
        code, size = decode(data, at)
        if not classes[code] & SPACE:
            break
        at += size
    start, value = at, uint64(0)
    while at < stop:
        code, size = int(data[at]), 1
        if code >= 0x80:
            code, size = decode(data, at)
        if (code <= 0x20 or code >= 0x80) and classes[code] & SPACE:
            break
        value = (value ^ uint64(code)) * uint64(FACTOR)
        value ^= value >> uint64(29)
        at += size
    return start, at, max(mix(value + uint64(at - start)), uint64(1))


@inlined
def _hash(data: Bytes, start: int, end: int) -> np.uint64:
    value = uint64(0)
    for at in range(start, end):
        value = value * uint64(BASE) + uint64(data[at]) + uint64(1)
    return value


@inlined
def _describe(codes: Int32s, start: int, end: int, classes: Classes, spacy_classes: Classes) -> int:
    """The flags of characters [start, end)."""
    seen, lacking, other = 0, 0, False
    for index in range(start, end):
        kind = int(classes[codes[index]])
        seen, lacking = seen | kind, lacking | ~kind
        other = other or not spacy_classes[codes[index]] & IS_PUNCTUATION
    ends = end == start + 1 and spacy_classes[codes[start]] & SENTENCE_END
    return (
        (HAS_LETTER if seen & LETTER else 0)
        | (HAS_TEXT if lacking & PUNCTUATION else 0)
        | (0 if other else ONLY_PUNCTUATION)
        | (ENDS_SENTENCE if ends else 0)
    )


@kernel
def count_spacy_sentences(
    data: Bytes, offsets: Offsets, first: Offsets, starts: Int32s, num_bytes: Int32s, flags: Bytes
) -> npt.NDArray[np.int64]:
    """int64 [rows]: sentences of each line as spaCy's sentencizer finds them, added up; from words of the same texts.

    A sentence begins with the first token behind a mark of its list that is neither such a mark nor punctuation. White
    space is a token too, but for one blank behind another token; one of nothing else does not count.
    """
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    base = offsets[0]
    for row in range(len(offsets) - 1):
        end, open_sentence, seen_mark = offsets[row], False, False
        for word in range(first[row], first[row + 1]):
            start = starts[word] + base
            for at in range(end, start):
                if data[at] == 0x0A:  # another line
                    open_sentence, seen_mark, end = False, False, at + 1
            blank = start - end > 1 or (start > end and data[end] != 0x20)  # a token of white space stands between
            kind = flags[word]
            if not open_sentence:
                open_sentence, seen_mark = True, False
                counts[row] += 1
            elif seen_mark and (blank or not kind & (ENDS_SENTENCE | ONLY_PUNCTUATION)):
                counts[row] += 1
                seen_mark = False
            if kind & ENDS_SENTENCE:
                seen_mark = True
            end = start + num_bytes[word]
    return counts


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"A word.", dtype=np.uint8), np.array([0, 7])
    offsets.setflags(write=False)
    first, starts, num_bytes, _, _, flags = find_spacy_words(data, offsets)
    count_spacy_sentences(data, offsets, first, starts, num_bytes, flags)
