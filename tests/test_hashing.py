import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels import folding, hashing

BITS = (1 << 64) - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def mix(value: int) -> int:
    """MurmurHash3's 64-bit finaliser, as published."""
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & BITS
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & BITS
    return value ^ value >> 33


def sequence(start: int, symbols: list[int], length: int) -> int:
    value = start
    for symbol in symbols:
        value = (value ^ symbol) * 0x9E3779B97F4A7C15 & BITS
        value ^= value >> 29
    return mix(value + length & BITS)


def test_mix_is_murmurs_finaliser() -> None:
    values = [0, 1, 2, 1 << 63, BITS, 0x0123456789ABCDEF]
    mixed = hashing.mix_all(np.array(values, dtype=np.uint64))
    assert mixed.tolist() == [mix(value) for value in values]
    assert mix(1) == 0xB456BCFC34C2CB2C  # as others' implementations of fmix64 give it


@given(TEXTS)
def test_characters_are_decoded(text: str) -> None:
    data = np.frombuffer(text.encode() + b"\0", dtype=np.uint8)
    at, codes = 0, []
    while at < len(data) - 1:
        code, size = hashing.decode(data, at)
        codes.append(code)
        at += size
    assert codes == [ord(character) for character in text]


@given(st.lists(TEXTS, max_size=4))
def test_bytes(texts: list[str]) -> None:
    hashes = hashing.hash_bytes(*text_buffers(pa.array(texts, pa.large_string())), np.uint64(5))
    assert hashes.tolist() == [sequence(mix(5 + len(text.encode())), list(text.encode()), 0) for text in texts]


@given(st.lists(TEXTS, max_size=4))
def test_spaced(texts: list[str]) -> None:
    hashes, lengths = hashing.hash_spaced(
        *text_buffers(pa.array(texts, pa.large_string())), folding.folding_table(), np.uint64(5)
    )
    plain = [" ".join(text.split()) for text in texts]
    assert lengths.tolist() == [len(text) for text in plain]
    assert hashes.tolist() == [sequence(mix(5), [ord(c) for c in text], len(text)) for text in plain]


SPELLED = str.maketrans(
    {"ß": "ss", "ẞ": "ss", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)


def test_signs_for_several_letters_count_as_these() -> None:
    texts = ["Straße ﬁeld baﬄe", "STRASSE FIELD BAFFLE", "STRAẞE ﬁeld baﬄe", "Strase field bafle"]
    first, *others = hashing.hash_folded(
        *text_buffers(pa.array(texts, pa.large_string())), folding.folding_table(), np.uint64(5)
    )[0].tolist()
    assert [other == first for other in others] == [True, True, False]


@given(st.lists(TEXTS, max_size=4))
def test_folded(texts: list[str]) -> None:
    table = folding.folding_table()
    hashes, lengths = hashing.hash_folded(*text_buffers(pa.array(texts, pa.large_string())), table, np.uint64(5))
    plain = []
    for text in texts:
        folded = ""
        for character in text.translate(SPELLED):
            entry = int(table[ord(character)])
            kind = entry >> folding.CLASS_SHIFT & 15
            if kind != folding.IGNORED:
                folded += "\0" if kind == folding.BLANK else chr(entry & folding.CHARACTER_MASK)
        plain.append(" ".join(folded.replace("\0", " ").split(" ")).strip(" "))
    plain = [" ".join(part for part in text.split(" ") if part) for text in plain]
    assert lengths.tolist() == [len(text) for text in plain]
    assert hashes.tolist() == [sequence(mix(5), [ord(c) for c in text], len(text)) for text in plain]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_identifiers(kind: pa.DataType) -> None:
    hashes = hashing.hash_identifiers(pa.array(["a", "b", "a", ""], kind))
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 3


def test_slices_hash_as_their_rows() -> None:
    column = pa.array(["x", "ab c", "", "漢字"], pa.large_string())
    table = folding.folding_table()
    whole, _ = hashing.hash_spaced(*text_buffers(column), table, np.uint64(1))
    part, _ = hashing.hash_spaced(*text_buffers(column.slice(1, 3)), table, np.uint64(1))
    assert whole[1:].tolist() == part.tolist()
