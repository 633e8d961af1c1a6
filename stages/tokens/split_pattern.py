"""A tokenizer's split pattern as a table: which pretoken begins here, one look at the table per character.

Byte-level BPE first cuts text by a regular expression (GPT-2's and its descendants), and each piece is merged on its
own. The expression becomes an automaton whose states are its ordered alternatives, so the piece found is the one that a
backtracking engine finds first: alternatives in order, greedy repeats longest first. A look ahead at one character
(`(?!\\S)`) and the end of the text (`$`) are decided when that character is read. Which characters are letters, digits
or spaces is asked of the engine itself (`members`), since engines carry different versions of Unicode.

Only what such patterns use is understood; for anything else `compile_pattern` says why not.
Source: R. Cox, "Regular Expression Matching: the Virtual Machine Approach" (ordered threads), here determinised.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from re import _constants as constants  # type: ignore[attr-defined]  # the parser of `re`, as a module since 3.11
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import numpy as np
import numpy.typing as npt

CODES = 0x110000
END = 0
"""The class of the end of the text; characters have classes from 1."""
PRIVATE = 0xF0000
"""Properties (`\\p{L}`) stand as private characters from here on while the parser of `re`, which lacks them, reads."""
MAX_STATES, MAX_CLASSES = 4000, 255

Members = Callable[[str], "npt.NDArray[np.bool_]"]
"""An expression for one character -> [CODES] which code points the engine matches with it."""


class UnsupportedPattern(Exception):
    """The pattern uses what the automaton cannot do."""


@dataclass(frozen=True)
class SplitTable:
    """The automaton. `steps` [states * classes]: next state << 1 | 1 if the piece may end before this character.

    State 0 is the end of the search, state 1 its start.
    """

    pages: npt.NDArray[np.int32]  # [0x1100] number of the page of code >> 8
    classes: npt.NDArray[np.uint8]  # [pages * 256] class of a character; page 0 is that of code points below 256
    steps: npt.NDArray[np.int32]
    num_classes: int


def compile_pattern(pattern: str, members: Members) -> SplitTable:
    """The automaton of `pattern`; raises UnsupportedPattern with the reason."""
    names: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        names.append(found[0])
        return chr(PRIVATE + len(names) - 1)

    plain = re.sub(r"\\[pP](?:\{\^?\w+\}|\w)", stand_in, pattern)
    try:
        tree = parser.parse(plain, re.UNICODE)
    except re.error as error:
        raise UnsupportedPattern(f"not readable: {error}") from error
    program = Program(names, members)
    program.add(tree, 0)
    program.code.append(("match",))
    return program.table()


@dataclass
class Program:
    """Instructions: char SET, split FIRST SECOND, jump TO, not_before SET, at_end, match."""

    names: list[str]
    members: Members
    code: list[tuple[Any, ...]] = field(default_factory=list)
    sets: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    _known: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def add(self, tree: Iterable[tuple[Any, Any]], flags: int) -> None:
        """Append the instructions of a parsed sequence."""
        items = list(tree)
        for index, (kind, value) in enumerate(items):
            if kind is constants.SUBPATTERN:
                _, on, off, inner = value
                if off or on & ~re.IGNORECASE:
                    raise UnsupportedPattern("switches other than (?i:")
                self.add(inner, flags | on)
            elif kind is constants.BRANCH:
                self._alternatives(value[1], flags)
            elif kind is constants.MAX_REPEAT:
                self._repeat(value, flags)
            elif kind is constants.POSSESSIVE_REPEAT:
                self._check_possessive(value, items[index + 1 :], flags)
                self._repeat(value, flags)
            elif kind is constants.ASSERT_NOT and value[0] == 1 and len(value[1]) == 1:
                self.code.append(("not_before", self._number(self._set(value[1][0], flags))))
            elif kind is constants.AT and value is constants.AT_END:
                self.code.append(("at_end",))
            else:
                self.code.append(("char", self._number(self._set((kind, value), flags))))

    def _alternatives(self, branches: list[Any], flags: int) -> None:
        jumps = []
        for branch in branches[:-1]:
            at = len(self.code)
            self.code.append(("split",))
            self.add(branch, flags)
            jumps.append(len(self.code))
            self.code.append(("jump",))
            self.code[at] = ("split", at + 1, len(self.code))
        self.add(branches[-1], flags)
        for at in jumps:
            self.code[at] = ("jump", len(self.code))

    def _repeat(self, value: Any, flags: int) -> None:
        low, high, inner = value
        for _ in range(low):
            self.add(inner, flags)
        if high == constants.MAXREPEAT:
            at = len(self.code)
            self.code.append(("split",))
            self.add(inner, flags)
            self.code.append(("jump", at))
            self.code[at] = ("split", at + 1, len(self.code))
            return
        splits = []
        for _ in range(high - low):
            splits.append(len(self.code))
            self.code.append(("split",))
            self.add(inner, flags)
        for at in splits:
            self.code[at] = ("split", at + 1, len(self.code))

    def _check_possessive(self, value: Any, after: list[tuple[Any, Any]], flags: int) -> None:
        """A possessive repeat is a greedy one where giving back could not help: what follows starts differently."""
        _, _, inner = value
        if len(inner) != 1:
            raise UnsupportedPattern("a possessive repeat of more than one character")
        mine = self._set(inner[0], flags)
        for kind, found in after:
            if kind is constants.AT and found is constants.AT_END:
                return
            optional = kind in (constants.MAX_REPEAT, constants.POSSESSIVE_REPEAT) and found[0] == 0
            item = found[2][0] if kind in (constants.MAX_REPEAT, constants.POSSESSIVE_REPEAT) else (kind, found)
            if (mine & self._set(item, flags)).any():
                raise UnsupportedPattern("a possessive repeat before characters of its own")
            if not optional:
                return

    def _set(self, expression: tuple[Any, Any], flags: int) -> npt.NDArray[np.bool_]:
        """[CODES] of one character's expression."""
        kind, value = expression
        if kind is constants.LITERAL:
            return self._literal(value, flags)
        if kind is constants.NOT_LITERAL:
            return ~self._literal(value, flags)
        if kind is constants.ANY:
            return ~self._literal(ord("\n"), 0)
        if kind is not constants.IN:
            raise UnsupportedPattern(f"{str(kind).lower()} in the pattern")
        found = np.zeros(CODES, dtype=np.bool_)
        negated = False
        for item, content in value:
            if item is constants.NEGATE:
                negated = True
            elif item is constants.RANGE:
                if flags & re.IGNORECASE:
                    raise UnsupportedPattern("a range that ignores case")
                found[content[0] : content[1] + 1] = True
            elif item is constants.CATEGORY:
                found |= self._category(content)
            else:
                found |= self._set((item, content), flags)
        return ~found if negated else found

    def _literal(self, code: int, flags: int) -> npt.NDArray[np.bool_]:
        if PRIVATE <= code < PRIVATE + len(self.names):
            return self._ask(self.names[code - PRIVATE])
        if flags & re.IGNORECASE:
            return self._ask(f"(?i:{re.escape(chr(code))})")
        found = np.zeros(CODES, dtype=np.bool_)
        found[code] = True
        return found

    def _category(self, category: Any) -> npt.NDArray[np.bool_]:
        name = str(category).removeprefix("CATEGORY_").removeprefix("UNI_")
        letters = {"SPACE": r"\s", "DIGIT": r"\d", "WORD": r"\w"}
        found = self._ask(letters[name.removeprefix("NOT_")])
        return ~found if name.startswith("NOT_") else found

    def _ask(self, expression: str) -> npt.NDArray[np.bool_]:
        if expression not in self._known:
            self._known[expression] = self.members(expression)
        return self._known[expression]

    def _number(self, members: npt.NDArray[np.bool_]) -> int:
        for number, known in enumerate(self.sets):
            if np.array_equal(known, members):
                return number
        self.sets.append(members)
        return len(self.sets) - 1

    def table(self) -> SplitTable:
        """Determinise."""
        signature = np.zeros(CODES, dtype=np.int64)
        for number, members in enumerate(self.sets):
            if number >= 62:
                raise UnsupportedPattern("more than 62 kinds of characters")
            signature |= members.astype(np.int64) << number
        kinds, class_of = np.unique(signature, return_inverse=True)
        if len(kinds) >= MAX_CLASSES:
            raise UnsupportedPattern(f"{len(kinds)} classes of characters")
        inside = [None, *([bool(kind >> number & 1) for number in range(len(self.sets))] for kind in kinds.tolist())]
        states: dict[tuple[int, ...], int] = {(): 0, (0,): 1}
        waiting: list[tuple[int, ...]] = [(0,)]
        steps = [[0] * len(inside)]
        while waiting:
            threads = waiting.pop(0)
            row = []
            for character in inside:
                matched, following = self._step(threads, character)
                if following not in states:
                    states[following] = len(states)
                    waiting.append(following)
                row.append(states[following] << 1 | matched)
            steps.append(row)
            if len(states) > MAX_STATES:
                raise UnsupportedPattern(f"more than {MAX_STATES} states")
        if any(step & 1 for step in steps[1]):
            raise UnsupportedPattern("it matches the empty text")
        pages, classes = paged_classes((class_of + 1).astype(np.uint8))
        return SplitTable(pages, classes, np.array(steps, dtype=np.int32).ravel(), len(inside))

    def _step(self, threads: tuple[int, ...], members: list[bool] | None) -> tuple[bool, tuple[int, ...]]:
        """(whether the piece may end here, the threads that go on), with the next character's sets; None is the end."""
        following: list[int] = []
        seen: set[int] = set()
        stack = list(reversed(threads))
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            kind, *targets = self.code[at]
            if kind == "match":
                return True, tuple(following)
            if kind == "split":
                stack += reversed(targets)
            elif kind == "jump":
                stack += targets
            elif kind == "at_end":
                stack += [at + 1] if members is None else []
            elif kind == "not_before":
                stack += [] if members is not None and members[targets[0]] else [at + 1]
            elif members is not None and members[targets[0]] and at + 1 not in following:
                following.append(at + 1)
        return False, tuple(following)


def paged_classes(class_of: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """A class per code point [CODES] as a two-level table: equal pages are stored once, the first page first."""
    blocks = class_of.reshape(-1, 256)
    known: dict[bytes, int] = {}
    numbers = [known.setdefault(block.tobytes(), len(known)) for block in blocks]
    return np.array(numbers, dtype=np.int32), np.frombuffer(b"".join(known), dtype=np.uint8).copy()
