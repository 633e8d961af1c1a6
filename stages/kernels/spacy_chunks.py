"""spaCy's tokenizer for one chunk of text without white space; see kernels/spacy_words.py.

All functions work on the chunk's code points; a piece is [left, right) of them. What stands on a piece's other side is
not seen by the rules, as in spaCy, which cuts the string.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import inlined, kernel
from corpusmill.stages.kernels.spacy_english import (
    ALPHA,
    BEFORE_STOP,
    ICON,
    LEFT_OF_STOP,
    PREFIX,
    RIGHT_OF_STOP,
    SUFFIX,
    UPPER,
    URL_LETTER,
    SpacyTables,
)

MAX_SPECIAL = 12
"""Characters of the longest special case."""

MAX_TAIL = 5
"""Characters of the longest unit."""

MAX_PATTERN = 11
"""Tokens of which a special case is put together, at most."""

STOP, DEGREE, ELLIPSIS = 0x2E, 0xB0, 0x2026

Codes = npt.NDArray[np.int32]
Classes = npt.NDArray[np.uint16]
Hashes = npt.NDArray[np.uint64]


@kernel
def cut_chunk(codes: Codes, tables: SpacyTables, ends: Codes, spare: Codes) -> int:
    """The chunk's tokens: their number; `ends` gets the end of each, in characters. `spare` is room for as many."""
    classes = tables.classes
    left, right = 0, len(codes)
    tokens, suffixes = 0, 0  # suffixes begin at spare[0], spare[1] ... from the right
    last_size = -1
    while right > left and right - left != last_size:
        if _special(codes, left, right, tables) >= 0:
            break
        last_size = right - left
        prefix = _prefix(codes, left, right, classes)
        if 0 < prefix < last_size and _special(codes, left + prefix, right, tables) >= 0:
            left += prefix
            ends[tokens] = left
            tokens += 1
            break
        suffix = _suffix(codes, left + prefix, right, classes, tables.tails)
        if 0 < suffix < last_size and _special(codes, left, right - suffix, tables) >= 0:
            right -= suffix
            spare[suffixes] = right
            suffixes += 1
            break
        if prefix > 0:
            left += prefix
            ends[tokens] = left
            tokens += 1
        if suffix > 0:
            right -= suffix
            spare[suffixes] = right
            suffixes += 1
    if right > left:
        special = _special(codes, left, right, tables)
        if special >= 0:
            tokens = _write_special(special, left, tables, ends, tokens)
        else:
            tokens = _cut_inside(codes, left, right, classes, ends, tokens)
    for index in range(suffixes - 1, -1, -1):
        ends[tokens] = spare[index - 1] if index > 0 else len(codes)
        tokens += 1
    return _join_specials(codes, tables, ends, tokens, spare) if tokens > 1 else tokens


@kernel
def _special(codes: Codes, left: int, right: int, tables: SpacyTables) -> int:
    """The number of the special case that the piece is, -1 if it is none."""
    if right - left > MAX_SPECIAL:
        return -1
    value = _hash(codes, left, right)
    mask = len(tables.special_slots) - 1
    slot = int(value >> uint64(40)) & mask
    while tables.special_slots[slot] > 0:
        special = int(tables.special_slots[slot]) - 1
        if tables.special_hashes[special] == value:
            return special
        slot = (slot + 1) & mask
    return -1


@inlined
def _hash(codes: Codes, left: int, right: int) -> np.uint64:
    value = uint64(right - left)
    for index in range(left, right):
        value = (value ^ uint64(codes[index])) * uint64(0x9E3779B97F4A7C15)
        value ^= value >> uint64(29)
    return value


@inlined
def _write_special(special: int, start: int, tables: SpacyTables, ends: Codes, tokens: int) -> int:
    for index in range(tables.special_first[special], tables.special_first[special + 1]):
        start += tables.special_lengths[index]
        ends[tokens] = start
        tokens += 1
    return tokens


@inlined
def _is_digit(code: int) -> bool:
    return 0x30 <= code <= 0x39


@inlined
def _run_of_stops(codes: Codes, left: int, right: int, step: int) -> int:
    """Full stops in a row from the piece's left end (step 1) or right end (step -1)."""
    count = 0
    at = left if step > 0 else right - 1
    while left <= at < right and codes[at] == STOP:
        count += 1
        at += step
    return count


@kernel
def _prefix(codes: Codes, left: int, right: int, classes: Classes) -> int:
    """Characters that are split off from the piece's beginning."""
    code, size = codes[left], right - left
    if code == STOP:
        run = _run_of_stops(codes, left, right, 1)
        return run if run > 1 else 0
    if code == 0x2B:  # '+', but not before a digit
        return 0 if size > 1 and _is_digit(codes[left + 1]) else 1
    if classes[code] & PREFIX:
        return 1
    if size > 1 and (code == 0x41 or code == 0x43) and codes[left + 1] == 0x24:  # A$ C$
        return 2
    if size > 2 and code == 0x55 and codes[left + 1] == 0x53 and codes[left + 2] == 0x24:  # US$
        return 3
    return 0


