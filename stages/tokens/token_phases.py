"""The phases from kept documents to token files, in order."""

from corpusmill.pipeline.phases import Phase
from corpusmill.stages.tokens.buckets import BucketEdges, BucketValues
from corpusmill.stages.tokens.encode import EncodePhase
from corpusmill.stages.tokens.place import LayoutPhase, ManifestPhase, PlacePhase
from corpusmill.stages.tokens.split import CandidateHashes, CandidateMembers, HeldOutChoice, SmallestHashes
from corpusmill.stages.tokens.token_settings import TokenizerSettings, TokenSettings
from corpusmill.stages.tokens.tokenizer_sample import SamplePhase
from corpusmill.stages.tokens.vocabulary import VocabularyPhase


def token_phases(tokenizer: TokenizerSettings, tokens: TokenSettings, seed: int) -> list[Phase]:
    """Held-out split, tokenizer, bucket edges, encoding, placing, manifest."""
    split: list[Phase] = [
        step(tokens, seed) for step in (SmallestHashes, CandidateHashes, CandidateMembers, HeldOutChoice)
    ]
    sample: list[Phase] = [] if tokenizer.load else [SamplePhase(tokenizer, seed)]
    edges: list[Phase] = [BucketValues(tokens, seed), BucketEdges(tokens)] if tokens.bucket_by else []
    return [
        *split,
        *sample,
        VocabularyPhase(tokenizer, seed),
        *edges,
        EncodePhase(tokens, seed),
        LayoutPhase(tokens),
        PlacePhase(tokens),
        ManifestPhase(seed),
    ]
