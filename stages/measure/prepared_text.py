"""How a text is written as the one line that a fastText model reads: the same in training and in use.

fastText splits at blanks and nothing else, so what it is to see as words must stand between blanks. A card names its
model's preparation:

    one_line   line feeds become spaces (language identification; models trained elsewhere)
    joined_lines   lines, wherever Python's `splitlines` cuts, joined by a space: what DCLM gives to its classifiers
    words      NFKC, lower case, without addresses and @names; a blank between any two words, where each character
               of a script without spaces and each symbol is a word (`stages/kernels/spacing.py`)
    layout     the same with numbers as 0 and a word for the length and the end of each line

Arrow and a kernel do it, without a Python object per document.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import pyarrow.compute as pc

from corpusmill.pipeline.document import Column

ADDRESSES = r"https?://\S+|@\w+"
LINE_ENDS = r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x{85}\x{2028}\x{2029}]"


def one_line(text: Column) -> Column:
    """The texts with line feeds as spaces and blank ends cut; null stays null, blank becomes ''."""
    return pc.utf8_trim_whitespace(pc.replace_substring(text, "\n", " "))


def joined_lines(text: Column) -> Column:
    """`" ".join(text.strip().splitlines())`; null stays null."""
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(text), LINE_ENDS, " ")


def words(text: Column) -> Column:
    """The texts as words between single spaces; null and what holds no word become ''."""
    from corpusmill.stages.kernels.spacing import space_words

    return space_words(_plain(text))


def layout(text: Column) -> Column:
    """As `words`, with the layout of the lines."""
    from corpusmill.stages.kernels.spacing import space_words

    return space_words(_plain(text), layout=True)


def _plain(text: Column) -> Column:
    plain = pc.utf8_lower(cast("Any", pc).utf8_normalize(text, form="NFKC"))  # not in pyarrow's stubs
    return cast("Column", pc.replace_substring_regex(plain, ADDRESSES, " "))


PREPARATIONS: Final[dict[str, Callable[[Column], Column]]] = {
    "one_line": one_line,
    "joined_lines": joined_lines,
    "words": words,
    "layout": layout,
}
