"""Settings from a recipe's mapping: quantities with units, paths, and what is wrong with the others."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from corpusmill.pipeline.settings import build_settings, quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("2B", 2 * 10**9), ("1.5M", 1_500_000), ("300k", 300_000), ("300K", 300_000), ("3 T", 3 * 10**12)),
        *(("20MB", 20_000_000), ("5kB", 5_000), ("64MiB", 64 << 20), ("1GiB", 1 << 30), (" 7K ", 7_000)),
        *(("12", None), ("2m", None), ("1kiB", None), ("-3K", None), ("K", None), ("", None), ("2 B of it", None)),
    ],
)
def test_quantities(text: str, number: int | None) -> None:
    assert quantity(text) == number


@dataclass(frozen=True, kw_only=True)
class Sizes:
    folder: Path
    max_tokens: int = 5
    share: float = 0.5


def test_strings_become_what_the_field_is() -> None:
    assert build_settings(Sizes, {"folder": "a/b", "max_tokens": "2M", "share": 1}) == (
        Sizes(folder=Path("a/b"), max_tokens=2_000_000, share=1.0),
        [],
    )


def test_every_problem_is_told_with_its_key() -> None:
    made, problems = build_settings(Sizes, {"max_tokns": 3, "share": "much"})
    assert made is None
    found = dict(problems)
    assert found["max_tokns",] == "no such setting; did you mean 'max_tokens'?"
    assert found["folder",] == "is required"
    assert "valid number" in found["share",]
    assert found["share",].endswith("got 'much'")
