"""One name for a language, whatever a record or an identifier calls it: the letters of ISO 639-1 where it has any."""


def language_code(lang: str | None) -> str | None:
    """'en-GB', 'EN', 'zh_Hant' or 'eng' give 'en' and 'zh'; a code that is not listed keeps its primary subtag."""
    if lang is None:
        return None
    primary = lang.replace("_", "-").split("-")[0].lower()
    return _THREE_LETTERS.get(primary, primary)


_THREE_LETTERS = {
    "eng": "en", "ara": "ar", "arb": "ar", "deu": "de", "ger": "de", "ell": "el", "gre": "el", "spa": "es",
    "fra": "fr", "fre": "fr", "hin": "hi", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl",
    "dut": "nl", "pol": "pl", "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "tha": "th", "tur": "tr",
    "vie": "vi", "zho": "zh", "chi": "zh", "cmn": "zh", "lao": "lo", "khm": "km", "mya": "my", "bur": "my",
}  # fmt: skip
