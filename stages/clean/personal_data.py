"""Finds personal data that has a checkable form, and masks it with the type's tag: `write to [EMAIL]`.

Types, each from its specification, in the order in which they win where they overlap:

    url_credentials  user:password of a URL (RFC 3986, 3.2.1)
    email            addr-spec of RFC 5322 without quotes, under a known top-level domain
    iban             ISO 13616: length of the country, remainder 1 modulo 97
    cn_id            GB 11643: region, date, check digit modulo 11
    card             ISO/IEC 7812: issuer, length, Luhn's check digit
    us_ssn           area, group and serial that can be issued, with dashes or blanks
    cn_mobile        11 digits, 13x to 19x
    phone            E.164: `+`, country code, as many digits as the country has (libphonenumber)
    ip               IPv4 and IPv6 that are globally routable: neither private nor reserved for documentation
    national_phone   with `regions` alone: numbers as they are written inside these countries (libphonenumber)

Names, places and dates are not masked: they cannot be told from public ones by form. What stands inside a longer
identifier, number, version, path or DOI stays. Only ASCII letters and digits count as its neighbours, since
Chinese, Japanese and Thai put no blank around a number.

`replace: stand_in` writes a value of the same form that belongs to nobody instead of the tag (see `stand_ins.py`).

Cost: one RE2 pass per type over the Arrow buffer finds the documents that may hold it; Python sees those alone.
docs/personal_data.md has precision and recall.
"""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold
from corpusmill.stages.clean.masking import Finder, MaskingWorker, Replace, check_types, counted_columns
from corpusmill.stages.clean.national_phones import NationalPhones, known_regions
from corpusmill.stages.clean.personal_patterns import PATTERNS
from corpusmill.stages.clean.stand_ins import stand_in

NATIONAL_PHONE = "national_phone"


@dataclass(frozen=True, kw_only=True)
class PersonalData(StageSettings):
    """Counts per type; replaces what it finds; drops documents with more than `max_found` where that is set."""

    name: ClassVar[str] = "personal_data"
    kind: ClassVar[Kind] = "change"
    depends: ClassVar[tuple[str, ...]] = ("phonenumbers",)

    types: tuple[str, ...] = tuple(PATTERNS)
    regions: tuple[str, ...] = ()  # ISO 3166 codes, such as US, DE: whose national phone formats to find too
    replace: Replace = "tag"  # stand_in: a value of the same form; nothing: counted only
    max_found: int | None = threshold(None)  # of all types together

    def __post_init__(self) -> None:
        check_types(self.name, self.types, PATTERNS)
        unknown = [region for region in self.regions if region not in known_regions()]
        if unknown:
            raise RequestError(
                f"{self.name}.regions: '{unknown[0]}' is unknown, expected codes of ISO 3166 such as US, DE or CN."
            )

    def found_types(self) -> tuple[str, ...]:
        """The types counted, national phones included."""
        return (*self.types, NATIONAL_PHONE) if self.regions else self.types

    def adds(self) -> dict[str, pa.DataType]:
        return counted_columns(self.name, self.found_types())

    def rules(self) -> tuple[Rule, ...]:
        if self.max_found is None:
            return ()
        return (Rule("personal_data.too_much", value=("personal_data_num_found",), op=">", limit=self.max_found),)

    def open(self) -> MaskingWorker:
        finders: dict[str, Finder] = {**PATTERNS, NATIONAL_PHONE: NationalPhones(self.regions)}
        return MaskingWorker(self.name, finders, self.found_types(), replace=self.replace, stand_in=stand_in)
