"""Finds personal data that has a checkable form, and masks it with the type's tag: `write to [EMAIL]`.

Types, each from its specification, in the order in which they win where they overlap:

    url_credentials  user:password of a URL (RFC 3986, 3.2.1)
    email            addr-spec of RFC 5322 without quotes, under a known top-level domain
    iban             ISO 13616: length of the country, remainder 1 modulo 97
    cn_id            GB 11643: region, date, check digit modulo 11
    card             ISO/IEC 7812: issuer, length, Luhn's check digit
    us_ssn           area, group and serial that can be issued, with dashes or blanks
    cn_mobile        11 digits, 13x to 19x
    phone            E.164: `+`, country code, as many digits as the country has
    ip               IPv4 and IPv6 that are globally routable: neither private nor reserved for documentation

Names, places and dates are not masked: they cannot be told from public ones by form. What stands inside a longer
identifier, number, version, path or DOI stays. Only ASCII letters and digits count as its neighbours, since
Chinese, Japanese and Thai put no blank around a number.

Cost: one RE2 pass per type over the Arrow buffer finds the documents that may hold it; Python sees those alone.
"""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold
from corpusmill.stages.clean.masking import MaskingWorker, check_types, counted_columns
from corpusmill.stages.clean.personal_patterns import PATTERNS


@dataclass(frozen=True, kw_only=True)
class PersonalData(StageSettings):
    """Counts per type; masks where `mask` is true; drops documents with more than `max_found` where that is set."""

    name: ClassVar[str] = "personal_data"
    kind: ClassVar[Kind] = "change"

    types: tuple[str, ...] = tuple(PATTERNS)
    mask: bool = True  # false: counted only
    max_found: int | None = threshold(None)  # of all types together

    def __post_init__(self) -> None:
        check_types(self.name, self.types, PATTERNS)

    def adds(self) -> dict[str, pa.DataType]:
        return counted_columns(self.name, self.types)

    def rules(self) -> tuple[Rule, ...]:
        if self.max_found is None:
            return ()
        return (Rule("personal_data.too_much", value=("personal_data_num_found",), op=">", limit=self.max_found),)

    def open(self) -> MaskingWorker:
        return MaskingWorker(self.name, PATTERNS, self.types, mask=self.mask)
