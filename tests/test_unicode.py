"""normalize: tables per kind of change, an independent reference, and the properties of a change stage."""

import unicodedata
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import Batch
from corpusmill.stages.clean.unicode import Normalize, composition_classes

CHANGES = [  # text, normalised, (line ends, controls, marks, blanks, composed, mojibake)
    ("", "", (0, 0, 0, 0, False, False)),
    ("plain\ttext\n", "plain\ttext\n", (0, 0, 0, 0, False, False)),
    ("a\r\nb\rc\n", "a\nb\nc\n", (2, 0, 0, 0, False, False)),
    ("a\u2028b\u2029c\x85d\x0be\x0cf", "a\nb\nc\nd\ne\nf", (5, 0, 0, 0, False, False)),
    ("a\x00b\x1fc\x7fd\x84e\x9f", "abcde", (0, 5, 0, 0, False, False)),
    ("\ufeffHallo \ufeffWelt", "Hallo Welt", (0, 0, 2, 0, False, False)),
    ("a \t\nb\u3000\n\xa0", "a\nb\n", (0, 0, 0, 4, False, False)),
    (" a  b", " a  b", (0, 0, 0, 0, False, False)),
    ("a \r\n", "a\n", (1, 0, 0, 1, False, False)),
    ("a \x00\n", "a\n", (0, 1, 0, 1, False, False)),
    ("cafe\u0301", "café", (0, 0, 0, 0, True, False)),
    ("e\x00\u0301", "é", (0, 1, 0, 0, True, False)),
    ("q\u0323\u0307", "q\u0323\u0307", (0, 0, 0, 0, False, False)),  # non-starters in order
    ("q\u0307\u0323", "q\u0323\u0307", (0, 0, 0, 0, True, False)),  # and out of order (UAX #15, figure 5)
    ("\u212b", "\u00c5", (0, 0, 0, 0, True, False)),  # Angstrom sign
    ("\u1112\u1161\u11ab", "\ud55c", (0, 0, 0, 0, True, False)),  # Hangul jamo
    ("한국어 日本語 ภาษาไทย", "한국어 日本語 ภาษาไทย", (0, 0, 0, 0, False, False)),
    ("\u0958", "\u0915\u093c", (0, 0, 0, 0, True, False)),  # Devanagari qa is excluded from composition
    ("می\u200cخواهم", "می\u200cخواهم", (0, 0, 0, 0, False, False)),  # Persian needs the non-joiner
    ("क्\u200dष", "क्\u200dष", (0, 0, 0, 0, False, False)),  # Hindi the joiner
    ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧", (0, 0, 0, 0, False, False)),
    ("مُحَمَّد", "مُحَمَّد", (0, 0, 0, 0, False, False)),
    ("①ﬁＡ", "①ﬁＡ", (0, 0, 0, 0, False, False)),  # NFC, not NFKC
]

texts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(list("\r\n\t \x00\x0b\x0c\x85\xa0\u2028\u3000\ufeffe\u0301\u0323\u0307\u1112\u1161\u11a8é")),
    ),
    max_size=30,
)


def batch_of(documents: list[str | None]) -> Batch:
    return pa.record_batch({"text": pa.array(documents, type=pa.large_string())})


def normalized(documents: list[str | None], settings: Normalize | None = None) -> list[str | None]:
    changed, _ = (settings or Normalize()).open().change(batch_of(documents))
    return cast("list[str | None]", changed.column("text").to_pylist())


def reference(text: str) -> str:
    """Character by character, as the docstring of the stage says it."""
    lines = text.replace("\r\n", "\n")
    kept = ["\n" if c in "\r\x0b\x0c\x85\u2028\u2029" else c for c in lines]
    kept = [c for c in kept if c in "\t\n" or (unicodedata.category(c) != "Cc" and c != "\ufeff")]
    composed = unicodedata.normalize("NFC", "".join(kept))
    while True:
        for i, c in enumerate(composed):
            if (c == "\t" or unicodedata.category(c) == "Zs") and composed[i + 1 : i + 2] in ("", "\n"):
                composed = composed[:i] + composed[i + 1 :]
                break
        else:
            return composed


