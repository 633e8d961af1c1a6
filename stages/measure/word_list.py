"""Counts words and phrases of a user's list, with word boundaries in every script.

A list is a text file of one word or phrase per line (`#` begins a comment). Text and list are compared after NFKC and
lower-casing, as sequences of words, so `ass` is not found in `class`, nor `sex` in `Essex`; phrases may be broken over
lines. What a boundary is depends on the script:

    spaced scripts        a word is a run of letters, marks and digits: it must be the whole word
    Korean                particles are written onto words: a word must begin with the entry
    katakana              a run of katakana is a word
    Han, kana, Thai ...   write no boundaries: an entry is found wherever its letters stand, between whole letters with
                          their marks. Entries of one letter find much that was not meant.

Cost: one pass of the words, and a look-up per word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.layout import Layout
from corpusmill.stages.measure.segmenters import segment_by_script

Hashes: TypeAlias = npt.NDArray[np.uint64]
STEP = np.uint64(0x9E3779B97F4A7C15)
HANGUL, KATAKANA = ("\uac00", "\ud7a3"), ("\u30a1", "\u30ff")


@dataclass(frozen=True, kw_only=True)
class WordList(StageSettings):
    """`word_list_num_found` of `word_list_num_words` words begin an entry; where entries overlap each counts."""

    name: ClassVar[str] = "word_list"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("numba", "pyarrow")

    lists: tuple[Path, ...]
    max_found: int | None = threshold(None)
    max_share: float | None = threshold(None)  # of the words

    def adds(self) -> dict[str, pa.DataType]:
        return {"word_list_num_found": pa.int32(), "word_list_num_words": pa.int32()}

    def rules(self) -> tuple[Rule, ...]:
        made = []
        if self.max_found is not None:
            made.append(Rule("word_list.too_many", value=("word_list_num_found",), op=">", limit=self.max_found))
        if self.max_share is not None:
            share = ("word_list_num_found", "word_list_num_words")
            made.append(Rule("word_list.too_dense", value=share, op=">", limit=self.max_share))
        return tuple(made)

    def files(self) -> tuple[Path, ...]:
        return self.lists

    def open(self) -> "WordListWorker":
        return WordListWorker(WordFinder(read_entries(self.lists)))


class WordListWorker:
    """Holds the list."""

    def __init__(self, finder: "WordFinder") -> None:
        self.finder = finder

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        words, first, _ = self.finder.find(batch.column("text"))
        row = np.searchsorted(first, words, side="right") - 1
        found = np.bincount(row, minlength=batch.num_rows).astype(np.int32)
        counted = np.diff(first).astype(np.int32)
        return {"word_list_num_found": pa.array(found), "word_list_num_words": pa.array(counted)}


class WordFinder:
    """Finds the entries of a list in texts, by the hashes of their words."""

    def __init__(self, entries: Sequence[str]) -> None:
        self.by_length: dict[int, Hashes] = {}
        self.prefixes: dict[str, list[str]] = {}  # first syllable → Korean entries of one word
        layout = _words_of(pa.array(entries, type=pa.large_string()))
        keys: dict[int, list[np.uint64]] = {}
        for number in range(len(entries)):
            begin, stop = int(layout.first[number]), int(layout.first[number + 1])
            words = layout.words(number)
            if stop == begin + 1 and HANGUL[0] <= words[0][0] <= HANGUL[1]:
                self.prefixes.setdefault(words[0][0], []).append(words[0])
            elif stop > begin:
                keys.setdefault(stop - begin, []).append(_joined(layout.hashes, stop - begin)[begin])
        for length, found in keys.items():
            self.by_length[length] = np.unique(np.array(found, dtype=np.uint64))

    def find(self, text: Column) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Layout]:
        """(numbers of the words at which an entry begins, ascending; first word of each row, [rows + 1]; the words)."""
        layout = _words_of(text)
        row = np.repeat(np.arange(len(layout.first) - 1), np.diff(layout.first))
        found = [self._prefixed(layout)]
        for length, keys in self.by_length.items():
            joined = _joined(layout.hashes, length)
            at = np.minimum(np.searchsorted(keys, joined), len(keys) - 1)
            hits = np.flatnonzero(keys[at] == joined)
            hits = hits[row[hits] == row[hits + length - 1]]
            found.append(np.array([hit for hit in hits if not self._inside_katakana(layout, hit, length)], np.int64))
        return np.sort(np.concatenate(found)), layout.first, layout

    def _prefixed(self, layout: Layout) -> npt.NDArray[np.int64]:
        """Words that begin with a Korean entry."""
        if not self.prefixes:
            return np.zeros(0, dtype=np.int64)
        firsts = np.array([int.from_bytes(syllable.encode(), "big") for syllable in self.prefixes])
        long = np.flatnonzero(layout.num_bytes >= 3)
        starts = layout.starts[long]
        data = layout.data
        begins = (data[starts].astype(np.int64) << 16) | (data[starts + 1].astype(np.int64) << 8) | data[starts + 2]
        hits = []
        for word in long[np.isin(begins, firsts)]:
            written = _word(layout, int(word))
            if any(written.startswith(entry) for entry in self.prefixes[written[0]]):
                hits.append(int(word))
        return np.array(hits, dtype=np.int64)

    @staticmethod
    def _inside_katakana(layout: Layout, word: int, length: int) -> bool:
        """Whether a run of katakana goes on before or behind the words."""

        def joined(left: int, right: int) -> bool:
            if right >= len(layout.starts) or left < 0:
                return False
            together = layout.starts[left] + layout.num_bytes[left] == layout.starts[right]
            edge = (_word(layout, left)[-1], _word(layout, right)[0])
            return bool(together) and all(KATAKANA[0] <= each <= KATAKANA[1] for each in edge)

        return joined(word - 1, word) or joined(word + length - 1, word + length)


def read_entries(paths: Sequence[Path]) -> list[str]:
    """The entries of all files, without comments and blank lines; RequestError where a file has none."""
    entries: list[str] = []
    for path in paths:
        lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").split("\n"))
        kept = [line for line in lines if line]
        if not kept:
            raise RequestError(f"{path}: no words are in it. Give a text file with a word or phrase per line.")
        entries += kept
    return entries


def _words_of(text: Column) -> Layout:
    plain = pc.utf8_lower(cast("Any", pc).utf8_normalize(text, form="NFKC"))  # not in pyarrow's stubs
    return segment_by_script(pa.record_batch({"text": plain}))


def _word(layout: Layout, word: int) -> str:
    return layout.data[layout.starts[word] :][: layout.num_bytes[word]].tobytes().decode()


def _joined(hashes: Hashes, length: int) -> Hashes:
    """One hash per run of `length` words, by its first word."""
    joined = np.zeros(max(0, len(hashes) - length + 1), dtype=np.uint64)
    for offset in range(length):
        joined = joined * STEP + hashes[offset : len(hashes) - length + 1 + offset]
    return joined
