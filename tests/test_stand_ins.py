"""Stand-ins: of the same form, found again as the same type, nobody's, and chosen by the document alone."""

import random
import re

import pyarrow as pa
import pytest

from corpusmill.stages.clean.api_keys import Secrets
from corpusmill.stages.clean.masking import find_spans
from corpusmill.stages.clean.personal_data import PersonalData
from corpusmill.stages.clean.personal_patterns import PATTERNS
from corpusmill.stages.clean.stand_ins import TEST_CARDS, stand_in

VALUES = {
    "email": ["jane.doe+news@mail.example.com"],
    "url_credentials": ["joe:s3cret"],
    "ip": ["81.2.69.142", "2a00:1450:4001:82a::200e"],
    "card": ["4111 1111 1111 1111", "378282246310005", "4111-1111-1111-1111", "6205500000000000004"],
    "iban": ["GB82 WEST 1234 5698 7654 32", "de89370400440532013000"],
    "us_ssn": ["219-09-9999", "219 09 9999"],
    "cn_id": ["11010519491231002X"],
    "cn_mobile": ["13812345678", "+86 138 1234 5678"],
    "phone": ["+1 (212) 555-0123", "+44 20 7946 0958", "+49 30 12345678", "+81 3-1234-5678"],
    "national_phone": ["(212) 555-0123"],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in VALUES.items() for value in values])
def test_a_stand_in_has_the_form_of_its_type(kind: str, value: str) -> None:
    for seed in range(20):
        made = stand_in(kind, value, random.Random(seed))
        assert made == stand_in(kind, value, random.Random(seed))
        if kind in ("email", "card", "iban", "cn_id", "cn_mobile", "phone"):
            assert find_spans(f"x {made} y", PATTERNS) == [(2, 2 + len(made), kind)], made
        if kind in ("card", "us_ssn", "cn_mobile", "iban", "national_phone"):
            shape = [re.sub(r"[0-9]", "0", each) for each in (made, value)]
            assert kind == "iban" or shape[0] == shape[1]
            assert len(made) == len(value)


def test_what_is_written_belongs_to_nobody() -> None:
    rng = random.Random(1)
    assert re.fullmatch(r"\w+@example\.(com|org|net)", stand_in("email", "a@b.de", rng))
    assert stand_in("us_ssn", "219-09-9999", rng).startswith("987-65-432")
    assert re.match(r"192\.0\.2\.|198\.51\.100\.|203\.0\.113\.", stand_in("ip", "8.8.8.8", rng))
    assert stand_in("ip", "2a00:1450::8", rng).startswith("2001:db8::")
    assert stand_in("card", "4012888888881881", rng) in TEST_CARDS
    assert "555-01" in stand_in("phone", "+1 212 999 8888", rng)
    assert stand_in("iban", "DE89370400440532013000", rng)[4:12] == "0" * 8


def changed(texts: list[str]) -> list[str | None]:
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string())})
    return PersonalData(replace="stand_in").open().change(batch)[0].column("text").to_pylist()


def test_equal_values_of_a_document_stay_equal_and_documents_differ() -> None:
    text = "a@b.de wrote to c@d.org; a@b.de"
    (once,) = changed([text])
    assert once is not None
    first, second, third = re.findall(r"\S+@\S+?(?=;| |$)", once)
    assert first == third != second
    assert changed([f"{text}.", text, "x"]) == [changed([f"{text}."])[0], once, "x"]
    assert changed([f"{text}."])[0] != f"{once}."


def test_secrets_keep_their_prefix_and_kinds() -> None:
    value = "ghp_" + "a8Kd03mQz71LpX5vRt29WbYc64NfHgJs8eUi"
    batch = pa.record_batch({"text": pa.array([f"key {value}"], type=pa.large_string())})
    (made,) = Secrets(replace="stand_in").open().change(batch)[0].column("text").to_pylist()
    assert made is not None
    assert made.startswith("key ghp_")
    assert len(made) == len(f"key {value}")
    assert made != f"key {value}"
    block = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAabc1\n-----END RSA PRIVATE KEY-----"
    made = stand_in("private_key", block, random.Random(1))
    assert made.splitlines()[::2] == block.splitlines()[::2]
    assert made != block
