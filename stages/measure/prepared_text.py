"""How a text is written as the one line that a fastText model reads: the same in training and in use.

fastText splits at blanks and nothing else, so what it is to see as words must stand between blanks. A card names its
model's preparation:

    one_line   line feeds become spaces (language identification; models trained elsewhere)
    words      NFKC, lower case; addresses and @names go; every Han, kana, Thai, Lao, Khmer and Myanmar character and
               every mark or symbol becomes a word of its own (these scripts write no spaces between words)

All of it runs in Arrow and RE2, without a Python object per document: 15-30 MB/s.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import pyarrow.compute as pc

from corpusmill.pipeline.document import Column

ADDRESSES = r"https?://\S+|@\w+"
ALONE = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|[^\p{L}\p{N}\p{M}\p{Z}\s])"


def one_line(text: Column) -> Column:
    """The texts with line feeds as spaces and blank ends cut; null stays null, blank becomes ''."""
    return pc.utf8_trim_whitespace(pc.replace_substring(text, "\n", " "))


def words(text: Column) -> Column:
    """The texts as words between single spaces; null stays null, what holds no word becomes ''."""
    plain = pc.utf8_lower(cast("Any", pc).utf8_normalize(text, form="NFKC"))  # not in pyarrow's stubs
    plain = pc.replace_substring_regex(plain, ADDRESSES, " ")
    plain = pc.replace_substring_regex(plain, ALONE, r" \1 ")
    return cast("Column", pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, r"[\s\p{Z}]+", " ")))


PREPARATIONS: Final[dict[str, Callable[[Column], Column]]] = {"one_line": one_line, "words": words}