@kernel
def _suffix(codes: Codes, left: int, right: int, classes: Classes, tails: Hashes) -> int:
    """Characters that are split off from the piece's end: the most that any rule asks for."""
    size = right - left
    if size <= 0:
        return 0
    last = codes[right - 1]
    before = codes[right - 2] if size > 1 else -1
    found = 1 if classes[last] & SUFFIX else 0
    if last == STOP:
        run = _run_of_stops(codes, left, right, -1)
        if run > 1:
            return run
        if size > 1 and classes[before] & BEFORE_STOP:
            return 1
        if size > 2:
            third = codes[right - 3]
            if classes[before] & UPPER and classes[third] & UPPER:
                return 1
            if third == DEGREE and (before == 0x46 or before == 0x66 or before == 0x43 or before == 0x63):
                return 1
            if third == DEGREE and (before == 0x4B or before == 0x6B):
                return 1
        return found
    if last == ELLIPSIS and before == ELLIPSIS:
        return 2
    if (before == 0x27 or before == 0x2019) and (last == 0x73 or last == 0x53):  # 's
        return 2
    at = right - 1
    while at > left and right - at <= MAX_TAIL and not _is_digit(codes[at]):
        at -= 1
    if at < right - 1 and _is_digit(codes[at]):
        value = _hash(codes, at + 1, right)
        index = np.searchsorted(tails, value)
        if index < len(tails) and tails[index] == value:
            found = max(found, right - at - 1)
    return found


@kernel
def _cut_inside(codes: Codes, left: int, right: int, classes: Classes, ends: Codes, tokens: int) -> int:
    """Cut the piece at infixes, unless it is an address; gives the new number of tokens."""
    start, at = left, left
    whole, address = True, False
    while at < right:
        size = _infix(codes, at, left, right, classes)
        if size == 0:
            at += 1
            continue
        if whole and not address:
            address = _is_address(codes, left, right, classes)
            if address:
                break
        if at > left:
            whole = False
            if at > start:
                ends[tokens] = at
                tokens += 1
            ends[tokens] = at + size
            tokens += 1
            start = at + size
        at += size
    if start < right:
        ends[tokens] = right
        tokens += 1
    return tokens


@inlined
def _infix(codes: Codes, at: int, left: int, right: int, classes: Classes) -> int:
    """Characters of the infix that begins at a place, 0 if none does."""
    code = codes[at]
    kind = classes[code]
    if kind & ICON:
        return 1
    if kind & ALPHA or _is_digit(code) or at + 1 >= right:
        return 0
    following = codes[at + 1]
    if code == STOP and following == STOP:
        return _run_of_stops(codes, at, right, 1)
    if at == left:
        return 0
    before = codes[at - 1]
    joins = classes[before] & ALPHA != 0
    letter_or_digit = joins or _is_digit(before)
    if code == STOP:
        return 1 if classes[before] & LEFT_OF_STOP and classes[following] & RIGHT_OF_STOP else 0
    if code == 0x2C:
        return 1 if joins and classes[following] & ALPHA else 0
    operator = code == 0x2B or code == 0x2D or code == 0x2A or code == 0x5E  # + - * ^ between digits
    if operator and _is_digit(before) and (_is_digit(following) or following == 0x2D):
        return 1
    if not letter_or_digit:
        return 0
    if code == 0x3A or code == 0x3C or code == 0x3E or code == 0x3D or code == 0x2F:  # : < > = /
        return 1 if classes[following] & ALPHA else 0
    if code == 0x2D or code == 0x2014 or code == 0x2013 or code == 0x7E:  # hyphens, dashes, ~
        if classes[following] & ALPHA:
            return 1
        most = 3 if code == 0x2D else 2 if code == 0x2014 else 1
        size = 1
        while size < most and at + size < right and codes[at + size] == code:
            size += 1
            if at + size < right and classes[codes[at + size]] & ALPHA:
                return size
    return 0


@kernel
def _is_address(codes: Codes, left: int, right: int, classes: Classes) -> bool:
    """Whether the piece is a URL, with or without a scheme, or an e-mail address."""
    has_stop = False
    for at in range(left, right):
        has_stop = has_stop or codes[at] == STOP
    if not has_stop:
        return False
    if _is_host(codes, left, right, classes):
        return True
    scheme = True
    for at in range(left, right):
        code = codes[at]
        if code == 0x40 and at > left and _is_host(codes, at + 1, right, classes):
            return True
        slashes = code == 0x3A and at + 3 < right and codes[at + 1] == 0x2F and codes[at + 2] == 0x2F
        if scheme and slashes and at >= left + 2 and _is_host(codes, at + 3, right, classes):
            return True
        letter = classes[code] & (ALPHA | URL_LETTER) != 0 or _is_digit(code)
        scheme = scheme and (letter or code == 0x5F or code == 0x2B or code == 0x2D or code == STOP)
    return False


