"""personal_data: each type on both sides of its check, in many scripts, and what must stay."""

import json
import os
import random
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule
from corpusmill.stages.clean.masking import find_spans, mask_spans
from corpusmill.stages.clean.number_plans import IBAN_LENGTHS
from corpusmill.stages.clean.personal_data import PersonalData
from corpusmill.stages.clean.personal_patterns import PATTERNS, luhn

DATA = Path(os.environ.get("CORPUSMILL_DATA", ""))
needs_data = pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is unset")

MASKED = [
    ("write to jane.doe+news@mail.example.org, please", "write to [EMAIL], please"),
    ("mailto:a_b@x-y.de.", "mailto:[EMAIL]."),
    ("<info@müller.de>", "<[EMAIL]>"),
    ("邮箱foo@bar.com请联系", "邮箱[EMAIL]请联系"),
    ("https://joe:s3cret@example.com/x", "https://[URL_CREDENTIALS]@example.com/x"),
    ("4111 1111 1111 1111", "[CARD]"),  # the schemes' published test numbers
    ("4111-1111-1111-1111 123", "[CARD] 123"),
    ("卡号378282246310005。", "卡号[CARD]。"),
    ("3782 822463 10005", "[CARD]"),
    ("GB82 WEST 1234 5698 7654 32 EUR", "[IBAN] EUR"),  # the examples of ISO 13616
    ("de89370400440532013000", "[IBAN]"),
    ("NO93 8601 1117 947", "[IBAN]"),
    ("AT61 1904 3002 3457 3201 BANK", "[IBAN] BANK"),
    ("身份证11010519491231002X号", "身份证[CN_ID]号"),  # the example of GB 11643
    ("SSN 219-09-9999.", "SSN [US_SSN]."),
    ("手机13812345678", "手机[CN_MOBILE]"),
    ("+86 138 1234 5678", "[CN_MOBILE]"),
    ("call +1 (212) 555-0123 today", "call [PHONE] today"),
    ("+41 (0)69 979 80 58", "[PHONE]"),
    ("+44 20 7946 0958, 2024", "[PHONE], 2024"),
    ("from 81.2.69.142 at", "from [IP] at"),
    ("DNS 8.8.8.8", "DNS [IP]"),
    ("http://[2a00:1450:4001:82a::200e]/", "http://[[IP]]/"),
    ("2001:4860:4860::8888", "[IP]"),
]

KEPT = [
    "",
    "no data at all",
    "git@github.com:user/repo.git",
    "y = a @ b.sum() + W@x.T",
    "@Override public void a(){} // see foo@2x.png and pkg@1.2.3",
    "4111 1111 1111 1112",  # one digit off
    "4111111111111111000000",  # inside a longer number
    "id_4111111111111111",
    "[-4111111111111111, 7] and fib(62) == 4111111111111111",
    "GB82 WEST 1234 5698 7654 33",
    "GB82WEST12345698765432X",
    "110105194912310021",
    "110105194913310021",  # month 13
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
    "10.1016/123-45-6789 and 1-219-09-9999",
    "x = 13812345678901  # eleven digits are only its beginning",
    "timestamp 1381234567.138",
    "192.168.1.1 10.0.0.1 127.0.0.1 192.0.2.7 169.254.3.4 224.0.0.1 256.1.1.1 81.2.69",
    "version 81.2.69.142, Chrome/91.0.4472.124, pkg==81.2.69.142, section 1.2.3.4, V8 to 4.1.0.27",
    "1.3.6.1.4.1.311",
    "fe80::1 2001:db8::1 std::vector ab::cd 20:30:45",
    "2021-01-01T00:00:00+01:00 and 3+491234567 and (a)+12025550123",
    "+1 012 555 0123",
    "+999 1234567",
    "doi:10.1093/nar/gks1195 isbn 978-3-16-148410-0",
    "550e8400-e29b-41d4-a716-446655440000",
]

SCRIPTS = (
    "plain words",
    "Grüße aus Köln",
    "здравствуйте мир",
    "γειά σου",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "ওহে বিশ্ব",
    "ਸਤ ਸ੍ਰੀ ਅਕਾਲ",
    "હેલો વર્લ્ડ",
    "வணக்கம் உலகம்",
    "హలో ప్రపంచం",
    "ಹಲೋ ವರ್ಲ್ಡ್",
    "ഹലോ വേൾഡ്",
    "สวัสดีชาวโลก",
    "ສະບາຍດີ",
    "မင်္ဂလာပါ",
    "សួស្តី",
    "გამარჯობა",
    "բարեւ",
    "你好世界",
    "こんにちは",
    "안녕하세요",
    "ሰላም",
)


