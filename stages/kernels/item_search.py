"""Finds evaluation items in documents: whole, or as much of them as a document holds close together.

Every run of SEED tokens of an item is a seed; a table from seed to its places in items is looked up at every token of
a document. Where one is met, the run of equal tokens around it is compared, which finds an item whole or its beginning;
seeds of an item that fall near each other say how much of it is there otherwise. Seeds that more than MAX_POSTINGS
items share are left out, but for the rarest at each item's beginning and the rarest after it. Items of fewer tokens
than SEED are found by their first SHORT_SEED.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import uint64

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.folding import CLASS_SHIFT, SINGLE, SPACE_FLAG, folding_table
from corpusmill.stages.kernels.hashing import decode, mix
from corpusmill.stages.kernels.shingles import WORD, longest_row, tokenize

SEED, SHORT_SEED = 5, 3
MAX_POSTINGS = 20
WORD_WEIGHT, CHARACTER_WEIGHT = 8, 3
"""A word weighs 8; a character of an unspaced script weighs 3, so that 8 of these are as much as 3 words, and so does
what is joined to the word before it, as in "(1+i)^10"."""
ANSWER_REACH = 64
"""Tokens before and after a passage in which the item's answer is looked for."""
BITS = 22
"""log2 of the bits of the filter in front of the table: 512 KiB, which stays in the second cache."""


class ItemIndex(NamedTuple):
    """Items and their seeds, all arrays. Item i is tokens[bounds[i] : bounds[i + 1]], its answer likewise."""

    tokens: npt.NDArray[np.uint64]
    bounds: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int64]  # of each token
    totals: npt.NDArray[np.int64]  # of each item
    in_part: npt.NDArray[np.bool_]  # items that are found in part too
    answers: npt.NDArray[np.uint64]
    answer_bounds: npt.NDArray[np.int64]
    table: npt.NDArray[np.uint64]  # open addressing: seed hashes, 0 is free
    slots: npt.NDArray[np.int64]  # of each table place: number of the seed
    postings: npt.NDArray[np.int64]  # seed k is in postings[k] .. postings[k + 1] of the next two
    items: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]  # of the seed in the item
    bits: npt.NDArray[np.uint8]


def index_items(
    questions: npt.NDArray[np.uint64],
    bounds: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int64],
    answers: npt.NDArray[np.uint64],
    answer_bounds: npt.NDArray[np.int64],
    min_weight: int,
    min_part_tokens: int,
) -> ItemIndex:
    """The index of items given as tokens; those lighter than `min_weight` or under SHORT_SEED tokens are not found,
    those of fewer tokens than `min_part_tokens` not in part.
    """
    sums = np.concatenate([[0], np.cumsum(weights)])
    totals = (sums[bounds[1:]] - sums[bounds[:-1]]).astype(np.int64)
    in_part = np.diff(bounds) >= min_part_tokens
    hashes, items, positions = item_seeds(questions, bounds, np.flatnonzero(totals >= min_weight))
    order = np.lexsort((positions, items, hashes))
    hashes, items, positions = hashes[order], items[order], positions[order]
    distinct, seed, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    late = positions > (bounds[items + 1] - bounds[items]) * 2 // 5  # an anchor among the first two fifths, one after
    by_item = np.lexsort((positions, counts[seed], late, items))
    first = np.ones(len(by_item), dtype=np.bool_)
    for column in (items[by_item], late[by_item]):
        first[1:] &= column[1:] == column[:-1]
    first = np.concatenate([first[:1], ~first[1:]])
    anchors = np.zeros(len(hashes), dtype=np.bool_)
    anchors[by_item[first]] = True
    kept = anchors | (counts[seed] <= MAX_POSTINGS)
    hashes, items, positions = hashes[kept], items[kept], positions[kept]
    distinct, starts = np.unique(hashes, return_index=True)
    table, slots, bits = seed_table(distinct)
    postings = np.append(starts, len(hashes)).astype(np.int64)
    return ItemIndex(
        questions,
        bounds,
        weights,
        totals,
        in_part,
        answers,
        answer_bounds,
        table,
        slots,
        postings,
        items,
        positions,
        bits,
    )


