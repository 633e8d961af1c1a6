"""Builds a run: plans the phases of a recipe one after another and has an engine do the units that are not done yet.

    make → decide-1 → exact/… → minhash/… → decide-2 → tokens/…

A phase is planned when all before it are complete, from their receipts. A unit whose receipt has the right key is not
run again; a receipt of another run named in `reuse` serves as well.
"""

import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Protocol

from corpusmill.pipeline.decide import DecidePhase
from corpusmill.pipeline.engine import Engine
from corpusmill.pipeline.errors import CorpusmillError, OtherFormatError
from corpusmill.pipeline.faults import fault_point
from corpusmill.pipeline.gathering import gather_phases
from corpusmill.pipeline.make import MakePhase
from corpusmill.pipeline.phases import Phase, Unit, finished_receipt, key_of
from corpusmill.pipeline.receipts import Receipt, parse_receipt, read_receipt, receipt_path, write_receipt
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage_entry import StageEntry

PHASES = "phases.json"


@dataclass(frozen=True)
class PlannedPhase:
    """A phase with what people are shown of it."""

    phase: Phase
    stages: tuple[str, ...]
    decides: bool  # its units write decisions on parts


class Progress(Protocol):
    """Told of the work as it goes; all in the driver."""

    def phase(self, name: str, num_units: int, num_done: int, num_bytes: int) -> None:
        """A phase begins; `num_bytes` are still to be read."""

    def unit(self, unit: Unit, receipt: Receipt) -> None:
        """A unit is finished."""


class Silent:
    """No progress shown."""

    def phase(self, name: str, num_units: int, num_done: int, num_bytes: int) -> None:
        return None

    def unit(self, unit: Unit, receipt: Receipt) -> None:
        return None


@dataclass
class BuildResult:
    """What a build did: units run and units found finished, per phase."""

    ran: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


TokenPhases = Callable[[Recipe], Sequence[Phase]]


def plan_phases(recipe: Recipe, token_phases: TokenPhases, **choices: Any) -> list[PlannedPhase]:
    """The phases of a recipe, in order. `choices` are MakePhase's `sample` and `limit`."""
    make = MakePhase.of(recipe, **choices)
    stages = [source.reader.name for source in recipe.sources] + [entry.label for entry in make.entries]
    planned = [PlannedPhase(make, tuple(dict.fromkeys(stages)), decides=True)]
    deciding: list[str] = []
    waiting: list[StageEntry] = []

    def decide() -> None:
        if waiting:
            phase = DecidePhase(
                sum(name.startswith("decide-") for name in deciding) + 1, tuple(waiting), tuple(deciding)
            )
            planned.append(PlannedPhase(phase, tuple(entry.label for entry in waiting), decides=True))
            deciding.append(phase.name)
            waiting.clear()

    for entry in recipe.entries:
        if entry.stage.kind == "gather":
            decide()
            rounds = gather_phases(entry, tuple(deciding), recipe.gather_memory)
            planned += [PlannedPhase(phase, (entry.label,), decides=phase.last) for phase in rounds]
            deciding.append(rounds[-1].name)
        elif entry.has_rules() and not entry.early:
            waiting.append(entry)
    decide()
    return planned + [PlannedPhase(phase, (phase.name,), decides=False) for phase in token_phases(recipe)]


def build(
    recipe: Recipe,
    recipe_text: str,
    planned: Sequence[PlannedPhase],
    run: RunFolder,
    engine: Engine,
    progress: Progress | None = None,
) -> BuildResult:
    """Do what is not done yet of all phases. Raises CorpusmillError when a unit failed; finished units are kept."""
    progress = progress or Silent()
    run.put("recipe.yaml", recipe_text.encode())
    run.put("resolved.yaml", resolved(recipe).encode())
    run.put_json("environment.json", environment())
    reuse = [RunFolder(url) for url in recipe.reuse]
    result = BuildResult()
    entries = [
        {"name": each.phase.name, "stages": list(each.stages), "decides": each.decides, "key": None, "units": None}
        for each in planned
    ]
    _forget_phases(run, {each.phase.name for each in planned})
    try:
        for index, each in enumerate(planned):
            _run_phase(each.phase, entries[: index + 1], entries[index + 1 :], run, reuse, engine, progress, result)
    finally:
        engine.close()
    return result


