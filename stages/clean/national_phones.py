"""Phone numbers as they are written inside a country, found by libphonenumber (the library `phonenumbers`).

Without a `+` a number has no form of its own: which groups of digits are a phone number depends on the country, so the
recipe names the regions. Matches must be valid numbers of the region, grouped as the country groups them or not at all
(`STRICT_GROUPING`), and not stand in an identifier, version, date, path, DOI or longer number. Python at about 1 MB/s
over the documents that hold seven digits in a row of groups.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

BEFORE = re.compile(r"(?:[A-Za-z0-9_#$%&=/\\@^~]|[A-Za-z0-9][-.:,]|[0-9] |\+ ?)\Z")
AFTER = re.compile(r"[A-Za-z0-9_%@/\\]|[-.:,/][0-9A-Za-z]| [0-9]")


@dataclass(frozen=True)
class NationalPhones:
    """Finds numbers of the regions, earlier ones first."""

    regions: tuple[str, ...]
    quick: str = r"[0-9](?:[ \x{a0}./()-]{0,3}[0-9]){6}"

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        import phonenumbers

        found: dict[int, int] = {}
        for region in self.regions:
            for match in phonenumbers.PhoneNumberMatcher(
                text, region, leniency=phonenumbers.Leniency.STRICT_GROUPING, max_tries=1 << 30
            ):
                raw = match.raw_string
                if raw.startswith("+") or (raw.isdigit() and raw[0] != "0"):
                    continue  # international ones have a type of their own; bare digits may be anything
                first = match.start + (raw.startswith("(") and ")" not in raw)
                if any(start < match.end and first < end for start, end in found.items()):
                    continue
                if not (BEFORE.search(text[max(0, first - 2) : first]) or AFTER.match(text, match.end)):
                    found[first] = match.end
        yield from sorted(found.items())


@cache
def known_regions() -> frozenset[str]:
    """ISO 3166 codes that libphonenumber has formats of."""
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)
