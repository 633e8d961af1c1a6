"""A plan: which row of which source is read at every position of training, as arithmetic.

The file is small and readable: sources with their caps and the fingerprints of their shards, and for each phase the
whole number of rows that each source gives. What is read at a position follows from these numbers and the seed
(`positions.py`). A plan belongs to its shards and tokenizer: others are refused.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from corpusmill.mixtures.schedule import Segment
from corpusmill.mixtures.sources import Source, TokenManifest
from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.fingerprint import hash_json
from corpusmill.pipeline.run_folder import RunFolder

FORMAT = 2
PACKINGS = "plans/packings"  # in the run folder, one folder for each packing by its fingerprint


@dataclass(frozen=True)
class Rows:
    """The rows of a source: cut from its tokens, or bins of whole documents."""

    num_rows: int
    num_tokens: int  # in all rows together: what padding or an incomplete row leaves out is not counted
    packing: str | None = None  # fingerprint of the bins


@dataclass(frozen=True)
class PlannedSource:
    """A source as the plan knew it."""

    name: str
    source: str
    bucket: str
    num_tokens: int
    num_rows: int
    row_tokens: int  # tokens in all its rows
    max_rows: int | None  # the most rows drawn from it in the whole plan; None without a cap
    first_shard: int  # among the files of the source and bucket; above 0 for files that came later
    num_shards: int
    part: int
    packing: str | None  # fingerprint of its bins, where rows are bins of whole documents
    fingerprint: str  # of its shards

    def tokens_in(self, rows: int) -> int:
        """Tokens in so many of its rows: exact where rows are cut, by their mean where they are packed."""
        return round(rows * self.row_tokens / self.num_rows) if self.num_rows else 0


@dataclass(frozen=True)
class PlannedPhase:
    """A phase: rows by source, in the order of the plan's sources."""

    name: str
    sequence_length: int  # divides the plan's: a row is read as several shorter sequences
    wanted: tuple[float, ...]  # ratio that the weights ask for, before caps and whole rows
    segment: Segment
    learning_rate: tuple[float, float] | None  # at both ends: a hint for the trainer, relative to its peak


@dataclass(frozen=True)
class Excluded:
    """Documents that are trained on no more from a position on; their ids lie in `plans/excluded/<ids>.json`."""

    position: int
    num_documents: int
    ids: str  # fingerprint of the list
    plan: str  # fingerprint of the plan without it


@dataclass(frozen=True)
class Consumed:
    """The plan that was followed before, and how far: its positions and rows stay as they were."""

    plan: "Plan"
    position: int
    rows: tuple[int, ...]  # rows drawn until there, in the order of the new plan's sources


@dataclass(frozen=True)
class Plan:
    """All that training order depends on. `sequence_length` is tokens in a row, the longest sequence of the plan.

    A plan that continues another holds it in `before`; its phases begin where the other was left.
    """

    seed: int
    sequence_length: int
    dtype: str
    tokenizer: str  # content hash
    end_of_document: int
    vocab_size: int
    sources: tuple[PlannedSource, ...]
    phases: tuple[PlannedPhase, ...]
    before: Consumed | None = None
    excluded: tuple[Excluded, ...] = ()

    @property
    def first_position(self) -> int:
        """Where the phases begin: 0 unless the plan continues another."""
        return self.before.position if self.before else 0

    @cached_property
    def num_rows(self) -> int:
        """Positions in the plan, those of the plan before it included."""
        return self.first_position + sum(phase.segment.rows for phase in self.phases)

    @property
    def num_tokens(self) -> int:
        """Targets in the plan: rows x sequence length."""
        return self.num_rows * self.sequence_length

    def rows_by_source(self) -> dict[str, int]:
        """Rows drawn from each source in the whole plan, those before it was continued included."""
        drawn = [self.before.rows] if self.before else []
        totals = [sum(parts) for parts in zip(*drawn, *(phase.segment.totals for phase in self.phases), strict=True)]
        return {source.name: total for source, total in zip(self.sources, totals, strict=True)}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the plan's content."""
        return hash_json(asdict(self))

    def knows(self, fingerprint: str, position: int) -> bool:
        """Whether `position` of the plan with this fingerprint is the same position of this one: it is this plan, or
        this one continues it from there or later, or excludes documents from it."""
        if fingerprint in (self.fingerprint, *(each.plan for each in self.excluded)):
            return True
        before = self.before
        return before is not None and position <= before.position and before.plan.knows(fingerprint, position)

    def save(self, path: Path | str) -> None:
        """Writes the plan as JSON, in one step."""
        body = {"format": FORMAT, "fingerprint": self.fingerprint, **asdict(self)}
        folder, name = _split(path)
        folder.put_json(name, body)

    @classmethod
    def load(cls, path: Path | str) -> "Plan":
        """Reads a plan. Raises DamagedFileError where its content is not what its fingerprint says."""
        folder, name = _split(path)
        if folder.size(name) is None:
            raise RequestError(f"{path} is missing: make it with corpusmill plan.")
        try:
            body = json.loads(folder.read_bytes(name))
        except ValueError as error:
            raise DamagedFileError(f"{path} is no JSON ({error}): make the plan again.") from error
        if body.get("format") != FORMAT:
            raise RequestError(f"{path} has format {body.get('format')!r}, this version reads {FORMAT}: make it again.")
        fingerprint = body.pop("fingerprint", None)
        found = hash_json({name: value for name, value in body.items() if name != "format"})
        if found != fingerprint:
            raise DamagedFileError(f"{path} was changed after it was made ({found}, it says {fingerprint}).")
        plan = cls._from_json(body)
        plan.__dict__["fingerprint"] = found  # known: hashing 200 sources again would take 5 ms
        return plan

    @classmethod
    def _from_json(cls, body: dict[str, Any]) -> "Plan":
        sources = tuple(PlannedSource(**source) for source in body["sources"])
        phases = []
        for phase in body["phases"]:
            facts: dict[str, Any] = phase["segment"]
            segment = Segment(facts["rows"], facts["block_rows"], tuple(facts["start"]), tuple(facts["end"]))
            rates = phase["learning_rate"] and tuple(phase["learning_rate"])
            made_of = {"wanted": tuple(phase["wanted"]), "segment": segment, "learning_rate": rates}
            phases.append(PlannedPhase(**phase | made_of))
        before = body["before"]
        if before is not None:
            before = Consumed(cls._from_json(before["plan"]), before["position"], tuple(before["rows"]))
        excluded = tuple(Excluded(**each) for each in body["excluded"])
        made = {"sources": sources, "phases": tuple(phases), "before": before, "excluded": excluded}
        return cls(**made, **{name: body[name] for name in cls.__dataclass_fields__ if name not in made})

    def sources_in(self, manifest: TokenManifest) -> list[Source]:
        """The plan's sources as the manifest has them, in the plan's order.

        Raises RequestError unless the shards and the tokenizer are the ones that the plan was made for.
        """
        if manifest.tokenizer.hash != self.tokenizer:
            raise RequestError(
                f"{manifest.run.url}: tokenizer {manifest.tokenizer.hash}, the plan was made for {self.tokenizer}: "
                "make a new plan for this run."
            )
        whole = {(source.source, source.bucket): source for source in manifest.sources.values()}
        return [_source_in(whole.get((source.source, source.bucket)), source, manifest) for source in self.sources]