@kernel
def token_lists(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], table: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tokens of every row end to end, their int64 bounds [rows + 1], and the weight of each token."""
    size = offsets[-1] - offsets[0]
    tokens = np.empty(size + 1, dtype=np.uint64)
    weights = np.full(size + 1, WORD_WEIGHT, dtype=np.int64)
    starts, stops = np.empty(size + 1, dtype=np.int64), np.empty(size + 1, dtype=np.int64)
    bounds = np.zeros(len(offsets), dtype=np.int64)
    filled = 0
    for row in range(len(offsets) - 1):
        num_tokens = tokenize(
            data, offsets[row], offsets[row + 1], table, WORD, False, tokens[filled:], starts[filled:], stops[filled:]
        )
        for i in range(filled, filled + num_tokens):
            code, _ = decode(data, starts[i])
            glued = i > filled and not has_space(data, stops[i - 1], starts[i], table)
            if glued or (table[code] >> CLASS_SHIFT) & 15 == SINGLE:
                weights[i] = CHARACTER_WEIGHT
        filled += num_tokens
        bounds[row + 1] = filled
    return tokens[:filled].copy(), bounds, weights[:filled].copy()


@kernel
def has_space(data: npt.NDArray[np.uint8], start: int, stop: int, table: npt.NDArray[np.uint32]) -> bool:
    """Whether there is White_Space in data[start:stop]."""
    while start < stop:
        code, size = decode(data, start)
        if table[code] & uint64(SPACE_FLAG):
            return True
        start += size
    return False


@kernel
def seed_hash(tokens: npt.NDArray[np.uint64], at: int, length: int) -> np.uint64:
    """Hash of `length` tokens from `at`, never 0."""
    value = uint64(length)
    for i in range(at, at + length):
        value = mix(value ^ tokens[i])
    return max(value, uint64(1))


@kernel
def item_seeds(
    tokens: npt.NDArray[np.uint64], bounds: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every seed of the chosen items: hash, item, position. Items under SEED tokens have one, of SHORT_SEED."""
    hashes = np.empty(len(tokens), dtype=np.uint64)
    items, positions = np.empty(len(tokens), dtype=np.int64), np.empty(len(tokens), dtype=np.int64)
    filled = 0
    for item in chosen:
        length = bounds[item + 1] - bounds[item]
        if length < SHORT_SEED:
            continue
        size = SEED if length >= SEED else SHORT_SEED
        for position in range(length - size + 1 if length >= SEED else 1):
            hashes[filled] = seed_hash(tokens, bounds[item] + position, size)
            items[filled], positions[filled] = item, position
            filled += 1
    return hashes[:filled].copy(), items[:filled].copy(), positions[:filled].copy()


@kernel
def seed_table(
    hashes: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """An open-addressing table at most half full of these distinct hashes, their numbers, and the bits before it."""
    size = 16
    while size < 2 * len(hashes):
        size *= 2
    table, slots = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.int64)
    bits = np.zeros(1 << (BITS - 3), dtype=np.uint8)
    for number in range(len(hashes)):
        value = hashes[number]
        bits[(value >> uint64(64 - BITS)) >> uint64(3)] |= 1 << ((value >> uint64(64 - BITS)) & uint64(7))
        place = value & uint64(size - 1)
        while table[place] != 0:
            place = (place + uint64(1)) & uint64(size - 1)
        table[place], slots[place] = value, number
    return table, slots, bits


@kernel
def find_seed(value: np.uint64, index: ItemIndex) -> int:
    """The seed's number, -1 where no item has it."""
    bit = value >> uint64(64 - BITS)
    if not (index.bits[bit >> uint64(3)] >> (bit & uint64(7))) & 1:
        return -1
    place = value & uint64(len(index.table) - 1)
    while index.table[place] != 0:
        if index.table[place] == value:
            return int(index.slots[place])
        place = (place + uint64(1)) & uint64(len(index.table) - 1)
    return -1


