"""Bytes of a web page to text: a byte order mark, then UTF-8 where it is valid, then what the page says, then a guess.

What is valid UTF-8 and not plain ASCII is UTF-8 whatever header and page claim (the odds that a GBK or Latin text is so
by chance fall by half per letter at least); plain ASCII reads the same in all but the escape-coded sets. Otherwise the
labels of the HTTP header, of the page's meta tag and of uchardet's guess are tried in that order, each by the WHATWG
table of names (a "latin1" is Windows-1252). The first that fits without a gap wins, else the one with fewest gaps.

Latin-1 fits nearly every byte, and is what servers and templates say that know nothing. So it comes last where the page
names another set, or uchardet guesses an East Asian one; browsers would show such a page as "ÄãºÃ".
"""

import codecs
import re

META_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]{0,500}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
HEADER_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
META_BYTES = 4096
"""The standard looks at 1,024 bytes; pages that put scripts before their meta tag are read by browsers all the same."""

BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

MAX_GAP_RATIO = 0.01
"""Above this share of characters that could not be read, the charset counts as unknown."""


def decode_page(content: bytes, content_type: str | None) -> str | None:
    """The page's text, or None where no charset fits; gaps are U+FFFD."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _if_readable(content[len(mark) :].decode(encoding, "replace"))
    escaped = b"\x1b" in content[:META_BYTES] or b"\x00" in content[:META_BYTES]  # ISO-2022, UTF-16 without mark
    if not escaped:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    best: str | None = None
    for encoding in _labels(content, content_type):
        text = content.decode(encoding, "replace")
        gaps = text.count("\ufffd")
        if gaps == 0:
            return text
        if best is None or gaps < best.count("\ufffd"):
            best = text
    return None if best is None else _if_readable(best)


def _labels(content: bytes, content_type: str | None) -> list[str]:
    """Python names of the charsets that header, page and detector give, each once, in the order of belief."""
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    header = HEADER_CHARSET.search(content_type or "")
    meta = META_CHARSET.search(content[:META_BYTES])
    claims = [header[1] if header else "", meta[1].decode("ascii", "replace") if meta else ""]
    names = [map_encoding_to_html5(claim, fallback_utf8=False) for claim in claims if claim]
    guess = detect_encoding(content, html5_compatible=False) or "utf-8"
    names += [map_encoding_to_html5(guess, fallback_utf8=False) or guess, "utf-8"]
    *claimed, guessed, last = [PYTHON_NAMES.get(name.lower(), name) for name in names if name]
    believed = [name for name in claimed if name != LATIN_1]
    believed += [guessed] if guessed in EAST_ASIAN and not believed else []
    return [name for name in dict.fromkeys([*believed, *claimed, guessed, last]) if _is_known(name)]


def _is_known(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding  # "rot13" and "hex" are codecs too
    except LookupError:
        return False


PYTHON_NAMES = {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}
"""The supersets that browsers read under these names."""


LATIN_1 = "cp1252"
EAST_ASIAN = ("gb18030", "big5hkscs", "cp932", "cp949", "euc_jp", "iso2022_jp")


def _if_readable(text: str) -> str | None:
    return text if text.count("\ufffd") <= MAX_GAP_RATIO * len(text) else None
