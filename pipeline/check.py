"""Checks a recipe as a whole before anything starts, and says what it would do."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from typing import Any

import pyarrow as pa

from corpusmill.pipeline.build import PlannedPhase
from corpusmill.pipeline.columns import nulls
from corpusmill.pipeline.decide import DecidePhase
from corpusmill.pipeline.errors import CorpusmillError, Problem, RequestError
from corpusmill.pipeline.make import MEASURES_BASE, MakePhase
from corpusmill.pipeline.parts import PART_COLUMNS
from corpusmill.pipeline.recipe import Catalog, Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.settings import nearest, plain
from corpusmill.pipeline.stage import Rule, Stage
from corpusmill.pipeline.stage_entry import StageEntry


def check_recipe(
    recipe: Recipe, file: str, planned: Sequence[PlannedPhase]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The phases that `check` prints, with units and bytes where they are known, and every problem found.

    Looked at: inputs exist, models and lists are there and whole, optional libraries are installed, every rule and
    stage reads only columns that something before it measures, and the sections behind the stages name sources that
    there are.
    """
    problems: list[Problem] = []
    for source in recipe.sources:
        found = [message for stage in _stages_of(source) for message in _stage_problems(stage)]
        problems += [Problem(file, source.line, f"sources.{source.name}", message) for message in found]
    for entry in recipe.entries:
        variants = [stage for _, stage in (*entry.per_source, *entry.per_language)]
        found = [message for stage in (entry.stage, *variants) for message in _stage_problems(stage)]
        for message in dict.fromkeys(found):
            problems.append(Problem(file, entry.line, f"stages.{entry.label}", message))
    for entry, message in _column_problems(recipe):
        problems.append(Problem(file, entry.line, f"stages.{entry.label}", message))
    sources = [source.name for source in recipe.sources]
    columns = {*PART_COLUMNS, *(name for entry in recipe.entries for name in entry.adds())}
    for name, section in recipe.sections.items():
        for key, message in section.problems(sources, columns):
            problems.append(Problem(file, recipe.section_lines.get(name, 0), f"{name}.{key}", message))
    if problems:
        return [], problems
    phases: list[dict[str, Any]] = []
    for each in planned:
        phase = each.phase
        shown: dict[str, Any] = {"name": phase.name, "stages": list(each.stages), "units": None, "bytes": None}
        shown["rules"] = []
        if isinstance(phase, MakePhase):
            try:
                units = phase.units(RunFolder("."))
            except (CorpusmillError, OSError) as error:
                problems += _input_problems(phase, file) or [Problem(file, 0, "sources", str(error))]
                continue
            shown |= {"units": len(units), "bytes": sum(unit.num_bytes for unit in units)}
            shown["rules"] = [f"{text} (early)" for e in recipe.entries if e.early for text in _rule_texts(e)]
        elif isinstance(phase, DecidePhase):
            shown["units"] = phases[0]["units"] if phases else None
            shown["rules"] = [text for e in phase.entries for text in _rule_texts(e)]
        phases.append(shown)
    return phases, problems


def _input_problems(phase: MakePhase, file: str) -> list[Problem]:
    """The sources whose files cannot be found, by the line of the source."""
    found = []
    for source in phase.sources:
        try:
            phase.files(source)
        except (CorpusmillError, OSError) as error:
            found.append(Problem(file, source.line, f"sources.{source.name}.paths", str(error)))
    return found


def _stages_of(source: Any) -> list[Stage]:
    return [source.reader] if source.extractor is None else [source.reader, source.extractor]


def _stage_problems(stage: Stage) -> list[str]:
    found = [f"{path}: no such file" for path in stage.files() if not path.is_file()]
    for distribution in stage.depends:
        try:
            metadata.version(distribution)
        except metadata.PackageNotFoundError:
            name = f"corpusmill[{stage.extra}]" if stage.extra else distribution
            found.append(f"needs {distribution}, which is not installed: pip install '{name}'")
    if not found:
        try:
            found += stage.problems()
        except CorpusmillError as error:
            found.append(str(error))
    return found


