"""Changes the mixture in the middle of a run: what was consumed stays, the rest follows the new weights.

    plan = continue_plan(old, position, manifest, mixture)          # mixture.tokens counts the whole run
    print(plan_changes(plan))

Positions before `position` read what they read under the old plan; epochs and caps count what was consumed there.
Phases of the new mixture share what is left of `tokens`. A source of the old plan that the new weights leave out stays
in the books. Shards must be those of the old plan; files added to a source behind them enter as a source of their own
(`web+1`), which the name `web` covers too, in proportion to tokens.
"""

from dataclasses import dataclass, replace
from typing import Any

from corpusmill.mixtures.mixture import Mixture, rows_of
from corpusmill.mixtures.plan import Consumed, Plan, Rows, planned_source
from corpusmill.mixtures.positions import PositionMap
from corpusmill.mixtures.sources import Source, TokenManifest
from corpusmill.mixtures.wish import Wish
from corpusmill.pipeline.errors import RequestError


def continue_plan(old: Plan, position: int, manifest: TokenManifest, mixture: Mixture) -> Plan:
    """The plan that follows `old` up to `position` and `mixture` from there on. Raises RequestError.

    Where `old` itself continues a plan from `position` or later, that one is continued: asking twice gives the same.
    """
    while old.before is not None and position <= old.before.position:
        old = old.before.plan
    if not 0 < position <= old.num_rows:
        raise RequestError(f"continue-from: position {position} is not in the plan, which has {old.num_rows} rows.")
    for name in ("sequence_length", "seed"):
        if getattr(mixture, name) != getattr(old, name):
            raise RequestError(
                f"{name}: {getattr(mixture, name)} cannot change in mid-run, the plan has {getattr(old, name)}."
            )
    num_rows = mixture.tokens // mixture.sequence_length - position
    if num_rows <= 0:
        raise RequestError(
            f"tokens: {mixture.tokens} in all, {position * mixture.sequence_length} are consumed: nothing is left."
        )
    views = _views(old, manifest)
    sources = {name: view.source for name, view in views.items()}
    known = {each.name: Rows(each.num_rows, each.row_tokens, each.packing) for each in old.sources}
    rows = rows_of(replace(manifest, sources=sources), mixture, known)
    wish = Wish.of(mixture, sources, rows)
    drawn = dict(
        zip((source.name for source in old.sources), PositionMap(old).drawn_by(position).tolist(), strict=True)
    )
    kept = {source.name for source in old.sources}
    names = sorted(wish.names | kept)
    caps, budgets = (
        {name: max(0, most - drawn.get(name, 0)) for name, most in whole.items()} for whole in (wish.caps, wish.budgets)
    )
    return Plan(
        seed=old.seed,
        sequence_length=old.sequence_length,
        dtype=old.dtype,
        tokenizer=old.tokenizer,
        end_of_document=old.end_of_document,
        vocab_size=old.vocab_size,
        sources=tuple(
            planned_source(sources[name], rows[name], wish.caps.get(name), views[name].first_shard) for name in names
        ),
        phases=wish.planned_phases(num_rows, names, caps, budgets),
        before=Consumed(old, position, tuple(drawn.get(name, 0) for name in names)),
        excluded=old.excluded,
    )


def plan_changes(new: Plan) -> list[dict[str, Any]]:
    """A row per source: {source, consumed, before, after, epochs}: tokens until the change, tokens that the old plan
    would have drawn from there on, tokens that the new one draws, and epochs of the whole run under the new plan."""
    assert new.before is not None
    would = new.before.plan.rows_by_source()
    will = new.rows_by_source()
    rows = []
    for source, consumed in zip(new.sources, new.before.rows, strict=True):
        rows.append(
            {
                "source": source.name,
                "consumed": source.tokens_in(consumed),
                "before": source.tokens_in(max(0, would.get(source.name, 0) - consumed)),
                "after": source.tokens_in(will[source.name] - consumed),
                "epochs": will[source.name] / source.num_rows,
            }
        )
    return rows


@dataclass(frozen=True)
class _View:
    source: Source
    first_shard: int


def _views(old: Plan, manifest: TokenManifest) -> dict[str, _View]:
    """The old plan's sources, the files that came behind them, and sources that are new altogether, by name."""
    views: dict[str, _View] = {}
    ends: dict[tuple[str, str], tuple[int, int]] = {}  # (source, bucket) -> (files that the plan knows, parts)
    for planned, source in zip(old.sources, old.sources_in(manifest), strict=True):
        views[planned.name] = _View(source, planned.first_shard)
        end, part = planned.first_shard + planned.num_shards, planned.part
        known = ends.get((planned.source, planned.bucket), (0, 0))
        ends[planned.source, planned.bucket] = (max(known[0], end), max(known[1], part))
    for source in manifest.sources.values():
        if (source.source, source.bucket) not in ends:
            views[source.name] = _View(source, 0)
            continue
        end, part = ends[source.source, source.bucket]
        if end < len(source.shards):
            grown = Source(source.source, source.bucket, source.shards[end:], part + 1)
            views[grown.name] = _View(grown, end)
    return views
