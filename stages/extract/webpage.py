"""HTML to text with resiliparse: the whole visible text, or by rules of thumb the main content only.

Word F1 on 753 pages with reviewed main text: 0.855 (main content), 0.784 (all text); tests/test_webpage.py measures it.
About 320 pages (30 MB of HTML) per second and core.

A page cannot stop or kill a worker. resiliparse's work is linear in the page but for two shapes (tried: 100,000
nested `div` take minutes, as do 100,000 different attributes in one tag), so what no real page has is refused before
it is parsed: `max_html_bytes`, `max_tags`, `max_depth` of open `div` and `article`, `max_attributes` in one tag. All
are plain counts, so the same page has the same fate on every machine, which a time limit could not promise. The worst
pages we could build within these limits took 30 s; the counts themselves cost about a fifth of the extraction.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, StageSettings
from corpusmill.stages.extract.charset import decode_page


@dataclass(frozen=True, kw_only=True)
class Resiliparse(StageSettings):
    """What of a page is its text."""

    name: ClassVar[str] = "resiliparse"
    kind: ClassVar[Kind] = "extract"
    depends: ClassVar[tuple[str, ...]] = ("resiliparse",)

    main_content: bool = True  # without navigation, sidebars, footers
    comments: bool = True  # whether readers' comments count as main content
    alt_texts: bool = False  # descriptions of images
    list_bullets: bool = True
    max_html_bytes: int = 10 << 20
    max_tags: int = 500_000  # about 550 bytes of memory each
    max_depth: int = 512
    max_attributes: int = 10_000

    def open(self) -> "Extractor":
        return Extractor(self)


class Extractor:
    def __init__(self, settings: Resiliparse) -> None:
        self.settings = settings

    def extract(self, batch: Batch) -> tuple[Column, Column]:
        """Text and failed reason of every row, one of them null; rows without content keep the text they have."""
        texts: list[str | None] = []
        reasons: list[str | None] = []
        columns = (batch.column(name).to_pylist() for name in ("text", "content", "content_type"))
        for text, content, content_type in zip(*columns, strict=True):
            if content is None:
                got, reason = (text, None) if text else (None, "empty_document")
            else:
                got, reason = self.extract_page(content, content_type)
            texts.append(got)
            reasons.append(reason)
        return pa.array(texts, pa.large_string()), pa.array(reasons, pa.string())

    def extract_page(self, content: bytes, content_type: str | None) -> tuple[str | None, str | None]:
        """Text or failed reason of one page."""
        if len(content) > self.settings.max_html_bytes:
            return None, "record_too_large"
        page = decode_page(content, content_type)
        if page is None:
            return None, "unknown_charset"
        if (content_type or "").partition(";")[0].strip().lower() == "text/plain":
            text = page
        elif self._is_hostile(page.encode("utf-8", "replace").lower()):
            return None, "extract_failed"
        else:
            try:
                text = self._text_of(page)
            except BaseException as error:
                if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                    return None, "extract_failed"  # nothing but the parser runs here: it is about this page
                raise
        text = text.encode("utf-8", "replace").decode("utf-8")  # "&#xD800;" is no character
        return (text, None) if text and not text.isspace() else (None, "empty_document")

    def _is_hostile(self, page: bytes) -> bool:
        if page.count(b"<") > self.settings.max_tags:
            return True
        return too_deep(page, self.settings.max_depth) or too_many_attributes(page, self.settings.max_attributes)

    def _text_of(self, page: str) -> str:
        from resiliparse.extract.html2text import extract_plain_text

        settings = self.settings
        return str(
            extract_plain_text(
                page,
                preserve_formatting=True,
                main_content=settings.main_content,
                list_bullets=settings.list_bullets,
                alt_texts=settings.alt_texts,
                comments=settings.comments,
            )
        )


DEEP_TAG = re.compile(rb"<(/?)(?:div|article)(?=[\s/>])")

LONG_TAG = re.compile(rb"<[a-z](?:[^>\"']|\"[^\"]*\"|'[^']*')*+")
"""One tag without its end; it always matches where a tag begins, so that the search stays linear."""

QUOTED = re.compile(rb"\"[^\"]*\"|'[^']*'")

SMALL_PAGE_BYTES = 200_000
"""Attributes are not counted in smaller pages: the worst of them takes a few seconds."""


def too_deep(page: bytes, limit: int) -> bool:
    """Whether more than `limit` `div` and `article` elements are open at once, going by their tags alone."""
    if page.count(b"<div") + page.count(b"<article") <= limit:
        return False
    depth = 0
    for match in DEEP_TAG.finditer(page):
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > limit:
            return True
    return False


def too_many_attributes(page: bytes, limit: int) -> bool:
    """Whether a tag of a large page has more than about `limit` attributes."""
    if len(page) < SMALL_PAGE_BYTES:
        return False
    long_tags = (match[0] for match in LONG_TAG.finditer(page) if match.end() - match.start() > 4 * limit)
    return any(len(QUOTED.sub(b"", tag).split()) > limit for tag in long_tags)
