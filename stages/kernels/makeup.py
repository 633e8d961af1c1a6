"""What a text is made of beside words: addresses, brackets, boilerplate phrases; how evenly its words are spread."""

import math

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.c4_lines import LOREM_IPSUM, phrase_at, phrase_table
from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.hash_table import find_slot, table_mask

COUNTS = (
    "urls",  # http:// or https:// and what may follow in an address
    "url_chars",
    "brackets",  # ( ) [ ] { } ⟨ ⟩
    "plain_chars",  # ASCII letters and digits, line feeds, ? ! , .
    "white_chars",  # blanks, tabs, line feeds, carriage returns, backspaces
    "lorem_ipsum",  # how often the phrase stands there
    "policy_phrases",  # phrases about cookies, terms of use, privacy policies
    "paragraphs",  # between pairs of line feeds
    "policy_paragraphs",  # of these: with such a phrase
)

POLICY_PHRASES = phrase_table(
    (
        *("terms of use", "privacy policy", "cookie policy", "uses cookies", "privacy overview", "use of cookies"),
        *("use cookies", "privacy & cookies policy", "privacy and cookies policy"),
    )
)

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]


@kernel
def count_composition(data: Bytes, offsets: Offsets, policy: Bytes, lorem_ipsum: Bytes) -> npt.NDArray[np.int64]:
    """int64 [rows, len(COUNTS)]; the last two are phrase tables of kernels/c4_lines.py."""
    counts = np.zeros((len(offsets) - 1, 9), dtype=np.int64)
    for row in range(len(offsets) - 1):
        count = counts[row]
        at, stop = offsets[row], offsets[row + 1]
        url_end, phrases_before, feeds = at, 0, 0
        count[7] = 1
        while at < stop:
            byte = data[at]
            if byte == 0x68 and at >= url_end:
                url_end = _url_end(data, at, stop)
                if url_end > at:
                    count[0] += 1
                    count[1] += url_end - at
            lower = byte | 0x20
            letter = 0x61 <= lower <= 0x7A
            if letter:
                count[3] += 1
                if lower == 0x6C:
                    count[5] += phrase_at(data, at, stop, lorem_ipsum, True) > 0
                elif lower == 0x74 or lower == 0x70 or lower == 0x63 or lower == 0x75:
                    count[6] += phrase_at(data, at, stop, policy, True) > 0
            elif 0x30 <= byte <= 0x39 or byte == 0x3F or byte == 0x21 or byte == 0x2C or byte == 0x2E:
                count[3] += 1
            elif byte == 0x0A:
                count[3] += 1
                count[4] += 1
                feeds += 1
                if feeds == 2:
                    count[7] += 1
                    count[8] += count[6] > phrases_before
                    phrases_before, feeds = count[6], 0
                at += 1
                continue
            elif byte == 0x20 or byte == 0x09 or byte == 0x0D or byte == 0x08:
                count[4] += 1
            else:
                count[2] += _is_bracket(data, at)
            feeds = 0
            at += 1
        count[8] += count[6] > phrases_before
    return counts


@inlined
def _is_bracket(data: Bytes, at: int) -> bool:
    byte = data[at]
    found = byte == 0x28 or byte == 0x29 or byte == 0x5B or byte == 0x5D or byte == 0x7B or byte == 0x7D
    if byte == 0xE2:
        found = data[at + 1] == 0x9F and (data[at + 2] == 0xA8 or data[at + 2] == 0xA9)
    return bool(found)


@inlined
def _url_end(data: Bytes, at: int, stop: int) -> int:
    """Behind the address that begins at byte `at`; `at` where none does."""
    if at + 8 > stop or data[at + 1] != 0x74 or data[at + 2] != 0x74 or data[at + 3] != 0x70:
        return at
    after = at + 4
    after += data[after] == 0x73
    if after + 3 >= stop or data[after] != 0x3A or data[after + 1] != 0x2F or data[after + 2] != 0x2F:
        return at
    first = after + 3
    end = first
    while end < stop:
        byte = data[end]
        lower = byte | 0x20
        if byte == 0x25:
            if end + 2 >= stop or not (_is_hex(data[end + 1]) and _is_hex(data[end + 2])):
                break
            end += 3
            continue
        if not (0x61 <= lower <= 0x7A or 0x30 <= byte <= 0x39 or _is_url_mark(byte)):
            break
        end += 1
    return end if end > first else at


@inlined
def _is_hex(byte: int) -> bool:
    return 0x30 <= byte <= 0x39 or 0x61 <= byte | 0x20 <= 0x66


@inlined
def _is_url_mark(byte: int) -> bool:
    """$ - _ @ . & + / : = ? # ~ ! * ( ) ,"""
    marks = byte == 0x24 or byte == 0x2D or byte == 0x5F or byte == 0x40 or byte == 0x2E or byte == 0x26
    marks = marks or byte == 0x2B or byte == 0x2F or byte == 0x3A or byte == 0x3D or byte == 0x3F or byte == 0x23
    return marks or byte == 0x7E or byte == 0x21 or byte == 0x2A or byte == 0x28 or byte == 0x29 or byte == 0x2C


