"""The patterns of personal data: a quick RE2 filter, an exact expression, and a check of what it found."""

import datetime
import ipaddress
import re
from typing import Final

from corpusmill.stages.clean.masking import Pattern
from corpusmill.stages.clean.number_plans import CARD_ISSUERS, CHINESE_REGIONS, COMMON_DOMAINS, IBAN_LENGTHS


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: the sum of the digits, every second from the right doubled, is a multiple of 10."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def is_card(value: str, match: re.Match[str]) -> bool:
    digits = re.sub(r"[ -]", "", value)
    issued = any(
        low <= int(digits[: len(str(low))]) <= high and len(digits) in lengths for low, high, lengths in CARD_ISSUERS
    )
    return issued and len(set(digits)) > 1 and luhn(digits)


def is_iban(value: str, match: re.Match[str]) -> bool:
    """ISO 7064, MOD 97-10, whose check digits are 02 to 98; the expression has checked country and length."""
    compact = value.replace(" ", "").upper()
    return (
        "02" <= compact[2:4] <= "98"
        and int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1
    )


def is_us_ssn(value: str, match: re.Match[str]) -> bool:
    area, group, serial = re.split(r"[ -]", value)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_cn_id(value: str, match: re.Match[str]) -> bool:
    """ISO 7064, MOD 11-2, as GB 11643 takes it."""
    value = value.upper()
    if value[:2] not in CHINESE_REGIONS:
        return False
    try:
        born = datetime.date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return False
    weighted = sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(value[:17]))
    return 1850 <= born.year < 2100 and "10X98765432"[weighted % 11] == value[17]


def is_cn_mobile(value: str, match: re.Match[str]) -> bool:
    digits = re.sub(r"[^0-9]", "", value)[-11:]
    return len(set(digits)) > 2 and not digits.endswith("000000")


def is_phone(value: str, match: re.Match[str]) -> bool:
    """An assigned country code and as many digits as numbers of it have, by libphonenumber's metadata."""
    import phonenumbers

    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        return False
    american = number.country_code == 1 and str(number.national_number)[:1] in "01"  # area codes begin with 2 to 9
    return bool(phonenumbers.is_possible_number(number)) and not american and value[1:2] != "0"


_VERSION_BEFORE = re.compile(
    r"(?i)(?:\b(?:v|ver|version|release|build|rev|revision|section|sec|chapter|figure|fig|table|firmware|upgraded? to)"
    r"[.:]? ?|(?:[=~><]=|~>|[\^§#])\s*|[a-z0-9_)]/)\Z"
)
_ADDRESS_BEFORE = re.compile(r"(?i)(?:\b(?:ip|ipv4|dns|host|server|address|addr|ping|resolver)\W*|//)\Z")


def is_public_ipv4(value: str, before: str) -> bool:
    """`before` are the characters in front of it: they tell an address from a version or the number of a section."""
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:  # an octet above 255 or with a leading zero
        return False
    octets = [int(octet) for octet in value.split(".")]
    like_a_version = max(octets) < 20 or max(octets[:2]) < 10  # one public address in 600 is so small
    like_a_version &= len(set(octets)) > 1  # 8.8.8.8
    if _VERSION_BEFORE.search(before) or (like_a_version and not _ADDRESS_BEFORE.search(before)):
        return False
    return address.is_global and not address.is_multicast


def is_public_ipv6(value: str) -> bool:
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return address.is_global and address in ipaddress.IPv6Network("2000::/3") and value.count(":") >= 3


def is_ip(value: str, match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 16) : match.start()]
    return is_public_ipv6(value) if ":" in value else is_public_ipv4(value, before)


def is_email(value: str, match: re.Match[str]) -> bool:
    local, _, domain = value.rpartition("@")
    top = domain.rpartition(".")[2].lower()
    known = top in COMMON_DOMAINS or len(top) == 2 or top.startswith("xn--") or not top.isascii()
    called = match.string[match.end() : match.end() + 1] in ("(", "[", "=")  # a @ b.sum() multiplies matrices
    return known and not called and local.lower() != "git" and len(local) <= 64


def _iban_expression() -> str:
    """Every country with its length: in groups of four in capitals, or without blanks in either case."""
    made = []
    for country, length in IBAN_LENGTHS.items():
        fours, rest = divmod(length - 4, 4)
        spaced = rf"(?: [A-Z0-9]{{4}}){{{fours}}}" + (rf" [A-Z0-9]{{{rest}}}" if rest else "")
        made.append(rf"{country}[0-9]{{2}}(?:{spaced}|[A-Z0-9]{{{length - 4}}})")
        made.append(rf"{country.lower()}[0-9]{{2}}[a-z0-9]{{{length - 4}}}")
    return "|".join(made)