def _source_in(whole: Source | None, planned: PlannedSource, manifest: TokenManifest) -> Source:
    if whole is None:
        raise RequestError(f"{manifest.run.url}: source {planned.name} has no shards: make a new plan for this run.")
    shards = whole.shards[planned.first_shard : planned.first_shard + planned.num_shards]
    source = Source(planned.source, planned.bucket, shards, planned.part)
    if source.fingerprint != planned.fingerprint:
        raise RequestError(
            f"{manifest.run.url}: source {planned.name} has other shards than the plan was made for: make a new plan."
        )
    return source


def planned_source(source: Source, rows: Rows, max_rows: int | None, first_shard: int = 0) -> PlannedSource:
    """What a plan keeps of a source."""
    return PlannedSource(
        name=source.name,
        source=source.source,
        bucket=source.bucket,
        num_tokens=source.num_tokens,
        num_rows=rows.num_rows,
        row_tokens=rows.num_tokens,
        max_rows=max_rows,
        first_shard=first_shard,
        num_shards=len(source.shards),
        part=source.part,
        packing=rows.packing,
        fingerprint=source.fingerprint,
    )


def _split(path: Path | str) -> tuple[RunFolder, str]:
    """The folder and the name of a file by its path or URL."""
    folder, _, name = str(path).rpartition("/")
    return RunFolder(folder or "."), name


def plan_table(plan: Plan) -> list[dict[str, Any]]:
    """A row per source and phase: {source, bucket, phase, wanted, realised, tokens, epochs}.

    `wanted` and `realised` are ratios of the phase's tokens, padding not counted; `epochs` counts this phase alone.
    What a plan before this one consumed comes first, as a phase named `consumed`.
    """
    table: list[dict[str, Any]] = []
    if plan.before:
        table += _table_rows(plan, "consumed", None, plan.before.rows)
    for phase in plan.phases:
        table += _table_rows(plan, phase.name, phase.wanted, phase.segment.totals)
    return table


def plan_totals(plan: Plan) -> list[dict[str, Any]]:
    """A row per source over the whole plan: {source, bucket, share, tokens, epochs, max_epochs}; the last is None
    without a cap. What was consumed before counts too."""
    tokens = [
        source.tokens_in(count) for source, count in zip(plan.sources, plan.rows_by_source().values(), strict=True)
    ]
    return [
        {
            "source": f"{source.source}+{source.part}" if source.part else source.source,
            "bucket": source.bucket,
            "share": tokens[index] / max(sum(tokens), 1),
            "tokens": tokens[index],
            "epochs": plan.rows_by_source()[source.name] / source.num_rows,
            "max_epochs": None if source.max_rows is None else source.max_rows / source.num_rows,
        }
        for index, source in enumerate(plan.sources)
    ]


def _table_rows(
    plan: Plan, phase: str, wanted: tuple[float, ...] | None, rows: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    tokens = [source.tokens_in(count) for source, count in zip(plan.sources, rows, strict=True)]
    realised = [count / max(sum(tokens), 1) for count in tokens]
    for index, source in enumerate(plan.sources):
        yield {
            "source": f"{source.source}+{source.part}" if source.part else source.source,
            "bucket": source.bucket,
            "phase": phase,
            "wanted": realised[index] if wanted is None else wanted[index],
            "realised": realised[index],
            "tokens": tokens[index],
            "epochs": rows[index] / source.num_rows,
        }