@inlined
def _in_label(code: int) -> bool:
    """A letter or digit of a host's name."""
    return 0x61 <= code <= 0x7A or 0x41 <= code <= 0x5A or _is_digit(code) or 0xA1 <= code <= 0xFFFF


@kernel
def _is_host(codes: Codes, left: int, right: int, classes: Classes) -> bool:
    """Whether the piece is a host's name or IP address, with or without port and path."""
    end = left
    while end < right and not (codes[end] == 0x3A or codes[end] == 0x2F or codes[end] == 0x3F or codes[end] == 0x23):
        end += 1
    if end < right and codes[end] == 0x3A:
        at = end + 1
        while at < right and at - end <= 5 and _is_digit(codes[at]):
            at += 1
        if at - end < 3 or (at < right and not (codes[at] == 0x2F or codes[at] == 0x3F or codes[at] == 0x23)):
            return False
    label, labels = left, 0
    for at in range(left, end):
        if codes[at] == STOP:
            size = at - label
            if not (1 <= size <= 64 and _in_label(codes[label]) and _in_label(codes[at - 1])):
                return False
            for inside in range(label + 1, at - 1):
                if not (_in_label(codes[inside]) or codes[inside] == 0x2D or codes[inside] == 0x5F):
                    return False
            label, labels = at + 1, labels + 1
    if labels == 3 and _is_ip(codes, left, end):
        return True
    if labels == 0 or not 2 <= end - label <= 63:
        return False
    letters = 0
    for at in range(label, end):
        letters += classes[codes[at]] & URL_LETTER != 0
    return letters == end - label


@kernel
def _is_ip(codes: Codes, left: int, right: int) -> bool:
    """Four numbers that are an address of the public net."""
    parts = np.zeros(4, dtype=np.int64)
    sizes = np.zeros(4, dtype=np.int64)
    part = 0
    for at in range(left, right):
        if codes[at] == STOP:
            part += 1
        elif _is_digit(codes[at]) and sizes[part] < 3:
            parts[part] = 10 * parts[part] + codes[at] - 0x30
            sizes[part] += 1
        else:
            return False
    first_code = codes[left]
    if part != 3 or sizes.min() == 0 or first_code == 0x30 or parts[0] > 223 or parts.max() > 255:
        return False
    last_zero = sizes[3] > 1 and codes[right - sizes[3]] == 0x30
    if parts[3] == 0 or parts[3] == 255 or last_zero or (sizes[1] == 3 and parts[1] < 100):
        return False
    if sizes[2] == 3 and parts[2] < 100:
        return False
    private = parts[0] == 10 or parts[0] == 127 or (parts[0] == 169 and parts[1] == 254)
    private = private or (parts[0] == 192 and parts[1] == 168) or (parts[0] == 172 and 16 <= parts[1] <= 31)
    return not private


@kernel
def _join_specials(codes: Codes, tables: SpacyTables, ends: Codes, tokens: int, spare: Codes) -> int:
    """Make special cases of neighbouring tokens that spell one: the longest first, then the one further left."""
    found = False
    spare[:tokens] = -1  # of each token: the special case that begins there, -2 inside of one, -3 beside one
    for size in range(min(tokens, MAX_PATTERN), 0, -1):
        for begin in range(tokens - size + 1):
            left = ends[begin - 1] if begin > 0 else 0
            special = _pattern(codes, left, begin, size, tables, ends)
            if special < 0:
                continue
            if spare[begin] == -1 and spare[begin + size - 1] == -1:
                found = True
                spare[begin : begin + size] = -2
                spare[begin] = special
            else:
                for token in range(begin, begin + size):
                    if spare[token] == -1:
                        spare[token] = -3
    if not found:
        return tokens
    old = ends[:tokens].copy()
    written = 0
    for token in range(tokens):
        if spare[token] >= 0:
            written = _write_special(spare[token], old[token - 1] if token > 0 else 0, tables, ends, written)
        elif spare[token] != -2:
            ends[written] = old[token]
            written += 1
    return written


@inlined
def _pattern(codes: Codes, left: int, begin: int, size: int, tables: SpacyTables, ends: Codes) -> int:
    """The special case that `size` tokens from `begin` on spell, cut as its rule has it; -1 if none."""
    special = _special(codes, left, ends[begin + size - 1], tables)
    if special < 0:
        return -1
    pattern = tables.pattern_first[special]
    if tables.pattern_first[special + 1] - pattern != size:
        return -1
    for token in range(size):
        left += tables.pattern_lengths[pattern + token]
        if ends[begin + token] != left:
            return -1
    return special
