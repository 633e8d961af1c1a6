"""Stop words per language: words so common that running text cannot do without them.

`en` is the list of Gopher (Rae et al. 2021, appendix A.1.1). The others follow its pattern: about eight function words
that stand alone in writing, chosen by hand; tests/test_stop_words.py checks on prose that documents of the language
hold at least two of them. Languages without spaces list single letters, since that is what the default segmenter makes
of them; for Thai, whose letters are few, this tells little.
"""

STOP_WORDS: dict[str, tuple[str, ...]] = {
    "en": ("the", "be", "to", "of", "and", "that", "have", "with"),
    "ar": ("في", "من", "على", "أن", "إلى", "هذا", "التي", "ما"),
    "de": ("der", "die", "und", "in", "den", "von", "zu", "das", "mit", "ist"),
    "el": ("και", "το", "του", "της", "να", "η", "που", "με"),
    "es": ("de", "la", "que", "el", "en", "y", "los", "del", "por", "un"),
    "fr": ("de", "la", "le", "et", "les", "des", "en", "un", "que", "est"),
    "hi": ("के", "का", "में", "की", "है", "को", "से", "और"),
    "id": ("yang", "dan", "di", "dengan", "untuk", "dari", "ini", "pada"),
    "it": ("di", "e", "che", "la", "il", "un", "per", "in", "del", "non"),
    "ja": ("の", "に", "は", "を", "た", "が", "で", "て"),
    "ko": ("이", "그", "수", "있는", "및", "있다", "한", "것", "있습니다", "위한"),
    "nl": ("de", "het", "een", "van", "en", "in", "dat", "is"),
    "pl": ("w", "i", "na", "z", "do", "nie", "się", "jest"),
    "pt": ("de", "a", "o", "que", "e", "do", "da", "em", "um", "para"),
    "ro": ("de", "și", "în", "a", "la", "cu", "care", "pe"),
    "ru": ("и", "в", "на", "не", "что", "с", "по", "для"),
    "th": ("ก", "า", "น", "ร", "อ", "เ", "ท", "ม"),
    "tr": ("ve", "bir", "bu", "için", "da", "de", "ile", "olarak"),
    "vi": ("và", "của", "là", "có", "các", "được", "cho", "một"),
    "zh": ("的", "是", "在", "了", "和", "有", "不", "为", "為", "以", "之", "也"),
}