@pytest.mark.parametrize(("text", "expected", "counts"), CHANGES)
def test_each_change_and_its_count(text: str, expected: str, counts: tuple[int, ...]) -> None:
    settings = Normalize()
    changed, columns = settings.open().change(batch_of([text]))
    assert changed.column("text").to_pylist() == [expected]
    assert tuple(column[0].as_py() for column in columns.values()) == counts
    assert {name: column.type for name, column in columns.items()} == settings.adds()


@pytest.mark.parametrize("off", ["compose", "line_ends", "controls", "byte_order_marks", "trailing_blanks"])
def test_a_part_switched_off_changes_nothing_of_its_kind(off: str) -> None:
    examples = {
        "compose": "e\u0301",
        "line_ends": "a\r\nb\x85c\x0cd\u2028e",
        "controls": "a\x00",
        "byte_order_marks": "\ufeffa",
        "trailing_blanks": "a \n",
    }
    assert normalized([examples[off]], Normalize(**{off: False})) == [examples[off]]
    assert normalized([examples[off]]) != [examples[off]]


def test_everything_off_returns_the_batch_itself() -> None:
    off = Normalize(compose=False, line_ends=False, controls=False, byte_order_marks=False, trailing_blanks=False)
    batch = batch_of(["a\r\ne\u0301 \x00"])
    assert off.open().change(batch)[0] is batch


def test_clean_text_is_not_copied() -> None:
    batch = batch_of(["Ein Satz.", "一句话。", "", None])
    assert Normalize().open().change(batch)[0] is batch


def test_null_text_stays_null() -> None:
    assert normalized([None, "a\r", None]) == [None, "a\n", None]


def test_an_empty_batch() -> None:
    changed, columns = Normalize().open().change(batch_of([]))
    assert changed.num_rows == 0
    assert all(len(column) == 0 for column in columns.values())


def test_mojibake_is_mended_where_asked() -> None:
    # What UTF-8 "don’t" and "é" look like when read as Windows-1252 and Latin-1.
    broken = "don’t".encode().decode("cp1252") + " caf" + "é".encode().decode("latin-1")
    settings = Normalize(mojibake=True)
    changed, columns = settings.open().change(batch_of([broken, "é correct"]))
    assert changed.column("text").to_pylist() == ["don’t café", "é correct"]
    assert columns["normalize_mojibake"].to_pylist() == [True, False]
    assert normalized([broken]) == [broken.replace("\x80", "")]


def test_a_long_run_of_blanks_costs_linear_time() -> None:
    assert normalized(["a" + " " * 1_000_000 + "b\r\n"]) == ["a" + " " * 1_000_000 + "b\n"]


def test_the_filter_for_composition_misses_no_character() -> None:
    not_quick, non_starters = (f"[{inside}]" for inside in composition_classes())
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    column = pa.array(characters, type=pa.large_string())
    found = dict(zip(characters, pc.match_substring_regex(column, not_quick).to_pylist(), strict=True))
    starts = dict(zip(characters, pc.match_substring_regex(column, non_starters).to_pylist(), strict=True))
    for c in characters:
        assert found[c] or unicodedata.normalize("NFC", c) == c
        assert starts[c] == (unicodedata.combining(c) != 0)


@given(texts)
def test_equals_the_reference_and_is_idempotent(text: str) -> None:
    (once,) = normalized([text])
    assert once == reference(text)
    assert normalized([once]) == [once]


@given(texts)
def test_mojibake_repair_is_idempotent(text: str) -> None:
    settings = Normalize(mojibake=True)
    (once,) = normalized([text], settings)
    assert normalized([once], settings) == [once]


@given(st.lists(st.one_of(st.none(), texts), max_size=6), st.integers(0, 6))
def test_splitting_a_batch_changes_nothing(documents: list[str | None], cut: int) -> None:
    worker = Normalize().open()
    whole = batch_of(documents)
    changed, columns = worker.change(whole)
    parts = [worker.change(part) for part in (whole.slice(0, cut), whole.slice(cut))]
    assert changed.column("text").to_pylist() == [t for part, _ in parts for t in part.column("text").to_pylist()]
    for name, column in columns.items():
        assert column.to_pylist() == [v for _, measured in parts for v in measured[name].to_pylist()]
