"""What a recipe says under `mixture`, and the plan that comes of it.

    mixture:
      tokens: 20B
      sequence_length: 2048
      max_epochs: {books: 4, code: 2.5}
      budgets: {books: 500M}
      phases:
        - {name: main, share: 0.9, weights: {web: 6, code: 3}}
        - {name: anneal, share: 0.1, weights: {web: 1, code: 2}, to: {code: 1}, learning_rate: 1, learning_rate_to: 0}

Weights are shares of tokens; of documents or of sequences (rows) where `weights_in` says so, the share of tokens being
then the weight times the mean length of the source's documents, or tokens in its rows. Without `phases` the whole plan
is one phase of `weights`. `to` is the mixture at the phase's end, reached in a straight line or in `steps`. Epochs are
counted over the whole plan, across phases: a source that would pass its cap is held to it in all phases alike and the
others take its place; where nothing can, the plan is refused with the most tokens that can be had.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from corpusmill.mixtures.curriculum import Curriculum
from corpusmill.mixtures.importance import Selection, selected_rows
from corpusmill.mixtures.packing import pack_and_store
from corpusmill.mixtures.plan import Plan, Rows, planned_source
from corpusmill.mixtures.schedule import MAX_BLOCK_ROWS
from corpusmill.mixtures.sources import TokenManifest
from corpusmill.mixtures.weights import unknown_sources
from corpusmill.mixtures.wish import Wish
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.settings import nearest


@dataclass(frozen=True, kw_only=True)
class SequenceWarmup:
    """Short sequences first: from `start` tokens, doubled in steps of equal tokens over the plan's first `share`."""

    start: int
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.start < 1 or not 0 < self.share <= 1:
            raise ValueError(f"start {self.start} is tokens, at least 1; share {self.share} is above 0 and at most 1")

    def lengths(self, longest: int) -> list[int]:
        """Start, twice start, … below `longest`. Raises ValueError unless doubling ends there."""
        lengths = [self.start]
        while lengths[-1] < longest:
            lengths.append(2 * lengths[-1])
        if lengths[-1] != longest or len(lengths) == 1:
            raise ValueError(f"sequence_warmup.start: {self.start} does not double to {longest}")
        return lengths[:-1]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training. `share` is relative to the other phases'."""

    name: str
    share: float
    weights: Mapping[str, float] | str
    to: Mapping[str, float] | str | None = None  # the mixture at the phase's end; None: constant
    steps: int | None = None  # reach `to` in so many equal steps; None: in a straight line
    curriculum: Curriculum | None = None  # an order within `weights`
    replay: float = 0.0  # share drawn at the mean mixture of the phases before
    sequence_length: int | None = None  # shorter sequences; divides the mixture's
    learning_rate: float | None = None  # a hint for the trainer, relative to its peak
    learning_rate_to: float | None = None  # the same at the phase's end, reached in a straight line; None: constant

    def __post_init__(self) -> None:
        if not 0 < self.share < float("inf"):
            raise ValueError(f"share {self.share} of phase {self.name} must be above 0")
        if not 0 <= self.replay <= 1:
            raise ValueError(f"replay {self.replay} of phase {self.name} is a share of 1")
        if self.steps is not None and (self.to is None or self.steps < 2):
            raise ValueError(f"steps of phase {self.name} are two or more on the way `to` another mixture")
        if self.curriculum is not None and self.to is not None:
            raise ValueError(f"phase {self.name}: to and curriculum both say when what is drawn: leave one out")
        if self.learning_rate_to is not None and self.learning_rate is None:
            raise ValueError(f"phase {self.name}: learning_rate_to needs a learning_rate to start from")


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Settings of a plan."""

    tokens: int
    sequence_length: int
    weights: Mapping[str, float] | str = "natural"
    weights_in: Literal["tokens", "documents", "sequences"] = "tokens"  # what written weights are shares of
    max_epochs: float | Mapping[str, float] | None = None  # for all sources, or by name; None: no cap
    budgets: Mapping[str, int] = field(default_factory=dict)  # tokens of a source in the whole plan
    phases: tuple[Phase, ...] = ()
    curriculum: Curriculum | None = None  # an order within `weights`; instead of `phases`
    sequence_warmup: SequenceWarmup | None = None
    seed: int = 0
    packing: Literal["none", "best-fit", "document"] = "none"  # rows cut from the tokens, or whole documents
    documents: Mapping[str, Selection] = field(default_factory=dict)  # by source: draw documents by weight
    block_rows: int = MAX_BLOCK_ROWS  # the most slots in a block; short phases take fewer

    def __post_init__(self) -> None:
        for name in ("tokens", "sequence_length", "block_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, budget in self.budgets.items():
            if budget < 0:
                raise ValueError(f"budgets.{name}: {budget} is no number of tokens")
        if self.phases and self.curriculum:
            raise ValueError("phases and curriculum both say when what is drawn: give a phase the curriculum")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases need names of their own, got {', '.join(names)}")
        if self.phases and self.phases[0].replay:
            raise ValueError(f"phase {names[0]} comes first: there is nothing to replay")
        self._check_lengths()

    def _check_lengths(self) -> None:
        for phase in self.phases:
            if phase.sequence_length is not None and (
                phase.sequence_length < 1 or self.sequence_length % phase.sequence_length
            ):
                raise ValueError(
                    f"sequence_length {phase.sequence_length} of phase {phase.name} does not divide "
                    f"{self.sequence_length}: take a divisor"
                )
        if self.sequence_warmup is not None:
            self.sequence_warmup.lengths(self.sequence_length)
        shorter = any(phase.sequence_length not in (None, self.sequence_length) for phase in self.phases)
        if (shorter or self.sequence_warmup) and (self.packing != "none" or self.documents):
            raise ValueError("shorter sequences would cut the documents that packing keeps whole: leave one out")

    def problems(self, sources: Collection[str], columns: Collection[str]) -> list[tuple[str, str]]:
        named: list[tuple[str, object]] = [("max_epochs", self.max_epochs), ("budgets", self.budgets)]
        named += [("documents", self.documents), ("weights", self.weights)]
        named += [("documents.like", [choice.like]) for choice in self.documents.values() if choice.like]
        named += [("curriculum.order", self.curriculum.order)] if self.curriculum else []
        for phase in self.phases:
            place = f"phases.{phase.name}"
            named += [(f"{place}.weights", phase.weights), (f"{place}.to", phase.to)]
            named += [(f"{place}.curriculum.order", phase.curriculum.order)] if phase.curriculum else []
        found = [problem for key, names in named for problem in unknown_sources(key, names, sources)]
        for name, choice in self.documents.items():
            if choice.by is not None and choice.by not in columns:
                found.append((f"documents.{name}.by", f"nothing measures '{choice.by}'; {nearest(choice.by, columns)}"))
        return found

    def all_phases(self) -> tuple[Phase, ...]:
        """The phases, or the one that the mixture is without any."""
        return self.phases or (Phase(name="all", share=1.0, weights=self.weights, curriculum=self.curriculum),)


def make_plan(manifest: TokenManifest, mixture: Mixture, packed: Mapping[str, Rows] | None = None) -> Plan:
    """The plan of a mixture over the token shards of a run. Raises RequestError where it is impossible.

    `packed` gives the rows of sources that were packed beforehand, or of which fewer are to be drawn from.
    """
    num_rows = mixture.tokens // mixture.sequence_length
    if num_rows == 0:
        raise RequestError(f"tokens: {mixture.tokens} is less than one sequence of {mixture.sequence_length}.")
    rows = rows_of(manifest, mixture) | dict(packed or {})
    wish = Wish.of(mixture, manifest.sources, rows)
    names = sorted(wish.names)
    return Plan(
        seed=mixture.seed,
        sequence_length=mixture.sequence_length,
        dtype=manifest.dtype.name,
        tokenizer=manifest.tokenizer.hash,
        end_of_document=manifest.tokenizer.end_of_document,
        vocab_size=manifest.tokenizer.vocab_size,
        sources=tuple(planned_source(manifest.sources[name], rows[name], wish.caps.get(name)) for name in names),
        phases=wish.planned_phases(num_rows, names, wish.caps, wish.budgets),
    )


def rows_of(manifest: TokenManifest, mixture: Mixture, known: Mapping[str, Rows] | None = None) -> dict[str, Rows]:
    """The rows of each source: cut from its tokens, packed, or packed from documents drawn by weight; packings are
    stored in the run folder. Sources in `known` keep theirs. Raises RequestError for selections of no source."""
    rows = dict(known or {})
    rows |= selected_rows(manifest, mixture.documents, mixture.sequence_length, mixture.seed, rows)
    for name, source in manifest.sources.items():
        if name in rows:
            continue
        if mixture.packing == "none":
            count = source.num_rows(mixture.sequence_length)
            rows[name] = Rows(count, count * mixture.sequence_length)
        else:
            one_each = mixture.packing == "document"
            rows[name] = pack_and_store(source, manifest.run, mixture.sequence_length, one_each=one_each)
    return rows
