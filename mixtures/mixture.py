"""What a recipe says under `mixture`, and the plan that comes of it.

    mixture:
      tokens: 20B
      sequence_length: 2048
      max_epochs: {books: 4, code: 2.5}
      phases:
        - {name: main, share: 0.9, weights: {web: 6, books: 1, code: 3}}
        - {name: anneal, share: 0.1, weights: {web: 1, books: 2}, to: {books: 1}, learning_rate: 0.1}

Weights are shares of tokens, or of documents where `weights_in` says so: a source's share of tokens is then its weight
times the mean length of its documents. With packing they are shares of rows. Without `phases` the whole plan is one
phase of `weights`. `to` is the mixture at the phase's end, reached in a straight line. Epochs are counted over the
whole plan, across phases: a source that would pass its cap is held to it in all phases alike and the others take its
place; where nothing can, the plan is refused with the most tokens that can be had.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Literal

from corpusmill.mixtures.apportion import apportion, endpoints
from corpusmill.mixtures.curriculum import Curriculum, paced_weights
from corpusmill.mixtures.packing import pack_and_store
from corpusmill.mixtures.plan import Plan, PlannedPhase, planned_source
from corpusmill.mixtures.schedule import MAX_BLOCK_ROWS, MAX_PHASE_ROWS, Segment, block_rows_for
from corpusmill.mixtures.sources import Source, TokenManifest
from corpusmill.mixtures.weights import Ratios, Weights, exact, members_of, normalized, ratios_for, water_fill
from corpusmill.pipeline.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training. `share` is relative to the other phases'."""

    name: str
    share: float
    weights: Mapping[str, float] | str
    to: Mapping[str, float] | str | None = None  # the mixture at the phase's end; None: constant
    sequence_length: int | None = None  # shorter sequences; divides the mixture's
    learning_rate: float | None = None  # a hint for the trainer, relative to its peak

    def __post_init__(self) -> None:
        if not 0 < self.share < float("inf"):
            raise ValueError(f"share {self.share} of phase {self.name} must be above 0")


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Settings of a plan."""

    tokens: int
    sequence_length: int
    weights: Mapping[str, float] | str = "natural"
    weights_in: Literal["tokens", "documents"] = "tokens"  # what written weights are shares of
    max_epochs: float | Mapping[str, float] | None = None  # for all sources, or by name; None: no cap
    phases: tuple[Phase, ...] = ()
    curriculum: Curriculum | None = None  # an order within `weights`; instead of `phases`
    seed: int = 0
    packing: Literal["none", "best-fit", "document"] = "none"  # rows cut from the tokens, or whole documents
    block_rows: int = MAX_BLOCK_ROWS  # the most slots in a block; short phases take fewer

    def __post_init__(self) -> None:
        for name in ("tokens", "sequence_length", "block_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.phases and self.curriculum:
            raise ValueError("phases and curriculum both say when what is drawn: leave one out")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases need names of their own, got {', '.join(names)}")
        for phase in self.phases:
            if phase.sequence_length is not None and (
                phase.sequence_length < 1 or self.sequence_length % phase.sequence_length
            ):
                raise ValueError(
                    f"sequence_length {phase.sequence_length} of phase {phase.name} does not divide "
                    f"{self.sequence_length}: take a divisor"
                )
            if phase.sequence_length not in (None, self.sequence_length) and self.packing != "none":
                raise ValueError(f"phase {phase.name} has shorter sequences, which packing would cut: leave one out")

    def all_phases(self) -> tuple[Phase, ...]:
        """The phases, or the one that the mixture is without any."""
        return self.phases or (Phase(name="all", share=1.0, weights=self.weights),)


def make_plan(manifest: TokenManifest, mixture: Mixture, packed: Mapping[str, tuple[int, str]] | None = None) -> Plan:
    """The plan of a mixture over the token shards of a run. Raises RequestError where it is impossible.

    `packed` gives rows and fingerprint of the packings of sources that were packed beforehand (`importance.py`).
    """
    num_rows = mixture.tokens // mixture.sequence_length
    if num_rows == 0:
        raise RequestError(f"tokens: {mixture.tokens} is less than one sequence of {mixture.sequence_length}.")
    rows = {name: rows_of(source, manifest.run, mixture) for name, source in manifest.sources.items()}
    rows |= packed or {}
    mixture = with_curriculum(mixture, manifest.sources)
    wish = Wish.of(mixture, manifest.sources, {name: count for name, (count, _) in rows.items()})
    names = sorted(wish.names)
    caps = wish.caps
    return Plan(
        seed=mixture.seed,
        sequence_length=mixture.sequence_length,
        dtype=manifest.dtype.name,
        tokenizer=manifest.tokenizer.hash,
        end_of_document=manifest.tokenizer.end_of_document,
        vocab_size=manifest.tokenizer.vocab_size,
        sources=tuple(planned_source(manifest.sources[name], *rows[name], caps.get(name)) for name in names),
        phases=wish.planned_phases(num_rows, names, caps),
    )


@dataclass(frozen=True)
class Wish:
    """A mixture resolved against sources: the ratios at both ends of each phase, and the most rows of each source."""

    mixture: Mixture
    starts: list[Ratios]
    ends: list[Ratios]
    caps: dict[str, int]

    @classmethod
    def of(cls, mixture: Mixture, sources: Mapping[str, Source], rows: Mapping[str, int]) -> "Wish":
        """`rows` is how many rows each source has.

        Raises RequestError for names that are no source, and for weights on a source without a whole row.
        """
        sizes = {name: source.num_tokens for name, source in sources.items()}
        epochs = epoch_caps(mixture.max_epochs, sizes)
        usable = {name: size for name, size in sizes.items() if rows[name]}
        starts, ends = [], []
        for phase in mixture.all_phases():
            for weights in (phase.weights, phase.to):
                if isinstance(weights, Mapping):
                    _check_size(weights, sizes, rows, mixture.sequence_length)
            pair = [
                _in_tokens(ratios_for(weights, usable, mixture.tokens, epochs), weights, mixture, sources)
                for weights in (phase.weights, phase.weights if phase.to is None else phase.to)
            ]
            starts.append(pair[0])
            ends.append(pair[1])
        return cls(mixture, starts, ends, {name: floor(cap * rows[name]) for name, cap in epochs.items()})

    @property
    def names(self) -> set[str]:
        """The sources with a weight in some phase."""
        return {name for ratios in self.starts + self.ends for name in ratios}

    def planned_phases(self, num_rows: int, names: list[str], caps: Mapping[str, int]) -> tuple[PlannedPhase, ...]:
        """Whole rows of each source, in the order of `names`, for phases that share `num_rows`, under `caps` in rows.

        Raises RequestError where the caps make it impossible.
        """
        phases = self.mixture.all_phases()
        lengths = phase_rows(phases, num_rows)
        filled, unfilled = self._fill([Fraction(length) for length in lengths], caps)
        if unfilled:
            raise self._impossible(num_rows, caps, phases[unfilled[0]].name)
        shares = [_sum(filled[2 * index], filled[2 * index + 1]) for index in range(len(phases))]
        planned = []
        for index, (phase, totals) in enumerate(zip(phases, apportion(shares, caps), strict=True)):
            first, last = totals, totals
            if phase.to is not None:
                first, last = endpoints(_doubled(filled[2 * index]), _doubled(filled[2 * index + 1]), totals)
            segment = Segment(
                rows=lengths[index],
                block_rows=block_rows_for(lengths[index], self.mixture.block_rows),
                start=tuple(first.get(name, 0) for name in names),
                end=tuple(last.get(name, 0) for name in names),
            )
            wanted = _sum(self.starts[index], self.ends[index])
            ratios = tuple(float(wanted.get(name, Fraction(0)) / 2) for name in names)
            length = phase.sequence_length or self.mixture.sequence_length
            planned.append(PlannedPhase(phase.name, length, ratios, segment, phase.learning_rate))
        return tuple(planned)

    def _fill(self, lengths: list[Fraction], caps: Mapping[str, int]) -> tuple[list[Ratios], list[int]]:
        """Water-filling over the two halves of each phase, one at its start's ratios and one at its end's: their sum
        is the phase's mean. Gives the halves, and the phases that cannot be filled."""
        halves = [ratios for pair in zip(self.starts, self.ends, strict=True) for ratios in pair]
        filled, unfilled = water_fill(halves, [length / 2 for length in lengths for _ in range(2)], caps)
        return filled, [index // 2 for index in unfilled]

    def _impossible(self, num_rows: int, caps: Mapping[str, int], where: str) -> RequestError:
        """The error with the most tokens for which the same mixture is possible, by bisection."""
        shares = [exact(phase.share) for phase in self.mixture.all_phases()]
        low, high = 0, num_rows
        while high - low > 1:
            middle = (low + high) // 2
            if self._fill([middle * share / sum(shares) for share in shares], caps)[1]:
                high = middle
            else:
                low = middle
        wanted, most = num_rows * self.mixture.sequence_length, low * self.mixture.sequence_length
        return RequestError(
            f"phases.{where}: max_epochs leaves too few tokens: {wanted} wanted, at most {most} with these weights and "
            f"caps. Ask for {most} tokens, raise max_epochs, or give weight to more sources."
        )


def with_curriculum(mixture: Mixture, sources: Mapping[str, Source]) -> Mixture:
    """The mixture with its curriculum written out as phases."""
    if mixture.curriculum is None:
        return mixture
    sizes = {name: source.num_tokens for name, source in sources.items() if source.num_tokens}
    ratios = ratios_for(mixture.weights, sizes, mixture.tokens, epoch_caps(mixture.max_epochs, sizes))
    steps = paced_weights(mixture.curriculum, ratios)
    phases = tuple(Phase(name=f"step-{step}", share=1, weights=weights) for step, weights in enumerate(steps, 1))
    return replace(mixture, phases=phases, curriculum=None)


def rows_of(source: Source, run: Path, mixture: Mixture) -> tuple[int, str | None]:
    """How many rows a source has, and the fingerprint of its packing where the mixture asks for one."""
    if mixture.packing == "none":
        return source.num_rows(mixture.sequence_length), None
    return pack_and_store(source, run, mixture.sequence_length, one_each=mixture.packing == "document")


def _in_tokens(ratios: Ratios, weights: Weights, mixture: Mixture, sources: Mapping[str, Source]) -> Ratios:
    """Ratios that are shares of documents as shares of tokens; rules such as natural are in tokens already."""
    if mixture.weights_in == "tokens" or isinstance(weights, str):
        return ratios
    means = {name: Fraction(sources[name].num_tokens, max(sources[name].num_documents, 1)) for name in ratios}
    return normalized({name: ratio * means[name] for name, ratio in ratios.items()})


def _check_size(
    weights: Mapping[str, float], sizes: Mapping[str, int], rows: Mapping[str, int], sequence_length: int
) -> None:
    """Rules such as `natural` pass over a source without one whole row; a weight written for it is a mistake."""
    for name, weight in weights.items():
        if weight and rows.get(name) == 0:
            raise RequestError(
                f"weights.{name}: the source has {sizes[name]} tokens, less than one row of {sequence_length} + 1: "
                "leave it out, or take a shorter sequence_length."
            )


def epoch_caps(max_epochs: float | Mapping[str, float] | None, sizes: Mapping[str, int]) -> dict[str, Fraction]:
    """The cap of each capped source; a name with buckets stands for all of them."""
    if max_epochs is None:
        return {}
    if not isinstance(max_epochs, Mapping):
        max_epochs = dict.fromkeys(sizes, max_epochs)
    caps = {}
    for name, cap in max_epochs.items():
        members = members_of(name, sizes)
        if not members:
            raise RequestError(f"max_epochs.{name}: no such source among the shards. There are: {', '.join(sizes)}.")
        if not 0 <= cap < float("inf"):
            raise RequestError(f"max_epochs.{name}: {cap} is no cap. Write a number of at least 0.")
        caps.update({member: exact(cap) for member in members})
    return caps


def phase_rows(phases: tuple[Phase, ...], num_rows: int) -> list[int]:
    """Whole rows of each phase by its share. Raises RequestError for a phase with none or too many."""
    total = sum((exact(phase.share) for phase in phases), Fraction(0))
    (rows,) = apportion([{phase.name: exact(phase.share) * num_rows / total for phase in phases}], {})
    for phase in phases:
        if rows[phase.name] == 0:
            raise RequestError(f"phases.{phase.name}: share {phase.share} of {num_rows} rows is no row.")
        if rows[phase.name] > MAX_PHASE_ROWS:
            raise RequestError(
                f"phases.{phase.name}: {rows[phase.name]} rows, at most {MAX_PHASE_ROWS} in a phase: "
                "split it into several with the same weights, or take a longer sequence_length."
            )
    return [rows[phase.name] for phase in phases]


def _sum(first: Ratios, second: Ratios) -> Ratios:
    return {name: first.get(name, Fraction(0)) + second.get(name, Fraction(0)) for name in {**first, **second}}


def _doubled(shares: Ratios) -> Ratios:
    return {name: 2 * share for name, share in shares.items()}
