"""Ways to cut a batch into words, by name. A layout is made once per batch and segmenter and never stored.

`auto` cuts by script: words between spaces and symbols, single letters where a script writes no spaces; it needs
nothing else and is the fastest. `spacy-en` gives the words of spaCy's English tokenizer, token by token, at kernel
speed: what datatrove's English filters count. `whitespace` is `str.split`. Two use other programs, document by
document: `icu`, whose dictionaries cut Chinese, Japanese, Thai, Lao, Khmer and Burmese into words (the extra `icu`),
and `datatrove`, which is datatrove's own tokenizer of each document's language, with all that it needs installed.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal

from corpusmill.pipeline.document import Batch, text_buffers
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.language_codes import language_code
from corpusmill.pipeline.stage import Scratch
from corpusmill.stages.measure.layout import Layout, layout_of_words

Segmenter = Literal["auto", "spacy-en", "whitespace", "icu", "datatrove"]


def layout(batch: Batch, scratch: Scratch, segmenter: str = "auto") -> Layout:
    """The batch's layout, made by the first measure that asks for this segmenter."""
    return scratch.once(("layout", segmenter), partial(SEGMENTERS[segmenter], batch))


def segmenter_depends(segmenter: str) -> tuple[str, ...]:
    """The distributions whose versions change its words."""
    return {"icu": ("icu4py",), "datatrove": ("datatrove",)}.get(segmenter, ())


def segment_by_script(batch: Batch) -> Layout:
    """Words between spaces and symbols, or single letters where the script writes no spaces."""
    from corpusmill.stages.kernels.characters import character_classes
    from corpusmill.stages.kernels.word_spans import find_words

    data, offsets = text_buffers(batch.column("text"))
    return Layout(data[offsets[0] :], *find_words(data, offsets, character_classes()))


def segment_as_spacy(batch: Batch) -> Layout:
    """spaCy's English tokens, but those of white space."""
    from corpusmill.stages.kernels.spacy_words import find_spacy_words

    data, offsets = text_buffers(batch.column("text"))
    return Layout(data[offsets[0] :], *find_spacy_words(data, offsets))


def segment_at_spaces(batch: Batch) -> Layout:
    """What stands between white space."""
    from corpusmill.stages.kernels.characters import character_classes
    from corpusmill.stages.kernels.spaced_words import find_spaced_words

    data, offsets = text_buffers(batch.column("text"))
    return Layout(data[offsets[0] :], *find_spaced_words(data, offsets, character_classes()))


def segment_with_icu(batch: Batch) -> Layout:
    """ICU's words (UAX #29 with dictionaries) without white space. Its locale makes no difference to these."""
    try:
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        raise RequestError("the segmenter icu needs icu4py: pip install 'corpusmill[icu]'") from error

    def cut(text: str) -> list[str]:
        return [word for word in WordBreaker(text, "root") if word and not word.isspace()]

    return layout_of_words([cut(text or "") for text in batch.column("text").to_pylist()])


def segment_as_datatrove(batch: Batch) -> Layout:
    """The words of datatrove's tokenizer for each document's language; of English where `lang` is null."""
    langs = batch.column("lang").to_pylist() if "lang" in batch.schema.names else [None] * batch.num_rows
    texts = batch.column("text").to_pylist()
    return layout_of_words(
        [_datatrove_tokenizer(language_code(lang) or "en")(text or "") for text, lang in zip(texts, langs, strict=True)]
    )


@cache
def _datatrove_tokenizer(language: str) -> Callable[[str], list[str]]:
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    try:
        tokenizer: Any = load_word_tokenizer(_THREE_LETTERS.get(language, language))
    except (ValueError, ImportError) as error:
        raise RequestError(f"datatrove has no tokenizer for {language!r} here: {error}") from error
    return lambda text: list(tokenizer.word_tokenize(text))


_THREE_LETTERS = {
    "en": "eng", "zh": "cmn", "ja": "jpn", "ko": "kor", "th": "tha", "hi": "hin_Deva", "ar": "arb_Arab", "ru": "rus",
    "de": "deu", "es": "spa", "fr": "fra", "pt": "por", "vi": "vie", "it": "ita", "nl": "nld", "pl": "pol", "tr": "tur",
    "id": "ind", "el": "ell", "lo": "lao", "km": "khm", "my": "mya",
}  # fmt: skip
"""datatrove's names of languages."""

SEGMENTERS: dict[str, Callable[[Batch], Layout]] = {
    "auto": segment_by_script,
    "spacy-en": segment_as_spacy,
    "whitespace": segment_at_spaces,
    "icu": segment_with_icu,
    "datatrove": segment_as_datatrove,
}