def batch_of(documents: list[str | None]) -> Batch:
    return pa.record_batch({"text": pa.array(documents, type=pa.large_string())})


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_masked(text: str, expected: str) -> None:
    changed, _ = PersonalData().open().change(batch_of([text]))
    assert changed.column("text").to_pylist() == [expected]
    assert PersonalData().open().change(changed)[0] is changed  # masking again finds nothing


@pytest.mark.parametrize("text", KEPT)
def test_kept(text: str) -> None:
    batch = batch_of([text, None])
    changed, columns = PersonalData().open().change(batch)
    assert changed is batch
    assert all(column.to_pylist() == [0, 0] for column in columns.values())


def test_counts_per_type_and_in_all() -> None:
    settings = PersonalData()
    text = "a@b.com c@d.org 219-09-9999"
    _, columns = settings.open().change(batch_of(["", text]))
    assert {name: column.type for name, column in columns.items()} == settings.adds()
    assert columns["personal_data_num_email"].to_pylist() == [0, 2]
    assert columns["personal_data_num_us_ssn"].to_pylist() == [0, 1]
    assert columns["personal_data_num_found"].to_pylist() == [0, 3]


def test_counting_alone_and_chosen_types() -> None:
    batch = batch_of(["a@b.com 219-09-9999"])
    counted, columns = PersonalData(replace="nothing").open().change(batch)
    assert counted is batch
    assert columns["personal_data_num_found"].to_pylist() == [2]
    changed, columns = PersonalData(types=("us_ssn",)).open().change(batch)
    assert changed.column("text").to_pylist() == ["a@b.com [US_SSN]"]
    assert set(columns) == {"personal_data_num_us_ssn", "personal_data_num_found"}
    with pytest.raises(RequestError, match="'ssn' is unknown"):
        PersonalData(types=("ssn",))


def test_the_rule() -> None:
    assert PersonalData().rules() == ()
    expected = Rule("personal_data.too_much", value=("personal_data_num_found",), op=">", limit=5)
    assert PersonalData(max_found=5).rules() == (expected,)


def made_values(rng: random.Random) -> dict[str, tuple[str, str]]:
    """Per type a value by its specification and one that breaks the check by one digit, computed here again."""

    def digits(number: int) -> str:
        return "".join(rng.choice("0123456789") for _ in range(number))

    card = rng.choice(["4", "51", "55", "2221", "6011", "62", "3530"])
    card += digits(15 - len(card))
    total = sum(sum(map(int, str(int(d) * (2 - i % 2)))) for i, d in enumerate(card))  # every second from the left: 16
    check = -total % 10
    country = rng.choice(sorted(IBAN_LENGTHS))
    account = digits(IBAN_LENGTHS[country] - 4)
    number = int(account + "".join(str(ord(letter) - 55) for letter in country) + "00")
    iban_check = 98 - number % 97
    born = (
        f"{rng.choice(['110105', '440305', '650102'])}19{rng.randint(50, 99)}0{rng.randint(1, 9)}1{rng.randint(0, 9)}"
    )
    born += digits(3)
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    id_check = "10X98765432"[sum(int(d) * w for d, w in zip(born, weights, strict=True)) % 11]
    wrong = "0" if id_check != "0" else "1"
    return {
        "card": (card + str(check), card + str((check + 1) % 10)),
        "iban": (f"{country}{iban_check:02d}{account}", f"{country}{(iban_check + 1) % 98:02d}{account}"),
        "cn_id": (born + id_check, born + wrong),
        "us_ssn": (
            f"{rng.randint(1, 665):03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}",
            f"666-12-{digits(4)}",
        ),
        "cn_mobile": (f"1{rng.choice('356789')}{digits(8)}7", f"12{digits(8)}7"),
        "email": (f"user{digits(3)}@host{digits(2)}.com", f"user{digits(3)}@host{digits(2)}"),
        "phone": (f"+4930{rng.randint(100000, 99999999)}", f"+999{digits(8)}"),
        "ip": (
            f"{rng.choice([81, 45, 151])}.{rng.randint(20, 199)}.{rng.randint(0, 255)}.7",
            f"10.{rng.randint(0, 255)}.3.7",
        ),
    }