@kernel
def search_items(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint32],
    index: ItemIndex,
    min_overlap: float,
    min_beginning: float,
    min_weight: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Items found in each row: int64 [found, 5] (row, item, first byte, byte after the last, 1 where the answer is
    near) and the share of the item's weight found, 1 for a whole item.

    Items that are `in_part` are found in part too: from `min_overlap` on where the part is scattered, from
    `min_beginning` (and half of `min_weight`, that of words) on where it is the item's beginning in one run.
    """
    longest = longest_row(offsets)
    tokens = np.empty(longest, dtype=np.uint64)
    starts, stops = np.empty(longest, dtype=np.int64), np.empty(longest, dtype=np.int64)
    num_items = len(index.bounds) - 1
    heads = np.full(num_items, -1, dtype=np.int64)  # last hit of each item in this document
    hits = np.empty((1024, 3), dtype=np.int64)  # position in document, in item, the item's hit before
    touched = np.empty(max(1, num_items), dtype=np.int64)
    beginnings = np.zeros((max(1, num_items), 2), dtype=np.int64)  # tokens of the longest beginning met, and where
    seen = np.zeros(longest_row(index.bounds), dtype=np.int64)
    found = np.empty((64, 5), dtype=np.int64)
    overlaps = np.empty(64, dtype=np.float64)
    num_found = 0
    for row in range(len(offsets) - 1):
        num_tokens = tokenize(data, offsets[row], offsets[row + 1], table, WORD, False, tokens, starts, stops)
        num_hits = num_touched = 0
        for at in range(num_tokens - SHORT_SEED + 1):
            for size in (SHORT_SEED, SEED):
                if at + size > num_tokens:
                    continue
                seed = find_seed(seed_hash(tokens, at, size), index)
                if seed < 0:
                    continue
                for posting in range(index.postings[seed], index.postings[seed + 1]):
                    item, position = index.items[posting], index.positions[posting]
                    before = heads[item]
                    if before < 0:
                        touched[num_touched] = item
                        num_touched += 1
                        beginnings[item, 0] = 0
                    if before < 0 or hits[before, 0] - hits[before, 1] != at - position:  # a new run
                        start, length = index.bounds[item], index.bounds[item + 1] - index.bounds[item]
                        run = beginning_run(tokens, num_tokens, at - position, index.tokens, start, length)
                        if run > beginnings[item, 0]:
                            beginnings[item, 0], beginnings[item, 1] = run, at - position
                    if num_hits == len(hits):
                        more = np.empty((2 * num_hits, 3), dtype=np.int64)
                        more[:num_hits] = hits
                        hits = more
                    hits[num_hits, 0], hits[num_hits, 1], hits[num_hits, 2] = at, position, before
                    heads[item] = num_hits
                    num_hits += 1
        for i in range(num_touched):
            item = touched[i]
            run, begin = beginnings[item, 0], beginnings[item, 1]
            end = begin + run - 1
            total = index.totals[item]
            covered = 0
            for token in range(index.bounds[item], index.bounds[item] + run):
                covered += index.weights[token]
            if covered < total and not (index.in_part[item] and covered >= max(min_weight // 2, min_beginning * total)):
                covered = 0
                if index.in_part[item]:
                    covered, begin, end = best_window(hits, heads[item], index, item, seen)
                if covered < min_overlap * total:
                    covered = 0
            heads[item] = -1
            if covered == 0:
                continue
            if num_found == len(found):
                more_found = np.empty((2 * num_found, 5), dtype=np.int64)
                more_found[:num_found] = found
                more_overlaps = np.empty(2 * num_found, dtype=np.float64)
                more_overlaps[:num_found] = overlaps
                found, overlaps = more_found, more_overlaps
            found[num_found, 0], found[num_found, 1] = row, item
            found[num_found, 2], found[num_found, 3] = starts[begin] - offsets[row], stops[end] - offsets[row]
            found[num_found, 4] = answer_near(tokens, num_tokens, begin, end, index, item)
            overlaps[num_found] = covered / total
            num_found += 1
    return found[:num_found].copy(), overlaps[:num_found].copy()


@kernel
def beginning_run(
    tokens: npt.NDArray[np.uint64], num_tokens: int, at: int, item: npt.NDArray[np.uint64], start: int, length: int
) -> int:
    """How many tokens from `at` are the first ones of the item item[start : start + length]."""
    run = 0
    while at >= 0 and run < length and at + run < num_tokens and tokens[at + run] == item[start + run]:
        run += 1
    return run


@kernel
def same_tokens(
    tokens: npt.NDArray[np.uint64], num_tokens: int, at: int, other: npt.NDArray[np.uint64], start: int, length: int
) -> bool:
    """Whether `length` tokens from `at` are those of `other` from `start`."""
    if at + length > num_tokens:
        return False
    for i in range(length):  # noqa: SIM110  (kernels have no generators)
        if tokens[at + i] != other[start + i]:
            return False
    return True


@kernel
def best_window(
    hits: npt.NDArray[np.int64], head: int, index: ItemIndex, item: int, seen: npt.NDArray[np.int64]
) -> tuple[int, int, int]:
    """The greatest weight of the item's tokens that hits within one and a quarter of its length cover, and where.

    Gives the weight and the first and last token in the document. `seen` is all 0 before and after.
    """
    start, length = index.bounds[item], index.bounds[item + 1] - index.bounds[item]
    reach = length + length // 4 + SEED
    covered = best = best_begin = best_end = 0
    low = head  # hits run from the last in the document to the first
    high = head
    while low >= 0:
        for token in range(hits[low, 1], min(length, hits[low, 1] + SEED)):
            if seen[token] == 0:
                covered += index.weights[start + token]
            seen[token] += 1
        while hits[high, 0] - hits[low, 0] > reach:
            for token in range(hits[high, 1], min(length, hits[high, 1] + SEED)):
                seen[token] -= 1
                if seen[token] == 0:
                    covered -= index.weights[start + token]
            high = hits[high, 2]
        if covered > best:
            best, best_begin, best_end = covered, hits[low, 0], hits[high, 0] + SEED - 1
        low = hits[low, 2]
    seen[:length] = 0
    return best, best_begin, best_end


@kernel
def answer_near(
    tokens: npt.NDArray[np.uint64], num_tokens: int, begin: int, end: int, index: ItemIndex, item: int
) -> bool:
    """Whether the item's answer stands within ANSWER_REACH tokens before or after the passage."""
    start = index.answer_bounds[item]
    length = index.answer_bounds[item + 1] - start
    if length == 0:
        return False
    for at in range(max(0, begin - ANSWER_REACH), min(num_tokens, end + 1 + ANSWER_REACH)):
        outside = at + length <= begin or at > end
        if outside and same_tokens(tokens, num_tokens, at, index.answers, start, length):
            return True
    return False


def warmup() -> None:
    """Compile for the types that `decontaminate` uses."""
    table = folding_table()
    data, offsets = text_buffers(pa.array(["one two three four five six"], pa.large_string()))
    tokens, bounds, weights = token_lists(data, offsets, table)
    index = index_items(tokens, bounds, weights, tokens, bounds, 0, 0)
    search_items(data, offsets, table, index, 0.5, 0.5, 0)