@kernel
def word_entropies(first: Offsets, hashes: Hashes) -> npt.NDArray[np.float64]:
    """float64 [rows]: entropy of a row's words in bits; NaN without words."""
    entropies = np.full(len(first) - 1, np.nan)
    most = 0
    for row in range(len(first) - 1):
        most = max(most, first[row + 1] - first[row])
    table, times = np.empty(table_mask(most) + 1, dtype=np.uint64), np.empty(table_mask(most) + 1, dtype=np.int32)
    slots = np.empty(most, dtype=np.int32)  # in order of first occurrence, so that sums do not depend on hashes
    for row in range(len(first) - 1):
        num_words = first[row + 1] - first[row]
        if num_words == 0:
            continue
        mask = table_mask(num_words)
        table[: mask + 1] = 0
        different = 0
        for word in range(first[row], first[row + 1]):
            key = max(hashes[word], uint64(1))
            slot = find_slot(table, mask, key)
            if table[slot] == uint64(0):
                table[slot], times[slot] = key, 0
                slots[different] = slot
                different += 1
            times[slot] += 1
        total = 0.0
        for index in range(different):
            part = times[slots[index]] / num_words
            total -= part * math.log2(part)
        entropies[row] = total
    return entropies


@kernel
def count_symbol_words(data: Bytes, first: Offsets, starts: Int32s, num_bytes: Int32s, num_chars: Int32s) -> Offsets:
    """int64 [rows]: words more than half of which are runs of '#', and '...', '[...]', '(...)', '…', '[…]', '-»'."""
    counts = np.zeros(len(first) - 1, dtype=np.int64)
    for row in range(len(first) - 1):
        for word in range(first[row], first[row + 1]):
            start, end = starts[word], starts[word] + num_bytes[word]
            runs, stops, opened, others = 0, 0, 0, 0
            for at in range(start, end):
                runs += data[at] == 0x23 and (at == start or data[at - 1] != 0x23)
            size = end - start
            last = data[end - 1]
            if size == 5 and ((data[start] == 0x5B and last == 0x5D) or (data[start] == 0x28 and last == 0x29)):
                opened = 1
            round_one = data[start] == 0x28
            if size == 3 or opened:
                for at in range(start + opened, end - opened):
                    stops += data[at] == 0x2E
                at = start + opened
                if data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0xA6 and not (opened and round_one):
                    others = 1
                if not opened and data[at] == 0x2D and data[at + 1] == 0xC2 and data[at + 2] == 0xBB:
                    others = 1
            counts[row] += 2 * runs > num_chars[word] or stops == 3 or others == 1
    return counts


@kernel
def count_joined(
    data: Bytes,
    offsets: Offsets,
    first: Offsets,
    starts: Int32s,
    num_bytes: Int32s,
    grams: Offsets,
    n: int,
) -> Offsets:
    """int64 [rows]: how often the n words from `grams[row]` on, one blank between them, stand in the row's text, words
    or not, without overlap; 0 without n words. `data` begins at offsets[0], which `starts` are counted from."""
    counts = np.zeros(len(first) - 1, dtype=np.int64)
    wanted = np.empty(1 << 16, dtype=np.uint8)
    for row in range(len(first) - 1):
        if first[row + 1] - first[row] < n:
            continue
        size, fits = 0, True
        for word in range(first[row] + grams[row], first[row] + grams[row] + n):
            if size + num_bytes[word] + 1 > len(wanted):
                wanted = np.concatenate((wanted, np.empty(size + num_bytes[word] + 1, dtype=np.uint8)))
            if size > 0:
                wanted[size] = 0x20
                size += 1
            for at in range(num_bytes[word]):
                wanted[size + at] = data[starts[word] + at]
            size += num_bytes[word]
        at, stop = offsets[row] - offsets[0], offsets[row + 1] - offsets[0]
        while fits and at + size <= stop:
            same = 0
            while same < size and data[at + same] == wanted[same]:
                same += 1
            if same == size:
                counts[row] += 1
                at += size
            else:
                at += 1
    return counts


def warmup() -> None:
    """Compile for read-only texts, as Arrow gives them."""
    data, offsets = np.frombuffer(b"a b", dtype=np.uint8), np.array([0, 3])
    offsets.setflags(write=False)
    count_composition(data, offsets, POLICY_PHRASES, LOREM_IPSUM)
    first, starts, ones = np.array([0, 2]), np.array([0, 2], dtype=np.int32), np.ones(2, dtype=np.int32)
    word_entropies(first, np.ones(2, dtype=np.uint64))
    count_symbol_words(data, first, starts, ones, ones)
    count_joined(data, offsets, first, starts, ones, np.zeros(1, dtype=np.int64), 2)