@pytest.mark.parametrize("around", SCRIPTS)
def test_values_by_specification_in_every_script(around: str) -> None:
    rng = random.Random(around)
    for _ in range(20):
        for name, (right, wrong) in made_values(rng).items():
            for text in (f"{around} {right} {around}", f"{around}：{right}。"):
                start = text.index(right)
                assert find_spans(text, PATTERNS) == [(start, start + len(right), name)], (name, text)
            found = find_spans(f"{around} {wrong} {around}", PATTERNS)
            assert name not in [kind for _, _, kind in found], (name, wrong)


def test_luhn_against_the_published_example() -> None:
    assert luhn("79927398713")
    assert [d for d in "0123456789" if luhn("7992739871" + d)] == ["3"]


parts = st.sampled_from([text for text, _ in MASKED] + KEPT + list(SCRIPTS))


@given(st.lists(parts, max_size=5).map("\n".join))
def test_the_quick_filter_misses_nothing_and_masks_are_final(text: str) -> None:
    spans = find_spans(text, PATTERNS)
    changed, columns = PersonalData().open().change(batch_of([text]))
    assert changed.column("text").to_pylist() == [mask_spans(text, spans)]
    assert columns["personal_data_num_found"].to_pylist() == [len(spans)]
    assert all(end <= start for (_, end, _), (start, _, _) in pairwise(spans))


@given(st.lists(st.one_of(st.none(), parts), max_size=6), st.integers(0, 6))
def test_splitting_a_batch_changes_nothing(documents: list[str | None], cut: int) -> None:
    worker = PersonalData().open()
    whole = batch_of(documents)
    changed, columns = worker.change(whole)
    halves = [worker.change(part) for part in (whole.slice(0, cut), whole.slice(cut))]
    assert changed.column("text").to_pylist() == [t for part, _ in halves for t in part.column("text").to_pylist()]
    for name, column in columns.items():
        assert column.to_pylist() == [v for _, measured in halves for v in measured[name].to_pylist()]


def read_rows(path: Path) -> list[dict[str, object]]:
    content = zstandard.ZstdDecompressor().stream_reader(BytesIO(path.read_bytes())).read()
    return [json.loads(line) for line in content.split(b"\n") if line]


@needs_data
def test_precision_and_recall_on_labelled_sentences() -> None:
    """The floors of the project: card and IBAN 0.98, e-mail and SSN 0.95."""
    names = {"CREDIT_CARD": "card", "IBAN_CODE": "iban", "EMAIL_ADDRESS": "email", "US_SSN": "us_ssn"}
    right, found, labelled = (dict.fromkeys(names.values(), 0) for _ in range(3))
    for row in read_rows(DATA / "pii" / "presidio-synthetic-train.jsonl.zst"):
        spans: list[dict[str, object]] = row["spans"]  # type: ignore[assignment]  # JSON
        gold = {(s["start_position"], s["end_position"], names.get(str(s["entity_type"]))) for s in spans}
        for start, end, name in find_spans(str(row["text"]), PATTERNS):
            if name in found:
                found[name] += 1
                right[name] += (start, end, name) in gold
        for _, _, kind in gold:
            if kind is not None:
                labelled[kind] += 1
    for name, floor in {"card": 0.98, "iban": 0.98, "email": 0.95, "us_ssn": 0.95}.items():
        assert right[name] >= floor * labelled[name] > 0, name
        assert right[name] >= floor * found[name], name


@needs_data
def test_code_and_documentation_keep_their_numbers() -> None:
    """What is masked there is an address, or a number that passes a checksum: under one in a thousand documents."""
    texts = [
        str(row["text"])
        for domain in ("source-code", "techdocs-en", "math-latex", "law-zh", "zh-classical")
        for row in read_rows(DATA / "domains" / f"{domain}.val.jsonl.zst")
    ]
    numbers = [n for text in texts for _, _, n in find_spans(text, PATTERNS) if n not in ("email", "url_credentials")]
    assert len(numbers) <= 0.01 * len(texts)


def test_every_quick_pattern_is_looser_than_its_exact_one() -> None:
    for text, _ in MASKED:
        for name, pattern in PATTERNS.items():
            if pattern.exact.search(text):
                found = pc.match_substring_regex(pa.array([text]), pattern.quick)
                assert found.to_pylist() == [True], (name, text)
