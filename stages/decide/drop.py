"""Drops documents by a free expression over measured columns: `drop: "toxicity > 0.8 and lang = 'zh'"`.

The expression is SQL as DuckDB writes it; what it may hold is said in expressions.py. A document for which it is NULL,
because a column in it was not measured, stays, and is counted as not measured.
"""

from dataclasses import dataclass
from typing import ClassVar

from corpusmill.pipeline.document import Batch, Column
from corpusmill.pipeline.stage import Kind, Rule, Scratch, StageSettings, threshold
from corpusmill.stages.decide.expressions import check_expression


@dataclass(frozen=True, kw_only=True)
class Drop(StageSettings):
    """Measures nothing; `rule` names what was caught, by default the expression itself."""

    name: ClassVar[str] = "drop"
    kind: ClassVar[Kind] = "measure"

    when: str = threshold("")  # required
    rule: str = threshold("")

    def __post_init__(self) -> None:
        check_expression(self.when)

    def rules(self) -> tuple[Rule, ...]:
        name = self.rule or f"drop({' '.join(self.when.split())})"
        return (Rule(name, when=self.when, columns=check_expression(self.when)),)

    def open(self) -> "DropWorker":
        return DropWorker()


class DropWorker:
    """Has nothing to measure."""

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        return {}
