"""The one table of short names: what a recipe may call, and the class behind it.

Classes are imported when a recipe names them, so a table of all stages costs nothing.
"""

from importlib import import_module
from typing import Any

from corpusmill.pipeline.stage import Stage

STAGES = {
    # read
    "jsonl": "corpusmill.stages.collect.jsonl:Jsonl",
    "parquet": "corpusmill.stages.collect.parquet:Parquet",
    "text": "corpusmill.stages.collect.plain_text:PlainText",
    "python_docs": "corpusmill.stages.collect.python_docs:PythonDocs",
    # change
    "normalize": "corpusmill.stages.clean.unicode:Normalize",
    # measure
    "language": "corpusmill.stages.measure.language:Language",
}
"""Short name -> module:class. A stage's class says its kind."""

SECTIONS: dict[str, str] = {}
"""Section of a recipe -> module:dataclass."""


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


class StageTable:
    """The catalog that recipes are checked against."""

    def stage(self, name: str) -> type[Stage]:
        loaded: type[Stage] = _load(STAGES[name])
        return loaded

    def stage_names(self, kinds: tuple[str, ...] = ()) -> list[str]:
        """Names of all stages, or of those of these kinds."""
        return [name for name in STAGES if not kinds or self.stage(name).kind in kinds]

    def section(self, name: str) -> type[Any]:
        loaded: type[Any] = _load(SECTIONS[name])
        return loaded
