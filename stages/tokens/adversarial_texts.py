"""Text on which tokenizer engines have been seen to differ: what the self-check of a fast encoder is run on.

Every kind of space beside every kind of character, contractions in all cases and with the long s, code points of every
plane, control tokens spelled out, long runs, and every token of the tokenizer itself. About 3 MB for 200,000 tokens.
"""

from itertools import product

from corpusmill.stages.tokens.byte_level import ByteLevelModel

SPACES = ("", " ", "  ", "\n", " \n", "\n ", "\r\n", "\t", "\u00a0", "\u2028", "\u3000", "\u0085", "\x0b\x1c", "\u200b")
CHARACTERS = "aÉǅ中ʰé\u03011٣Ⅷ½'’/_😀\u200d\0한"
CONTRACTED = ("s", "S", "ſ", "t", "T", "re", "RE", "rE", "ve", "VE", "m", "M", "ll", "LL", "lL", "d", "D", "st", "x")
CONTROL = ("<|endoftext|>", "<|fim_prefix|><|fim_suffix|>", "a<|im_start|>b", "<s></s><pad><unk>[CLS]")
LONG = ("x" * 5000, " " * 5000, "\n" * 999 + "a", "ab" * 3000, "中文" * 999, "=" * 3000, "1" * 999, "é" * 2000)
BLOCK = 64
"""Characters of a block of code points: one long text of all could hide a difference behind another."""


def adversarial_texts(model: ByteLevelModel) -> list[str]:
    """The texts; the same for the same tokenizer."""
    mixed = ["".join(parts) for parts in product(CHARACTERS, SPACES, CHARACTERS, ("", " "))]
    contractions = [f"x{mark}{end}{tail}" for mark in "'’" for end in CONTRACTED for tail in ("", "a", " b", "1", "'s")]
    low = "".join(map(chr, [*range(0x3000), *range(0xA000, 0xB000, 7), *range(0xF900, 0x10000)]))
    high = "".join(chr(code) for code in range(0x10000, 0x110000, 0x101))
    blocks = [low[start : start + BLOCK] for start in range(0, len(low), BLOCK)]
    spelled = [token.decode("utf-8", errors="ignore") for token in model.tokens]
    control = [f"a{token.text}b {token.text}{token.text}\n{token.text}" for token in model.added]
    tokens = [separator.join(spelled) for separator in ("", " ", "\n")]
    return ["", *mixed, *contractions, *blocks, high, *CONTROL, *control, *LONG, *tokens]
