"""The one table of short names: what a recipe may call, and the class behind it. Others are called by their place.

Classes are imported when a recipe names them, so a table of all stages costs nothing.
"""

from importlib import import_module
from typing import Any

from corpusmill.pipeline.phases import Phase
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.stage import Stage

STAGES = {
    # read
    "jsonl": "corpusmill.stages.collect.jsonl:Jsonl",
    "parquet": "corpusmill.stages.collect.parquet:Parquet",
    "text": "corpusmill.stages.collect.plain_text:PlainText",
    "warc": "corpusmill.stages.collect.warc:Warc",
    "tokens": "corpusmill.stages.collect.token_files:TokenFiles",
    "python_docs": "corpusmill.stages.collect.python_docs:PythonDocs",
    "wikidump": "corpusmill.stages.collect.wikidump:Wikidump",
    # extract
    "resiliparse": "corpusmill.stages.extract.webpage:Resiliparse",
    "wikitext": "corpusmill.stages.extract.wikitext:Wikitext",
    # expand
    "mbox": "corpusmill.stages.expand.mbox:Mbox",
    # change
    "normalize": "corpusmill.stages.clean.unicode:Normalize",
    "personal_data": "corpusmill.stages.clean.personal_data:PersonalData",
    "secrets": "corpusmill.stages.clean.api_keys:Secrets",
    "toxic_passages": "corpusmill.stages.clean.toxic_passages:ToxicPassages",
    # measure
    "language": "corpusmill.stages.measure.language:Language",
    "words": "corpusmill.stages.measure.words:Words",
    "gopher": "corpusmill.stages.measure.gopher:Gopher",
    "c4": "corpusmill.stages.measure.c4:C4",
    "dclm": "corpusmill.stages.measure.dclm:Dclm",
    "fineweb": "corpusmill.stages.measure.fineweb:Fineweb",
    "nemotron": "corpusmill.stages.measure.nemotron:Nemotron",
    "source_code": "corpusmill.stages.measure.source_code:SourceCode",
    "composition": "corpusmill.stages.measure.composition:Composition",
    "fineweb2": "corpusmill.stages.measure.fineweb2:Fineweb2",
    "drop": "corpusmill.stages.decide.drop:Drop",
    "toxicity": "corpusmill.stages.measure.toxicity:Toxicity",
    "quality": "corpusmill.stages.measure.quality:Quality",
    "classifier": "corpusmill.stages.measure.classifier:Classifier",
    "encoder": "corpusmill.stages.measure.sequence_classifier:Encoder",
    "kenlm_perplexity": "corpusmill.stages.measure.kenlm_perplexity:KenlmPerplexity",
    "proxy_bits": "corpusmill.mixtures.proxy.document_bits:ProxyBits",
    "proxy_embedding": "corpusmill.mixtures.proxy.document_embedding:ProxyEmbedding",
    "word_list": "corpusmill.stages.measure.word_list:WordList",
    "url_words": "corpusmill.stages.measure.url_words:UrlWords",
    "datatrove": "corpusmill.stages.decide.outside_step:DatatroveStep",
    # gather
    "exact": "corpusmill.stages.gather.exact:Exact",
    "minhash": "corpusmill.stages.gather.minhash:MinHash",
    "known": "corpusmill.stages.gather.known:Known",
    "semantic": "corpusmill.stages.gather.semantic:Semantic",
    "passages": "corpusmill.stages.gather.passages:Passages",
    "quality_buckets": "corpusmill.stages.gather.quality_buckets:QualityBuckets",
    "substrings": "corpusmill.stages.gather.substrings:Substrings",
    "decontaminate": "corpusmill.stages.gather.decontaminate:Decontaminate",
}
"""Short name -> module:class. A stage's class says its kind."""

SECTIONS: dict[str, str] = {
    "tokenizer": "corpusmill.stages.tokens.token_settings:TokenizerSettings",
    "tokens": "corpusmill.stages.tokens.token_settings:TokenSettings",
    "mixture": "corpusmill.mixtures.mixture:Mixture",
    "sweep": "corpusmill.mixtures.sweep:Sweep",
    "choose": "corpusmill.mixtures.sweep:Choose",
}
"""Section of a recipe -> module:dataclass."""


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


class StageTable:
    """The catalog that recipes are checked against."""

    def stage(self, name: str) -> type[Stage]:
        loaded: type[Stage] = _load(name if ":" in name else STAGES[name])
        return loaded

    def stage_names(self, kinds: tuple[str, ...] = ()) -> list[str]:
        """Names of all stages, or of those of these kinds."""
        return [name for name in STAGES if not kinds or self.stage(name).kind in kinds]

    def section(self, name: str) -> type[Any]:
        loaded: type[Any] = _load(SECTIONS[name])
        return loaded


def token_phases(recipe: Recipe) -> list[Phase]:
    """The phases that turn what is left into token shards; none for a recipe without a `tokenizer`."""
    tokenizer, tokens = recipe.sections.get("tokenizer"), recipe.sections.get("tokens")
    if tokenizer is None and tokens is None:
        return []
    from corpusmill.stages.tokens.token_phases import token_phases as phases_of
    from corpusmill.stages.tokens.token_settings import TokenizerSettings, TokenSettings

    return phases_of(tokenizer or TokenizerSettings(), tokens or TokenSettings(), recipe.seed)
