"""One spelling for the URLs of one page, by syntax alone (RFC 3986, section 6.2.2 and 6.2.3); nothing is fetched.

Case of scheme and host, the scheme's port, dots in the path and the fragment do not count, as the RFC has it. Beyond
it: http is https, a leading www., a user's name and a slash at the end of the path do not count, parameters are sorted,
and those that only say where a visitor came from are left out.
"""

import posixpath
import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

TRACKING = re.compile(
    r"utm_\w+|gclid|dclid|fbclid|msclkid|mc_[ce]id|igshid|yclid|_ga|_gl|phpsessid|jsessionid|sessionid", re.I
)
PORTS = {"http": 80, "https": 443}


def canonical_url(url: str | None) -> str:
    """The URL that stands for `url`; '' where it is none (no host)."""
    try:
        parts = urlsplit((url or "").strip())
        port, host = parts.port, (parts.hostname or "").removeprefix("www.").rstrip(".")
    except ValueError:  # a port that is no number, a bracket that is not closed: no URL that could be compared
        return ""
    if not host:
        return ""
    scheme = "https" if parts.scheme in ("http", "https") else parts.scheme
    shown_port = "" if port is None or port == PORTS.get(parts.scheme) else f":{port}"
    path = posixpath.normpath("/" + unquote(parts.path, errors="surrogateescape").lstrip("/")).rstrip("/")
    pairs = sorted(pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not TRACKING.fullmatch(pair[0]))
    query = f"?{urlencode(pairs)}" if pairs else ""
    return f"{scheme}://{host}{shown_port}{quote(path, errors='surrogateescape')}{query}"
