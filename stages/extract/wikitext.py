"""MediaWiki's wikitext to plain text: prose, headings and lists stay; templates, tables, references and media go.

One pass over the markup's brackets with a stack, so nested and unbalanced ones cost linear time and lose only
themselves: what is opened and never closed is kept as text without its bracket. Not expanded: templates (but for a few
that wrap words or numbers), parser functions, transclusions. Sections that are left without text lose their heading.
"""

import re
from dataclasses import dataclass
from html import unescape
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, StageSettings


@dataclass(frozen=True, kw_only=True)
class Wikitext(StageSettings):
    """What of a wiki page is its text."""

    name: ClassVar[str] = "wikitext"
    kind: ClassVar[Kind] = "extract"

    headings: bool = True  # section titles, on lines of their own

    def open(self) -> "WikitextExtractor":
        return WikitextExtractor(self)


class WikitextExtractor:
    def __init__(self, settings: Wikitext) -> None:
        self.settings = settings

    def extract(self, batch: Batch) -> tuple[Column, Column]:
        """Text and failed reason of every row, one of them null; rows without content keep the text they have."""
        texts: list[str | None] = []
        for text, content in zip(batch.column("text").to_pylist(), batch.column("content").to_pylist(), strict=True):
            if content is not None:
                text = plain_text(content.decode("utf-8", "replace"), headings=self.settings.headings)
            texts.append(text or None)
        reasons = [None if text else "empty_document" for text in texts]
        return pa.array(texts, pa.large_string()), pa.array(reasons, pa.string())


def plain_text(wikitext: str, *, headings: bool = True) -> str:
    """The text of a page, paragraphs apart by an empty line; '' where nothing is left."""
    text = COMMENT.sub("", wikitext.replace("\r\n", "\n"))
    text = NOWIKI.sub(lambda match: match[1].translate(HIDE), text)
    text = REFERENCE.sub("", text)
    text = DROPPED_ELEMENT.sub("", text)
    text = _without_brackets(text)
    text = LINE_BREAK.sub("\n", text)
    text = TAG.sub("", text)
    text = EXTERNAL_LINK.sub(lambda match: match[1] or "", text)
    text = QUOTES.sub("", MAGIC_WORD.sub("", text))
    text = unescape(text).translate(SHOW).replace("\u00a0", " ")
    return _laid_out(text, headings)


COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
NOWIKI = re.compile(r"<nowiki>(.*?)(?:</nowiki>|\Z)", re.DOTALL | re.IGNORECASE)
REFERENCE = re.compile(r"<ref\b[^<>]*/>|<ref\b[^<>]*>.*?(?:</ref\s*>|\Z)", re.DOTALL | re.IGNORECASE)
DROPPED_ELEMENT = re.compile(
    r"<(gallery|timeline|imagemap|references|score|hiero|table|templatestyles|indicator)\b[^<>]*(?:/>|>.*?(?:</\1\s*>|\Z))",
    re.DOTALL | re.IGNORECASE,
)
LINE_BREAK = re.compile(r"<(?:br|hr|p)\b[^<>]*>", re.IGNORECASE)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
EXTERNAL_LINK = re.compile(r"\[(?:https?:|ftp:|mailto:)?//[^\s\[\]]++(?:[ \t]++([^\[\]\n]*+))?\]")
MAGIC_WORD = re.compile(r"__[A-Z]{3,}__")
QUOTES = re.compile(r"'{2,5}")

HIDDEN = "[]{}|'<>=*#:;&_"
HIDE = {ord(letter): 0xE000 + place for place, letter in enumerate(HIDDEN)}
SHOW = {value: chr(key) for key, value in HIDE.items()}
"""What stands between <nowiki> tags is moved to private characters while markup is taken away, and back."""

BRACKET = re.compile(r"\{\{|\}\}|\[\[|\]\]|^[ \t:]*\{\||^[ \t]*\|\}(?!\})", re.MULTILINE)
CLOSES = {"}}": "{{", "]]": "[[", "|}": "{|"}


