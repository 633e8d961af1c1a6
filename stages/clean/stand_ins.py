"""Values that look like personal data and belong to nobody: what `replace: stand_in` writes.

Each comes from a range that its issuer keeps free, or that can no longer be anyone's:

    email            under example.com, example.org, example.net (RFC 2606)
    ip               192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 (RFC 5737), 2001:db8::/32 (RFC 3849)
    card             the schemes' published test numbers of the same length, with the separators of the value
    iban             the country's, with zeros for the bank and right check digits
    us_ssn           987-65-4320 to 987-65-4329, never issued (Social Security Administration, for advertisements)
    cn_id            of a person born from 1900 to 1909, with the right check digit
    cn_mobile        190 0000 and four digits
    phone            the example number of libphonenumber for the country; 555-01xx in North America
    national_phone   the value with its last seven digits as 5550100 and the like
    secrets          other characters of the same kinds (digits, small, capital), the published prefix kept

The form of the value stays: blanks, dashes, letter case of an IBAN.
"""

import random
import re
import string

TEST_CARDS = (  # as the schemes and payment providers publish them
    "4222222222222", "378282246310005", "371449635398431", "30569309025904", "38520000023237", "4111111111111111",
    "4012888888881881", "5555555555554444", "5105105105105100", "6011111111111117", "6011000990139424",
    "3530111333300000", "3566002020360505", "6200000000000005", "6304000000000000", "6759649826438453",
    "6205500000000000004",
)  # fmt: skip
LOCAL_PARTS = ("info", "office", "contact", "mail", "team", "hello", "post", "desk")


def stand_in(kind: str, value: str, rng: random.Random) -> str:
    """Another value of this type; `rng` is seeded by document, type and value."""
    return MAKERS.get(kind, _same_kinds)(value, rng)


def _email(value: str, rng: random.Random) -> str:
    return f"{rng.choice(LOCAL_PARTS)}{rng.randrange(10_000)}@example.{rng.choice(('com', 'org', 'net'))}"


def _url_credentials(value: str, rng: random.Random) -> str:
    return f"user{rng.randrange(10_000)}:{_same_kinds('xxxxxxxx', rng)}"


def _ip(value: str, rng: random.Random) -> str:
    if ":" in value:
        return "2001:db8::" + ":".join(f"{rng.randrange(1, 1 << 16):x}" for _ in range(3))
    return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"


def _card(value: str, rng: random.Random) -> str:
    size = sum(map(str.isdigit, value))
    fitting = [card for card in TEST_CARDS if len(card) == size] or [card for card in TEST_CARDS if len(card) == 16]
    return _in_form(value, rng.choice(fitting))


def _iban(value: str, rng: random.Random) -> str:
    compact = value.replace(" ", "")
    account = f"{rng.randrange(10**6):06d}".rjust(len(compact) - 4, "0")
    country = compact[:2].upper()
    number = int("".join(str(int(character, 36)) for character in f"{account}{country}00"))
    made = iter(f"{compact[:2]}{98 - number % 97:02d}{account}")
    return "".join(character if character == " " else next(made) for character in value)


def _us_ssn(value: str, rng: random.Random) -> str:
    return _in_form(value, f"98765432{rng.randrange(10)}")


def _cn_id(value: str, rng: random.Random) -> str:
    head = f"110101190{rng.randrange(10)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{rng.randrange(1000):03d}"
    weighted = sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(head))
    return head + "10X98765432"[weighted % 11]


def _cn_mobile(value: str, rng: random.Random) -> str:
    digits = sum(map(str.isdigit, value))
    return _in_form(value, f"{re.sub('[^0-9]', '', value)[: digits - 11]}1900000{rng.randrange(10_000):04d}")


def _phone(value: str, rng: random.Random) -> str:
    import phonenumbers

    number = phonenumbers.parse(value, None)
    if number.country_code == 1:
        return f"+1 212-555-01{rng.randrange(100):02d}"
    region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    example = phonenumbers.example_number(region) or number
    return str(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL))


def _national_phone(value: str, rng: random.Random) -> str:
    digits = re.sub("[^0-9]", "", value)
    return _in_form(value, digits[:-7] + f"55501{rng.randrange(100):02d}")


def _same_kinds(value: str, rng: random.Random) -> str:
    """Other characters of the same kinds behind the first four, which name the vendor; dashes and lines stay."""
    if value.startswith("-----BEGIN"):
        return re.sub(r"(?<=\n)[A-Za-z0-9+/=]{16,}(?=\n)", lambda line: _kinds(line[0], rng), value)
    return value[:4] + _kinds(value[4:], rng)


def _kinds(value: str, rng: random.Random) -> str:
    kinds = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
    return "".join(rng.choice(next((kind for kind in kinds if each in kind), each)) for each in value)


def _in_form(value: str, digits: str) -> str:
    """The digits in the places of the digits of `value`."""
    made = iter(digits)
    return "".join(next(made, "0") if character.isdigit() else character for character in value)


MAKERS = {
    "email": _email,
    "url_credentials": _url_credentials,
    "ip": _ip,
    "card": _card,
    "iban": _iban,
    "us_ssn": _us_ssn,
    "cn_id": _cn_id,
    "cn_mobile": _cn_mobile,
    "phone": _phone,
    "national_phone": _national_phone,
}
