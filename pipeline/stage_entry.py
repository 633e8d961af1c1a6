"""A stage as a recipe has it: under which name, for which sources, with whose thresholds.

A source's own thresholds come before those of a document's language, and these before the stage's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from corpusmill.pipeline.document import Column
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule, Stage


@dataclass(frozen=True)
class StageEntry:
    """A stage in a recipe: its settings, and what the recipe says about its place."""

    stage: Stage
    label: str  # the name that its columns and rules begin with: the stage's own, or `as`
    only: tuple[str, ...] = ()  # sources; empty is all
    early: bool = False  # its rules run inside make
    per_source: tuple[tuple[str, Stage], ...] = ()  # the stage with other thresholds for a source
    per_language: tuple[tuple[str, Stage], ...] = ()  # and for documents of a language (ISO 639-1)
    line: int = field(default=0, compare=False)  # of the recipe file, 0 where there is none

    def applies_to(self, source: str) -> bool:
        return not self.only or source in self.only

    def _column(self, name: str) -> str:
        own = self.stage.name
        if self.label != own and (name == own or name.startswith(f"{own}_")):
            return self.label + name[len(own) :]
        return name

    def adds(self) -> dict[str, pa.DataType]:
        return {self._column(name): kind for name, kind in self.stage.adds().items()}

    def renamed(self, measured: Mapping[str, Column]) -> dict[str, Column]:
        """A worker's columns under this entry's names."""
        return {self._column(name): column for name, column in measured.items()}

    def has_rules(self) -> bool:
        """Whether any document may be dropped by it."""
        stages = (self.stage, *(stage for _, stage in (*self.per_source, *self.per_language)))
        return any(stage.rules() for stage in stages)

    def rules(self, source: str) -> tuple[Rule, ...]:
        """The rules for a source's documents, under this entry's names."""
        own = f"{self.stage.name}."
        rules = {rule.name: rule for rule in self.stage.rules()}
        for language, stage in self.per_language:
            variant = {rule.name: rule for rule in stage.rules()}
            for name in {**rules, **variant}:
                rules[name] = _rule_for_language(rules.get(name), variant.get(name), language)
        for name, stage in self.per_source:
            if name == source:
                rules = _changed_rules(rules, self.stage.rules(), stage.rules())
        return tuple(
            replace(
                rule,
                name=f"{self.label}.{rule.name[len(own) :]}" if rule.name.startswith(own) else rule.name,
                value=tuple(self._column(name) for name in rule.value),
            )
            for rule in rules.values()
        )


def _rule_for_language(rule: Rule | None, variant: Rule | None, language: str) -> Rule:
    """The rule with the variant's limit for documents of a language; either may be off (None)."""
    known = rule or variant
    assert known is not None
    if rule is not None and replace(rule, by_language=()) == variant:
        return rule
    for one in (rule, variant):
        if one is not None and (one.when is not None or not isinstance(one.limit, int | float | None)):
            raise RequestError(f"{one.name}: only a rule that compares a number can differ by language")
    base = rule or replace(known, limit=None, by_language=())
    limit = variant.limit if variant is not None else None
    assert not isinstance(limit, str | tuple)
    return replace(base, by_language=(*base.by_language, (language, limit)))


def _changed_rules(rules: dict[str, Rule], usual: tuple[Rule, ...], wanted: tuple[Rule, ...]) -> dict[str, Rule]:
    """The rules with those that a source's thresholds change, switch on or off as the source has them."""
    before = {rule.name: rule for rule in usual}
    after = {rule.name: rule for rule in wanted}
    names = {**rules, **after}
    chosen = {name: after.get(name) if after.get(name) != before.get(name) else rules.get(name) for name in names}
    return {name: rule for name, rule in chosen.items() if rule is not None}
