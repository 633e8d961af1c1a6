"""Texts from hypothesis that stand where text measures go wrong: every plane, line ends, blanks, repeated words."""

from hypothesis import strategies as st

BLANKS = [" ", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x1f", "\x85", "\u2028", "\u3000"]
SYMBOLS = ["...", "…", ".", "-", "•", "#", "'", "’", ",", "{", "😀", "\u0301", "\u200d", "\x00"]
WORDS = ["a", "the", "of", "A1", "3.14", "don't", "中", "北京", "ภาษา", "क्षि"]
PIECES = st.sampled_from(BLANKS + SYMBOLS + WORDS)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TEXTS = st.one_of(ANY_TEXT, st.lists(st.one_of(PIECES, ANY_TEXT), max_size=30).map("".join))
BATCHES = st.lists(TEXTS, max_size=6)
