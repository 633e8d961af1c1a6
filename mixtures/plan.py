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

FORMAT = 1


@dataclass(frozen=True)
class PlannedSource:
    """A source as the plan knew it."""

    name: str
    source: str
    bucket: str
    num_tokens: int
    num_rows: int
    max_rows: int | None  # the most rows drawn from it in the whole plan; None without a cap
    num_shards: int
    fingerprint: str  # of its shards


@dataclass(frozen=True)
class PlannedPhase:
    """A phase: rows by source, in the order of the plan's sources."""

    name: str
    sequence_length: int  # divides the plan's: a row is read as several shorter sequences
    wanted: tuple[float, ...]  # ratio that the weights ask for, before caps and whole rows
    segment: Segment
    learning_rate: float | None  # a hint for the trainer, relative to its peak


@dataclass(frozen=True)
class Plan:
    """All that training order depends on. `sequence_length` is tokens in a row, the longest sequence of the plan."""

    seed: int
    sequence_length: int
    dtype: str
    tokenizer: str  # content hash
    end_of_document: int
    vocab_size: int
    sources: tuple[PlannedSource, ...]
    phases: tuple[PlannedPhase, ...]

    @cached_property
    def num_rows(self) -> int:
        """Positions in the plan."""
        return sum(phase.segment.rows for phase in self.phases)

    @property
    def num_tokens(self) -> int:
        """Targets in the plan: rows x sequence length."""
        return self.num_rows * self.sequence_length

    def rows_by_source(self) -> dict[str, int]:
        """Rows drawn from each source in the whole plan."""
        totals = [sum(parts) for parts in zip(*(phase.segment.totals for phase in self.phases), strict=True)]
        return {source.name: total for source, total in zip(self.sources, totals, strict=True)}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the plan's content."""
        return hash_json(asdict(self))

    def save(self, path: Path) -> None:
        """Writes the plan as JSON, in one step."""
        body = {"format": FORMAT, "fingerprint": self.fingerprint, **asdict(self)}
        RunFolder(str(path.parent)).put_json(path.name, body)

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Reads a plan. Raises DamagedFileError where its content is not what its fingerprint says."""
        try:
            body = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise RequestError(f"{path} is missing: make it with corpusmill plan.") from None
        except ValueError as error:
            raise DamagedFileError(f"{path} is no JSON ({error}): make the plan again.") from error
        if body.get("format") != FORMAT:
            raise RequestError(f"{path} has format {body.get('format')!r}, this version reads {FORMAT}.")
        fingerprint = body.pop("fingerprint", None)
        plan = cls._from_json(body)
        if plan.fingerprint != fingerprint:
            raise DamagedFileError(f"{path} was changed after it was made ({plan.fingerprint}, it says {fingerprint}).")
        return plan

    @classmethod
    def _from_json(cls, body: dict[str, Any]) -> "Plan":
        sources = tuple(PlannedSource(**source) for source in body["sources"])
        phases = []
        for phase in body["phases"]:
            facts: dict[str, Any] = phase["segment"]
            segment = Segment(facts["rows"], facts["block_rows"], tuple(facts["start"]), tuple(facts["end"]))
            phases.append(PlannedPhase(**phase | {"wanted": tuple(phase["wanted"]), "segment": segment}))
        kept = {name: body[name] for name in cls.__dataclass_fields__ if name not in ("sources", "phases")}
        return cls(**kept, sources=sources, phases=tuple(phases))

    def check(self, manifest: TokenManifest) -> None:
        """Raises RequestError unless the shards and the tokenizer are the ones that the plan was made for."""
        if manifest.tokenizer.hash != self.tokenizer:
            raise RequestError(
                f"{manifest.run}: tokenizer {manifest.tokenizer.hash}, the plan was made for {self.tokenizer}: "
                "make a new plan for this run."
            )
        for planned in self.sources:
            found = manifest.sources.get(planned.name)
            if found is None or found.fingerprint != planned.fingerprint:
                state = "has no shards" if found is None else "has other shards than the plan was made for"
                raise RequestError(f"{manifest.run}: source {planned.name} {state}: make a new plan for this run.")


def planned_source(source: Source, sequence_length: int, max_rows: int | None) -> PlannedSource:
    """What a plan keeps of a source."""
    return PlannedSource(
        name=source.name,
        source=source.source,
        bucket=source.bucket,
        num_tokens=source.num_tokens,
        num_rows=source.num_rows(sequence_length),
        max_rows=max_rows,
        num_shards=len(source.shards),
        fingerprint=source.fingerprint,
    )


def plan_table(plan: Plan) -> list[dict[str, Any]]:
    """A row per source and phase: {source, bucket, phase, wanted, realised, tokens, epochs}.

    `wanted` and `realised` are ratios of the phase's tokens; `epochs` counts this phase alone.
    """
    return list(_table_rows(plan))


def _table_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    for phase in plan.phases:
        for source, wanted, rows in zip(plan.sources, phase.wanted, phase.segment.totals, strict=True):
            yield {
                "source": source.source,
                "bucket": source.bucket,
                "phase": phase.name,
                "wanted": wanted,
                "realised": rows / phase.segment.rows,
                "tokens": rows * plan.sequence_length,
                "epochs": rows / source.num_rows,
            }