def _column_problems(recipe: Recipe) -> list[tuple[StageEntry, str]]:
    """Columns that a rule or stage reads and nothing measured before it."""
    found = []
    measured: set[str] = set(PART_COLUMNS)
    types = {field.name: field.type for field in MEASURES_BASE}
    late: set[str] = set()  # measured by gathers: not there yet when an early rule runs
    for entry in recipe.entries:
        adds = set(entry.adds())
        visible = measured if entry.early else measured | late
        for name in entry.stage.reads():
            if name not in (measured | late if entry.stage.kind == "gather" else measured):
                found.append((entry, f"reads '{name}', which no stage before it measures; {nearest(name, measured)}"))
        sources = [source.name for source in recipe.sources if entry.applies_to(source.name)]
        for rule in {rule.name: rule for source in sources for rule in entry.rules(source)}.values():
            for name in rule.needs():
                if name not in visible | adds:
                    hint = nearest(name, visible | adds)
                    found.append((entry, f"rule {rule.name} reads '{name}', which nothing measures before it; {hint}"))
            if rule.when is not None and set(rule.needs()) <= types.keys() | adds:
                found += [(entry, message) for message in _type_problems(rule, types | entry.adds())]
        if entry.early and entry.stage.kind == "gather":
            found.append((entry, "a gather needs all documents and cannot be early"))
        types |= entry.adds()
        if entry.stage.kind == "gather":
            late |= adds
        else:
            measured |= adds
    return found


def _type_problems(rule: Rule, types: Mapping[str, pa.DataType]) -> list[str]:
    """An expression that does not fit the types of its columns, found on a table without rows."""
    from corpusmill.pipeline.rules import evaluate

    try:
        evaluate([rule], pa.table({name: nulls(0, types[name]) for name in rule.needs()}))
    except RequestError as error:
        return [str(error)]
    return []


def _rule_texts(entry: StageEntry) -> list[str]:
    """The entry's rules, and those that a source has in other form, with its name."""
    usual = entry.rules("")
    texts = [rule_text(rule) for rule in usual]
    for source, _ in entry.per_source:
        own = entry.rules(source)
        texts += [f"{rule_text(rule)} [source {source}]" for rule in own if rule not in usual]
        off = {rule.name for rule in usual} - {rule.name for rule in own}
        texts += [f"{name}: off [source {source}]" for name in sorted(off)]
    return texts


def rule_text(rule: Rule) -> str:
    """A rule as people read it."""
    if rule.when is not None:
        return f"{rule.name}: {rule.when}"
    limit = ", ".join(rule.limit) if isinstance(rule.limit, tuple) else _limit_text(rule.limit)
    others = ", ".join(f"{language} {_limit_text(other)}" for language, other in rule.by_language)
    return f"{rule.name}: {' / '.join(rule.value)} {rule.op} {limit}{f' ({others})' if others else ''}"


def _limit_text(limit: float | str | None) -> str:
    return "off" if limit is None else str(limit)


def stage_table(catalog: Catalog) -> list[dict[str, Any]]:
    """Every stage for the `stages` command: kind, settings with type and default, columns read and measured."""
    table = []
    for name in catalog.stage_names(()):
        kind = catalog.stage(name)
        settings = []
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # every Stage is a dataclass
            default: Any = "required"
            if field.default is not dataclasses.MISSING:
                default = plain(field.default)
            elif field.default_factory is not dataclasses.MISSING:
                default = plain(field.default_factory())
            settings.append({"name": field.name, "type": _type_name(field.type), "default": default})
        adds: list[str] = []
        reads: list[str] = []
        if all(setting["default"] != "required" for setting in settings):
            with suppress(RequestError):  # one that must be told something before it can say what it measures
                stage = kind()
                adds, reads = list(stage.adds()), list(stage.reads())
        about = (kind.__doc__ or "").strip().splitlines()[0] if kind.__doc__ else ""
        entry = {"name": name, "kind": kind.kind, "about": about, "settings": settings, "reads": reads, "adds": adds}
        table.append(entry)
    return table


def _type_name(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