# What may not stand beside a number: an ASCII letter or digit, or one with a joint between.
_ALONE = r"(?<![A-Za-z0-9_])(?<![A-Za-z0-9][-./])(?<![0-9]:)(?<![/%&\\])"
_ENDS = r"(?![A-Za-z0-9_])(?![-./:]?[0-9])(?!-[A-Za-z])"
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"

PATTERNS: Final[dict[str, Pattern]] = {
    "url_credentials": Pattern(
        quick=r"://[^/\s:@]+:[^/\s@]+@",
        exact=re.compile(r"(?<=://)(?P<value>[^/\s:@'\"<>{}$]{1,64}:[^/\s@'\"<>{}$]{1,128})(?=@[A-Za-z0-9\[])"),
        accepts=lambda value, match: True,
    ),
    "email": Pattern(
        quick=r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]@[\pL\pN-]+\.",
        exact=re.compile(
            rf"(?<![A-Za-z0-9_.+/@%-])(?P<value>[A-Za-z0-9_+]{_LOCAL}{{0,63}}(?:\.{_LOCAL}{{1,63}}){{0,8}}"
            r"@(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59}|[^\W\d_A-Za-z]{2,24}))"
            r"(?![A-Za-z0-9_-])(?!\.[A-Za-z0-9_])(?!:[A-Za-z0-9_./~])"
        ),
        accepts=is_email,
    ),
    "iban": Pattern(
        quick=r"(?i)[a-z]{2}[0-9]{2} ?[a-z0-9]{4}",
        exact=re.compile(rf"(?<![A-Za-z0-9_/&%+-])(?P<value>{_iban_expression()})(?![A-Za-z0-9_])"),
        accepts=is_iban,
    ),
    "cn_id": Pattern(
        quick=r"[0-9]{17}[0-9Xx]",
        exact=re.compile(rf"{_ALONE}(?P<value>[1-9][0-9]{{16}}[0-9Xx]){_ENDS}"),
        accepts=is_cn_id,
    ),
    "card": Pattern(
        quick=r"[0-9](?:[ -]?[0-9]){11}",
        exact=re.compile(  # as printed: fours, 4-6-5 and 4-6-4; not a negative number, not what code compares with
            rf"{_ALONE}(?<!-)(?<![=<>!]= )"
            rf"(?P<value>[0-9]{{12,19}}|[0-9]{{4}}(?P<joint>[ -])(?:(?:[0-9]{{4}}(?P=joint)){{2}}[0-9]{{4}}"
            rf"(?:(?P=joint)[0-9]{{3}})?|[0-9]{{6}}(?P=joint)[0-9]{{4,5}})){_ENDS}"
        ),
        accepts=is_card,
        may_run_on=True,
    ),
    "us_ssn": Pattern(
        quick=r"[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}",
        exact=re.compile(
            rf"{_ALONE}(?<![0-9] )(?P<value>[0-9]{{3}}(?P<joint>[ -])[0-9]{{2}}(?P=joint)[0-9]{{4}}){_ENDS}(?! [0-9])"
        ),
        accepts=is_us_ssn,
    ),
    "cn_mobile": Pattern(
        quick=r"1[3-9][0-9](?:[0-9]{8}|[ -][0-9]{4}[ -][0-9]{4})",
        exact=re.compile(
            r"(?<![A-Za-z0-9_$.#-])(?<![/%&\\])(?P<value>(?:(?:\+|00)?86[ -]?)?"
            rf"1[3-9][0-9](?:[0-9]{{8}}|(?P<joint>[ -])[0-9]{{4}}(?P=joint)[0-9]{{4}})){_ENDS}"
        ),
        accepts=is_cn_mobile,
    ),
    "phone": Pattern(
        quick=r"\+\(?[1-9]",
        exact=re.compile(
            r"(?<![A-Za-z0-9_)+\]])(?P<value>\+\(?[1-9][0-9]{0,2}\)?(?:[ .-]?\([0-9]{1,4}\))?"
            r"(?:[ .\u00a0-]?[0-9]){5,14})(?![0-9A-WYZa-wyz_])(?![.,:/-][0-9])"
        ),
        accepts=is_phone,
        may_run_on=True,
    ),
    "ip": Pattern(
        quick=r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:",
        exact=re.compile(
            r"(?<![A-Za-z0-9_.$-])(?P<value>[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![A-Za-z0-9_-])(?!\.[0-9A-Za-z])"
            r"|(?<!:)[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}(?<!:)(?![A-Za-z0-9_:.])|"
            r"(?<!:)[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{1,4}){1,6}::(?![A-Za-z0-9_:.]))"
        ),
        accepts=is_ip,
    ),
}
"""In the order in which they win where they overlap."""
