"""Finds credentials that a program would accept, and masks them with their type: `token: [API_KEY]`.

    private_key      a PEM or PGP block from BEGIN to END (RFC 7468)
    jwt              JSON web tokens whose header decodes to JSON (RFC 7519)
    api_key          the published formats of AWS, GitHub, GitLab, Google, Slack, Stripe, OpenAI, Anthropic, npm, PyPI,
                     SendGrid, Twilio, Telegram, Hugging Face, Discord, Mailchimp, Square, Artifactory, Azure storage
    assigned_secret  a value given to a name such as password, secret, token or api_key, if it looks random: quoted, or
                     bare to the end of its line; 10 characters or more of letters and digits, with at least 3 bits of
                     entropy per character

The formats are prefixes that their vendors chose so that scanners find them; values are not tried anywhere.
"""

import base64
import binascii
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Final

import pyarrow as pa

from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold
from corpusmill.stages.clean.masking import MaskingWorker, Pattern, Replace, check_types, counted_columns
from corpusmill.stages.clean.stand_ins import stand_in

KEY_FORMATS = (
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA|ANVA)[0-9A-Z]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,255}",
    r"github_pat_[A-Za-z0-9_]{82}",
    r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas|ffct)-[A-Za-z0-9_-]{20,200}",  # GitLab
    r"GR1348941[A-Za-z0-9_-]{20,50}",
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{24,250}",  # Stripe
    r"sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{32,200}",  # OpenAI, Anthropic
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-Ag(?:EIcHlwaS5vcmc|ENdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,250}",
    r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",  # SendGrid
    r"(?:SK|AC)[0-9a-f]{32}",  # Twilio
    r"hf_[A-Za-z]{34}",
    r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",  # Telegram
    r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",  # Discord
    r"[0-9a-f]{32}-us[0-9]{1,2}",  # Mailchimp
    r"sq0(?:csp|atp|idp)-[0-9A-Za-z_-]{22,43}",  # Square
    r"AKC[A-Za-z0-9]{10,80}",  # Artifactory
)


@dataclass(frozen=True, kw_only=True)
class Secrets(StageSettings):
    """Counts per type; replaces what it finds; drops documents with more than `max_found` where that is set."""

    name: ClassVar[str] = "secrets"
    kind: ClassVar[Kind] = "change"

    types: tuple[str, ...] = ("private_key", "jwt", "api_key", "assigned_secret")
    replace: Replace = "tag"  # stand_in: random characters of the same kinds; nothing: counted only
    max_found: int | None = threshold(None)  # of all types together

    def __post_init__(self) -> None:
        check_types(self.name, self.types, PATTERNS)

    def adds(self) -> dict[str, pa.DataType]:
        return counted_columns(self.name, self.types)

    def rules(self) -> tuple[Rule, ...]:
        if self.max_found is None:
            return ()
        return (Rule("secrets.too_many", value=("secrets_num_found",), op=">", limit=self.max_found),)

    def open(self) -> MaskingWorker:
        return MaskingWorker(self.name, PATTERNS, self.types, replace=self.replace, stand_in=stand_in)


def is_json_token(value: str, match: re.Match[str]) -> bool:
    header = value.partition(".")[0]
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))), dict)
    except (binascii.Error, ValueError):
        return False


def is_key(value: str, match: re.Match[str]) -> bool:
    """A format without a single digit, or of one repeated character, is a placeholder such as sk-xxxxxxxx."""
    return len(set(value)) >= 6 and (any(map(str.isdigit, value)) or value.startswith(("hf_", "AKIA", "ASIA")))


def is_random(value: str, match: re.Match[str]) -> bool:
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return mixed and entropy(value) >= 3.0


def entropy(value: str) -> float:
    """Shannon's, in bits per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


_NAMES = r"passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key|credential"
_EDGE = r"(?<![A-Za-z0-9_/+.-])"

PATTERNS: Final[dict[str, Pattern]] = {
    "private_key": Pattern(
        quick=r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----",
        exact=re.compile(
            r"(?P<value>-----BEGIN (?P<kind>[A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----"
            r"[^-]{16,16000}?-----END (?P=kind)-----)"
        ),
        accepts=lambda value, match: True,
    ),
    "jwt": Pattern(
        quick=r"eyJ[A-Za-z0-9_-]{10,}\.eyJ",
        exact=re.compile(
            rf"{_EDGE}(?P<value>eyJ[A-Za-z0-9_-]{{10,2000}}\.eyJ[A-Za-z0-9_-]{{8,8000}}\.[A-Za-z0-9_-]{{16,2000}})(?![A-Za-z0-9_-])"
        ),
        accepts=is_json_token,
    ),
    "api_key": Pattern(
        quick="|".join(KEY_FORMATS) + r"|AccountKey=[A-Za-z0-9+/]{86}==|services/T[A-Z0-9]+/B",
        exact=re.compile(
            rf"(?:{_EDGE}|(?<=AccountKey=)|(?<=hooks\.slack\.com/services/))"
            rf"(?P<value>{'|'.join(KEY_FORMATS)}|(?<=AccountKey=)[A-Za-z0-9+/]{{86}}==|"
            r"(?<=services/)T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,30})(?![A-Za-z0-9_-])"
        ),
        accepts=is_key,
    ),
    "assigned_secret": Pattern(
        quick=rf"(?i)(?:{_NAMES})",
        exact=re.compile(
            rf"(?im)(?:{_NAMES})[A-Za-z0-9_-]{{0,20}}[\"']?\s{{0,4}}(?:=|:|=>|:=)\s{{0,4}}"
            r"(?:(?P<quote>[\"'])(?=[^\"'\n]{10,200}(?P=quote))|(?<=[=: ])(?=[^\"'\s]{10,200}\s*$))"
            r"(?P<value>[A-Za-z0-9+/=_.~!@#$%^&*-]{10,200})(?=[\"']|\s*$)"
        ),
        accepts=is_random,
    ),
}
"""In the order in which they win where they overlap."""