def _without_brackets(text: str) -> str:
    """Templates and tables gone, links as their labels."""
    pieces: list[str] = []
    open_brackets: list[tuple[str, int]] = []  # with the place in `pieces` where the inside begins
    start = 0
    for match in BRACKET.finditer(text):
        pieces.append(text[start : match.start()])
        start = match.end()
        token = match[0].strip(" \t:")
        if token not in CLOSES:
            open_brackets.append((token, len(pieces)))
            continue
        opened = CLOSES[token]
        if not any(kind == opened for kind, _ in open_brackets[-MAX_DEPTH:]):
            continue  # closes nothing
        while True:  # what was opened inside and not closed is text
            kind, place = open_brackets.pop()
            if kind == opened:
                break
        inside = "".join(pieces[place:])
        del pieces[place:]
        pieces.append(_link(inside) if kind == "[[" else _template(inside) if kind == "{{" else "")
    pieces.append(text[start:])
    return "".join(pieces)


MAX_DEPTH = 40

MEDIA_NAMES = """
file image category media datei bild kategorie fichier catégorie archivo imagen categoría immagine categoria arquivo
ficheiro imagem bestand afbeelding categorie plik grafika fil kategori tiedosto luokka файл изображение категория
зображення категорія soubor kategorie fájl kép kategória dosya resim ملف صورة تصنيف پرونده رده קובץ קטגוריה चित्र श्रेणी
ไฟล์ ภาพ หมวดหมู่ 文件 檔案 图像 圖像 分类 分類 ファイル 画像 カテゴリ 파일 그림 분류 tập_tin hình thể_loại
attēls kategorija
"""
MEDIA = frozenset(MEDIA_NAMES.split())
INTERWIKI = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?\Z|simple\Z")
PIPE_TRICK = re.compile(r"^(?:[\w ]+:)?(.+?)(?:,.*|\s*\(.*\))?$", re.DOTALL)


def _link(inside: str) -> str:
    """What the reader sees of [[inside]]."""
    target, bar, label = inside.partition("|")
    prefix, colon, rest = target.strip().partition(":")
    if colon and rest:
        if prefix.strip().replace(" ", "_").lower() in MEDIA:
            return ""
        if not bar and INTERWIKI.match(prefix):
            return ""  # the same article in another language
    if not bar:
        return target.strip().lstrip(":")
    if label.strip():
        return label
    match = PIPE_TRICK.match(target) if len(target) < 300 else None
    return match[1] if match else target


WRAPPERS = ("lang", "nowrap", "nobr", "small", "big", "abbr", "transl", "transliteration", "center", "sic", "nihongo")
SEPARATORS = {"ndash": "–", "mdash": "—", "spaced ndash": " – ", "snd": " – ", "nbsp": " ", "!": "|", "=": "="}


def _template(inside: str) -> str:
    """The words that a template wraps, for the few that are known; else nothing."""
    name, *parameters = inside.split("|")
    name = name.strip().lower()
    if name in SEPARATORS:
        return SEPARATORS[name]
    plain = [parameter for parameter in parameters if "=" not in parameter]
    if name in WRAPPERS and plain:
        return plain[-1] if name in ("lang", "transl", "transliteration") else plain[0]
    if name in ("convert", "cvt") and len(plain) >= 2:
        return f"{plain[0]} {plain[1]}"
    return ""


LIST_ITEM = re.compile(r"^[*#:;]+\s*")
EMPTY_PARENTHESES = re.compile(r"[ \t]?[(（][\s,;，；]*[)）]")


def _heading(line: str) -> tuple[int, str]:
    """Level and title of a heading such as `== History ==`; level 0 where the line is none."""
    before, after = len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("="))
    level = min(before, after, 6)
    if before == len(line):
        return 0, ""
    return level, line[level : len(line) - level].strip()


def _laid_out(text: str, headings: bool) -> str:
    """Lines in order, lists with dashes, no heading without text behind it, one empty line between paragraphs."""
    lines: list[str] = []
    waiting: list[tuple[int, str]] = []  # headings that have no text yet, outer ones first
    for line in text.split("\n"):
        level, title = _heading(line.strip())
        if level:
            waiting = [*((depth, outer) for depth, outer in waiting if depth < level), (level, title)]
            line = ""
        item = LIST_ITEM.match(line)
        body = EMPTY_PARENTHESES.sub("", line[item.end() :] if item else line).strip()
        if item and body:
            body = f"- {body}" if line[0] in "*#" else body
        if not body or body in ("-", "|", "|-"):
            if lines and lines[-1]:
                lines.append("")
            continue
        if headings:
            lines += [part for _, outer in waiting if outer for part in (outer, "")]
        waiting = []
        lines.append(body)
    return "\n".join(lines).strip("\n")
