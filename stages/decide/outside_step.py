"""A datatrove pipeline step in a recipe.

    - datatrove: {step: datatrove.pipeline.filters.GopherQualityFilter, settings: {min_doc_words: 30}, as: quality}

Filters drop by `datatrove_<as>.<reason>`; formatters may change text; a writer passes documents on and writes outside
the books. The step runs as one generator per unit, in Python, document by document: use it for what has no stage here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Kind, StageSettings


@dataclass(frozen=True, kw_only=True)
class DatatroveStep(StageSettings):
    """A step of datatrove, by its dotted path, with the arguments of its constructor."""

    name: ClassVar[str] = "datatrove"
    kind: ClassVar[Kind] = "datatrove"
    depends: ClassVar[tuple[str, ...]] = ("datatrove",)

    step: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> Any:
        """A new step; one is made for every unit, since steps keep state."""
        module, _, name = self.step.rpartition(".")
        try:
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise RequestError(f"datatrove: no such step: {self.step}: {error}") from error
        return kind(**self.settings)
