"""Which scripts a language is written in, by ISO 15924 code: what its letters are compared with.

Labels of lid.176 are ISO 639 codes; those of GlotLID and NLLB name the script themselves (`eng_Latn`). Languages that
are written in several scripts have all of them; from CLDR 45's likely subtags and what Wikipedias in lid.176 use.
"""

from typing import Final

_WRITTEN = {
    "Grek": "el",
    "Cyrl": "av ba be bg bxr ce cv kk krc kv ky mhr mk mn mrj myv os ru rue sah sr tg tt tyv uk xal ab lez udm",
    "Armn": "hy hyw",
    "Hebr": "he yi",
    "Arab": "ar arz azb ckb fa gom lrc mzn pnb ps sd ug ur ks",
    "Deva": "bh dty gom hi mai mr ne new sa awa bho",
    "Beng": "as bn bpy",
    "Guru": "pa",
    "Gujr": "gu",
    "Orya": "or",
    "Taml": "ta",
    "Telu": "te",
    "Knda": "kn",
    "Mlym": "ml",
    "Sinh": "si",
    "Thai": "th",
    "Laoo": "lo",
    "Tibt": "bo dz",
    "Mymr": "my",
    "Geor": "ka xmf",
    "Hang": "ko",
    "Ethi": "am ti",
    "Khmr": "km",
    "Thaa": "dv",
    "Hani": "zh yue wuu lzh gan hak nan ja ko",
    "Hira": "ja",
    "Kana": "ja",
    "Latn": "az bs kk ku sh sr uz tk tt gom mn sd",
    "Bopo": "zh",
}
_ALSO = {"Hebr": "yi", "Cyrl": "az bs sh uz tk", "Arab": "az ku uz kk", "Mong": "mn", "Tibt": "new", "Guru": "sd"}


def _table() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for table in (_WRITTEN, _ALSO):
        for script, languages in table.items():
            for language in languages.split():
                found.setdefault(language, set()).add(script)
    return {language: frozenset(scripts) for language, scripts in found.items()}


SCRIPTS_OF: Final = _table()
"""Languages that are not written in Latin letters alone."""
LATIN: Final = frozenset({"Latn"})
COMPOUND: Final = {"Hans": "Hani", "Hant": "Hani", "Jpan": "Hira Kana Hani", "Kore": "Hang Hani", "Aran": "Arab"}


def scripts_of(label: str) -> frozenset[str]:
    """The scripts of a label such as `de`, `zh-Hant` or `eng_Latn`; Latin where nothing else is known."""
    language, _, script = label.replace("-", "_").partition("_")
    if len(script) == 4 and script.isalpha():
        return frozenset(COMPOUND.get(script, script).split())
    return SCRIPTS_OF.get(language, LATIN)
