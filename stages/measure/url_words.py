"""Counts words in a document's URL that tell of pornography, gambling and the like; or a user's list of such words.

A list has an entry per line: `casino` must stand between characters that are no letters or digits, `*porn*` may stand
anywhere in the host, path or query. The default, `nsfw_url_words.txt`, is short and made for few false alarms. A
document without a URL is not measured.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.measure.word_list import read_entries

DEFAULT = Path(__file__).with_name("nsfw_url_words.txt")
NEVER = r"[^\x00-\x{10FFFF}]"


@dataclass(frozen=True, kw_only=True)
class UrlWords(StageSettings):
    """`url_words_num_found`; null without a URL. Documents with more than `max_found` are dropped."""

    name: ClassVar[str] = "url_words"
    kind: ClassVar[Kind] = "measure"
    depends: ClassVar[tuple[str, ...]] = ("pyarrow",)

    lists: tuple[Path, ...] = (DEFAULT,)
    max_found: int | None = threshold(0)  # None: measured, nothing dropped

    def adds(self) -> dict[str, pa.DataType]:
        return {"url_words_num_found": pa.int32()}

    def rules(self) -> tuple[Rule, ...]:
        if self.max_found is None:
            return ()
        return (Rule("url_words.listed", value=("url_words_num_found",), op=">", limit=self.max_found),)

    def files(self) -> tuple[Path, ...]:
        return self.lists

    def open(self) -> "UrlWordsWorker":
        return UrlWordsWorker(read_entries(self.lists))


class UrlWordsWorker:
    """Holds two expressions: of whole words, and of those that may stand anywhere."""

    def __init__(self, entries: list[str]) -> None:
        anywhere = [re.escape(entry.strip("*").lower()) for entry in entries if entry.startswith("*")]
        whole = [re.escape(entry.lower()) for entry in entries if not entry.startswith("*")]
        self.anywhere = "|".join(anywhere) or NEVER
        self.whole = rf" (?:{'|'.join(whole) or NEVER}) "

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        url: Any = pc.utf8_lower(pc.replace_substring_regex(batch.column("url"), r"^[a-zA-Z]+://", ""))
        separated = pc.replace_substring_regex(url, r"[^\pL\pN]+", "  ")  # two blanks: each word has its own two
        padded: Any = pc.binary_join_element_wise("  ", separated, "  ", "")
        found = pc.add(pc.count_substring_regex(url, self.anywhere), pc.count_substring_regex(padded, self.whole))
        return {"url_words_num_found": found.cast(pa.int32())}
