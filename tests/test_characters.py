"""The committed character classes against Python's own, and against hand-picked characters."""

import unicodedata

import pytest

from corpusmill.stages.kernels import characters as chars

CLASSES = chars.character_classes()
SAME_UNICODE = unicodedata.unidata_version == "14.0.0"


def test_table_covers_every_code_point_and_is_read_only() -> None:
    assert CLASSES.shape == (0x110000,)
    assert not CLASSES.flags.writeable


@pytest.mark.skipif(not SAME_UNICODE, reason="this interpreter has another Unicode version")
def test_bits_equal_pythons_methods_for_every_character() -> None:
    for code in range(0x110000):
        character, kind = chr(code), int(CLASSES[code])
        assert bool(kind & chars.SPACE) == character.isspace(), code
        assert bool(kind & chars.LETTER) == character.isalpha(), code
        assert bool(kind & chars.UPPER) == character.isupper(), code
        assert bool(kind & chars.LOWER) == character.islower(), code
        assert bool(kind & chars.DIGIT) == character.isdecimal(), code
        assert bool(kind & chars.LINE_END) == (len(f"a{character}b".splitlines()) == 2), code


@pytest.mark.parametrize(
    ("character", "bits"),
    [
        ("a", chars.LETTER | chars.WORD | chars.LOWER),
        ("Q", chars.LETTER | chars.WORD | chars.UPPER),
        ("7", chars.DIGIT | chars.WORD),
        ("٣", chars.DIGIT | chars.WORD),
        ("中", chars.LETTER | chars.SINGLE),
        ("の", chars.LETTER | chars.SINGLE),
        ("ก", chars.LETTER | chars.SINGLE),
        ("한", chars.LETTER | chars.WORD),
        ("ि", chars.EXTEND),
        ("\u200d", chars.EXTEND | chars.SKIP),
        (" ", chars.SPACE),
        ("\n", chars.SPACE | chars.LINE_END),
        (".", chars.PUNCTUATION | chars.TERMINAL),
        ("。", chars.PUNCTUATION | chars.TERMINAL),
        ("।", chars.PUNCTUATION | chars.TERMINAL),
        (",", chars.PUNCTUATION),
        ("€", 0),
    ],
)
def test_classes_of_chosen_characters(character: str, bits: int) -> None:
    assert int(CLASSES[ord(character)]) == bits
