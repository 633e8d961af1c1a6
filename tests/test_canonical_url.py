import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.stages.gather.canonical_url import canonical_url


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTP://Example.COM", "https://example.com"),
        ("https://www.example.com:443/", "https://example.com"),
        ("http://example.com:80/a/", "https://example.com/a"),
        ("http://example.com:443/", "https://example.com:443"),
        ("https://example.com:8080/a", "https://example.com:8080/a"),
        ("https://example.com/a/./b/../c#part", "https://example.com/a/c"),
        ("https://example.com/%7Euser", "https://example.com/~user"),
        ("https://example.com/caf%C3%A9", "https://example.com/caf%C3%A9"),
        ("https://example.com/é", "https://example.com/%C3%A9"),
        ("https://example.com/A", "https://example.com/A"),
        ("https://example.com/?b=2&a=1", "https://example.com?a=1&b=2"),
        ("https://example.com/p?utm_source=x&id=3&fbclid=9", "https://example.com/p?id=3"),
        ("https://example.com/p?q=", "https://example.com/p?q="),
        ("https://example.com./", "https://example.com"),
        ("https://user@example.com/x", "https://example.com/x"),
        ("ftp://example.com/x", "ftp://example.com/x"),
        ("https://例え.jp/道", "https://例え.jp/%E9%81%93"),
        ("", ""),
        (None, ""),
        ("not a url", ""),
        ("/only/a/path", ""),
        ("https://example.com:port/", ""),
        ("https://[::1/", ""),
    ],
)
def test_spellings(url: str | None, canonical: str) -> None:
    assert canonical_url(url) == canonical


@given(st.text(max_size=20), st.text(max_size=10))
def test_canonical_twice_is_canonical_once(path: str, query: str) -> None:
    once = canonical_url(f"http://example.com/{path}?{query}")
    assert canonical_url(once) == once