def _run_phase(
    phase: Phase,
    known: list[dict[str, Any]],
    coming: list[dict[str, Any]],
    run: RunFolder,
    reuse: list[RunFolder],
    engine: Engine,
    progress: Progress,
    result: BuildResult,
) -> None:
    run.put_json(PHASES, known[:-1])
    key = key_of(phase)
    units = sorted(phase.units(run), key=lambda unit: unit.name)
    known[-1] |= {"key": key, "units": [unit.name for unit in units]}
    run.put_json(PHASES, [*known, *coming])
    fault_point(f"{phase.name}:planned")
    _forget_units(run, phase.name, {unit.name for unit in units})
    todo = []
    for unit in units:
        receipt = _settled(run, phase.name, unit, unit.key(key), reuse)
        if receipt is None:
            todo.append(unit)
        else:
            result.warnings += receipt.books.warnings
    result.ran[phase.name], result.kept[phase.name] = len(todo), len(units) - len(todo)
    progress.phase(phase.name, len(units), len(units) - len(todo), sum(unit.num_bytes for unit in todo))
    failed: list[Receipt] = []

    def done(unit: Unit, receipt: Receipt) -> None:
        fault_point(f"{phase.name}:driver")
        progress.unit(unit, receipt)
        result.warnings.extend(receipt.books.warnings)
        if receipt.error is not None:
            failed.append(receipt)

    if todo:
        engine.run(phase, key, todo, run, done)
    if failed:
        shown = "\n".join(f"  {receipt.unit}: {receipt.error}" for receipt in failed[:5])
        more = f"\n  … and {len(failed) - 5} more" if len(failed) > 5 else ""
        raise CorpusmillError(
            f"{phase.name}: {len(failed)} of {len(units)} units failed:\n{shown}{more}\n"
            f"Tracebacks are under {run.url}/logs. Mend and build again: finished units are kept."
        )


def _settled(run: RunFolder, phase: str, unit: Unit, key: str, reuse: list[RunFolder]) -> Receipt | None:
    """The unit's receipt if it is done, here or in a run to reuse. A receipt of an error or of another format is
    removed."""
    found = finished_receipt(run, phase, unit.name, key)
    if found is not None:
        return found
    for other in reuse:
        taken = finished_receipt(other, phase, unit.name, key)
        if taken is not None:
            for output in taken.outputs:
                run.adopt(other, output.path)
            write_receipt(run, taken)
            return taken
    try:
        stale = read_receipt(run, phase, unit.name)
        useless = stale is not None and stale.error is not None
    except OtherFormatError:
        useless = True
    if useless:
        run.remove(receipt_path(phase, unit.name))
    return None


def _forget_units(run: RunFolder, phase: str, units: set[str]) -> None:
    """Remove receipts of units that the phase no longer has: their files belong to nobody then."""
    for name in list(run.names(f"receipts/{phase}")):
        unit = name.removeprefix(f"receipts/{phase}/").removesuffix(".json")
        if "/" not in unit and unit not in units:
            run.remove(name)


def _forget_phases(run: RunFolder, phases: set[str]) -> None:
    """Remove receipts of phases that the recipe no longer has, and the index that a phase keeps under its own name
    (`tokens/manifest.json`): readers would take the files in it for this recipe's."""
    for name in list(run.names("receipts")):
        phase = name.removeprefix("receipts/").rpartition("/")[0]
        if phase not in phases:
            run.remove(name)
            run.remove(f"{phase}.json")


def resolved(recipe: Recipe) -> str:
    """The recipe as it was understood: overrides applied, environment variables by name."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(recipe.tree)), allow_unicode=True, sort_keys=False)


LIBRARIES = (
    *("corpusmill", "pyarrow", "numpy", "numba", "duckdb", "sentencepiece", "fasttext-numpy2-wheel"),
    *("resiliparse", "fastwarc", "ftfy", "datatrove", "torch"),
)


def environment() -> dict[str, Any]:
    """Versions that may change results, for whoever wants to repeat the run."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": sys.version.split()[0], "platform": platform.platform(), "versions": found}


def all_receipts(run: RunFolder) -> list[Receipt]:
    """Every receipt of the run's planned units; DamagedFileError for one that is missing or changed."""
    receipts = []
    for entry in run.read_json(PHASES) or []:
        for unit in entry["units"] or []:
            name = receipt_path(entry["name"], unit)
            receipts.append(parse_receipt(run.read_bytes(name), f"{run.url}/{name}"))
    return receipts
