"""Reads MediaWiki XML dumps (pages-articles, any compression): one document per page, its wikitext as `content`.

Pages are cut out of the stream at `<page>` and `</page>` (inside a page the markup is escaped, so neither can occur
in text) and parsed one by one: a bad page costs itself, and memory holds one page. Of several revisions the last
counts. `extract: wikitext` turns the content into text. The id is the page's number; title, namespace, revision and
date go to `meta`, the wiki's language to `lang`, the page's address to `url`.

By design no documents: `wikidump.redirect`, `wikidump.namespace` (settings name those that are wanted) and
`wikidump.not_wikitext` (JSON of Wikidata, style sheets, Lua). Failed: `malformed_record`, `invalid_utf8`,
`record_too_large`, `empty_document`, and `truncated_input` where the file ends inside a page.
"""

import re
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import ClassVar

from corpusmill.pipeline.document import Batch, RawBatch
from corpusmill.pipeline.stage import InputFile, Kind, ReadContext, Refusal, StageSettings
from corpusmill.stages.collect.compressed import DamagedInputError, decompressed
from corpusmill.stages.collect.fields import BadRecord, to_json

CONTENT_TYPE = "text/x-wiki; charset=utf-8"

XML_SLACK = 3
"""A page's XML may be this many times `max_document_bytes`: escapes, and older revisions."""


@dataclass(frozen=True, kw_only=True)
class Wikidump(StageSettings):
    """Which pages are documents; namespace 0 holds the articles."""

    name: ClassVar[str] = "wikidump"
    kind: ClassVar[Kind] = "read"

    namespaces: tuple[int, ...] = (0,)

    def open(self) -> "WikidumpReader":
        return WikidumpReader(self)


class WikidumpReader:
    def __init__(self, settings: Wikidump) -> None:
        self.settings = settings

    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        batch = RawBatch()
        with context.open(file) as stream:
            pages = Pages(decompressed(stream), XML_SLACK * context.max_document_bytes)
            for number, xml in enumerate(pages):
                if xml is None:
                    detail = f"the page's XML is longer than {pages.max_bytes} bytes"
                    context.refuse(Refusal(file.name, str(number), "record_too_large", detail))
                    continue
                try:
                    rule = self._add(batch, Page(xml), pages.head, context.max_document_bytes)
                except BadRecord as bad:
                    context.refuse(Refusal(file.name, str(number), bad.reason, bad.detail))
                    continue
                if rule is not None:
                    context.refuse(Refusal(file.name, str(number), f"wikidump.{rule[0]}", rule[1], failed=False))
                if batch.full:
                    yield batch.take()
        if pages.damage:
            context.refuse(Refusal(file.name, "end", "truncated_input", pages.damage))
        elif pages.num_pages == 0 and pages.head.strip() and "<mediawiki" not in pages.head:
            context.refuse(Refusal(file.name, "all", "malformed_record", "no MediaWiki dump: no <mediawiki> element"))
        if batch.rows:
            yield batch.take()

    def _add(self, batch: RawBatch, page: "Page", head: str, max_bytes: int) -> tuple[str, str] | None:
        """Adds the page, or gives the rule by which it is no document, and more about it; raises BadRecord."""
        if page.redirect:
            return "redirect", page.title
        if page.namespace not in self.settings.namespaces:
            return "namespace", f"{page.namespace}: {page.title}"
        if page.model != "wikitext":
            return "not_wikitext", f"{page.model}: {page.title}"
        if not page.text or page.text.isspace():
            raise BadRecord("empty_document", page.title)
        content = page.text.encode("utf-8")
        if len(content) > max_bytes:
            raise BadRecord("record_too_large", f"the text is longer than max_document_bytes, {max_bytes}")
        meta = {"title": page.title, "namespace": page.namespace, "revision": page.revision, "date": page.date}
        batch.add(
            page.id,
            content=content,
            content_type=CONTENT_TYPE,
            url=page_url(head, page.title),
            lang=_found(LANGUAGE, head),
            meta=to_json(meta),
        )
        return None


