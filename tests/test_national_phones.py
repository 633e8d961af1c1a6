"""National phone numbers: written as each country writes them they are found, and what looks like them is not."""

import phonenumbers
import pyarrow as pa
import pytest

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.clean.national_phones import NationalPhones
from corpusmill.stages.clean.personal_data import PersonalData

KEPT = [
    "released on 2024-01-02 and 02.01.2024, 12/31/1999",
    "version 1.2.3.4 and 10.1016/123-45-6789",
    "ISBN 978-3-16-148410-0",
    "4111 1111 1111 1111",
    "x_2125550123 = 2125550123",
    "pages 212-555 and 1234567890123",
    "range(0, 1000000)",
    "550e8400-e29b-41d4-a716-446655440000",
    "$212,555,0123",
]
REGIONS = ["US", "GB", "DE", "FR", "IT", "ES", "NL", "CH", "JP", "IN", "BR", "MX", "AU", "KR", "PL", "TR"]


@pytest.mark.parametrize("region", REGIONS)
def test_the_countrys_own_format_is_found_in_any_script(region: str) -> None:
    example = phonenumbers.example_number(region)
    assert example is not None
    written = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
    for around in ("call {} today", "电话：{}。", "โทร {}", "<{}>, please"):
        text = around.format(written)
        spans = list(NationalPhones((region,)).spans(text))
        assert [text[start:end] for start, end in spans] == [written], text


@pytest.mark.parametrize("text", KEPT)
def test_other_numbers_stay(text: str) -> None:
    assert list(NationalPhones(("US", "DE", "GB")).spans(text)) == []


def test_the_stage_counts_them_for_the_regions_it_is_given() -> None:
    batch = pa.record_batch({"text": pa.array(["call (212) 555-0123 or +44 20 7946 0958", None], pa.large_string())})
    stage = PersonalData(regions=("US",))
    changed, columns = stage.open().change(batch)
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    assert changed.column("text").to_pylist() == ["call [NATIONAL_PHONE] or [PHONE]", None]
    assert columns["personal_data_num_national_phone"].to_pylist() == [1, 0]
    changed, columns = PersonalData().open().change(batch)
    assert changed.column("text").to_pylist()[0] == "call (212) 555-0123 or [PHONE]"
    with pytest.raises(RequestError, match="'UK' is unknown"):
        PersonalData(regions=("UK",))