class Page:
    """What one `<page>` element says; raises BadRecord where it is none."""

    def __init__(self, xml: bytes) -> None:
        try:
            xml.decode("utf-8")
            element = ET.fromstring(xml)
        except UnicodeDecodeError as error:
            raise BadRecord("invalid_utf8", f"byte {error.start} of the page: {error.reason}") from error
        except ET.ParseError as error:
            raise BadRecord("malformed_record", f"no XML: {error}") from error
        self.id = element.findtext("id") or ""
        self.title = element.findtext("title") or ""
        revisions = element.findall("revision")
        if not self.id or not revisions:
            raise BadRecord("missing_field", f"page {self.title!r} has no id or no revision")
        last = revisions[-1]
        self.text = last.findtext("text") or ""
        self.revision = last.findtext("id") or ""
        self.date = last.findtext("timestamp") or ""
        self.model = last.findtext("model") or "wikitext"  # dumps before 2013 do not say
        self.redirect = element.find("redirect") is not None or REDIRECT.match(self.text) is not None
        namespace = element.findtext("ns")  # missing in dumps before 2012
        self.namespace = int(namespace) if namespace is not None else _namespace_of(self.title)


class Pages:
    """The `<page>` elements of a dump as bytes, None for one that is longer than `max_bytes`.

    `head` is what stands before the first; after the last, `damage` says whether the file ends inside a page.
    """

    def __init__(self, chunks: Iterator[bytes], max_bytes: int) -> None:
        self.head = ""
        self.damage: str | None = None
        self.num_pages = 0
        self.max_bytes = max_bytes
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes | None]:
        held = b""
        inside = too_long = False
        for chunk in self._good_chunks():
            held += chunk
            while True:
                mark = b"</page>" if inside else b"<page>"
                at = held.find(mark)
                if at < 0:
                    break
                if inside:
                    self.num_pages += 1
                    page = held[: at + len(mark)]
                    yield None if too_long or len(page) > self.max_bytes else page
                    held = held[at + len(mark) :]
                else:
                    if self.num_pages == 0:
                        self.head = (self.head + held[:at].decode("utf-8", "replace"))[:HEAD_CHARACTERS]
                    held = held[at:]
                inside, too_long = not inside, False
            if not inside or len(held) > self.max_bytes:  # only a mark that is cut by the chunk's end matters
                too_long = too_long or inside
                if self.num_pages == 0 and not inside:
                    self.head = (self.head + held[:-10].decode("utf-8", "replace"))[:HEAD_CHARACTERS]
                held = held[-10:]
        if inside and not self.damage:
            self.damage = f"the file ends inside page {self.num_pages}"
        if self.num_pages == 0 and not inside:
            self.head = (self.head + held.decode("utf-8", "replace"))[:HEAD_CHARACTERS]

    def _good_chunks(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except DamagedInputError as error:
            self.damage = str(error)


HEAD_CHARACTERS = 100_000
LANGUAGE = re.compile(r"<mediawiki[^>]*xml:lang=\"([\w-]+)\"")
BASE = re.compile(r"<base>([^<]+)</base>")
REDIRECT = re.compile(r"\s*#(?:redirect|weiterleitung|redirection|rinvia|重定向|перенаправление)\b", re.IGNORECASE)
NAMESPACES = ("talk", "user", "wikipedia", "file", "image", "mediawiki", "template", "help", "category", "portal")


def page_url(head: str, title: str) -> str | None:
    """The page's address: the main page's, which the head names, with another title."""
    base = _found(BASE, head)
    if base is None:
        return None
    return unescape(base).rsplit("/", 1)[0] + "/" + urllib.parse.quote(title.replace(" ", "_"), safe="/:()',!*;@")


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[1] if match else None


def _namespace_of(title: str) -> int:
    """0 for an article, -1 for what the title says belongs elsewhere (old English dumps)."""
    prefix = title.partition(":")[0].lower()
    return -1 if ":" in title and (prefix in NAMESPACES or prefix.endswith(" talk")) else 0
