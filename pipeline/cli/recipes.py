"""Commands on recipes: init, check, build, stages, warmup."""

from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.cli.output import Bars, json_option, print_json, print_table
from corpusmill.pipeline.errors import RecipeError, RequestError

recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))
set_option = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe's value.")

SHOWN_WARNINGS = 8
MUCH_DROPPED = 0.9
"""The share of a source above which its loss is told."""

SMALL_INPUT_BYTES = 64 << 20
"""Below this one process is quicker than starting workers."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a recipe to begin with into FOLDER.

    Example: corpusmill init my-corpus && cd my-corpus && corpusmill check recipe.yaml
    """
    from importlib.resources import files

    target = folder / "recipe.yaml"
    if target.exists():
        raise RequestError(f"{target}: is there already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    target.write_bytes(files("corpusmill.pipeline.templates").joinpath("recipe.yaml").read_bytes())
    example = files("corpusmill.stages.collect.sample").joinpath("documents.jsonl").read_bytes()
    (folder / "data" / "example.jsonl").write_bytes(example)
    click.echo(f"{target}\nNext: cd {folder} && corpusmill check recipe.yaml && corpusmill build recipe.yaml")


@click.command()
@recipe_argument
@set_option
@json_option
def check(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check RECIPE as a whole and print what it would do; nothing is started.

    Example: corpusmill check recipe.yaml
    """
    from corpusmill.pipeline.build import plan_phases
    from corpusmill.pipeline.check import check_recipe
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.stages.names import StageTable, token_phases

    phases: list[dict[str, Any]] = []
    try:
        loaded = Recipe.load(recipe, StageTable(), overrides)
        phases, problems = check_recipe(loaded, str(recipe), plan_phases(loaded, token_phases))
    except RecipeError as error:
        problems = error.problems
    if as_json:
        errors = [{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in problems]
        print_json({"format": 1, "ok": not problems, "phases": phases, "errors": errors})
    else:
        if phases:
            rows = [(p["name"], ", ".join(p["stages"]), p["units"], p["bytes"]) for p in phases]
            print_table(f"{recipe}", ("phase", "stages", "units", "bytes"), rows)
        for phase in phases:
            for rule in phase["rules"]:
                click.echo(f"  {phase['name']}: drop if {rule}")
        for problem in problems:
            click.echo(f"error: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(2)


@click.command()
@recipe_argument
@click.option("--run", "run_url", help="Run folder or URL [default: runs/<name of the recipe>].")
@click.option("--workers", type=click.IntRange(1), help="Processes [default: the cores; 1 below 64 MB of input].")
@click.option("--limit", type=click.IntRange(1), help="At most N documents per source, from its first work unit.")
@click.option("--sample", help="A share of the documents by hash of their id, such as 0.1%.")
@click.option("--engine", type=click.Choice(["local", "slurm", "ray"]), default="local", show_default=True)
@click.option(
    "--engine-set", multiple=True, metavar="KEY=VALUE", help="A setting of datatrove's Slurm or Ray executor."
)
@set_option
@json_option
def build(
    recipe: Path,
    run_url: str | None,
    workers: int | None,
    limit: int | None,
    sample: str | None,
    engine: str,
    engine_set: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Do all of RECIPE that is not done yet; run it again after any interruption or change.

    Example: corpusmill build recipe.yaml --run runs/first --sample 1%
    """
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.pipeline.status import read_status
    from corpusmill.stages.names import StageTable

    loaded = Recipe.load(recipe, StageTable(), overrides)
    run = RunFolder(run_url or f"runs/{loaded.name}")
    chosen = None if engine == "local" else _executor(engine, engine_set)
    warnings = run_build(
        loaded, recipe.read_text(encoding="utf-8"), run, workers, str(recipe), engine=chosen, limit=limit, sample=sample
    )
    status = read_status(run)
    if as_json:
        print_json(status | {"warnings": warnings})
    else:
        print_status(status)


def _executor(kind: str, settings: tuple[str, ...]) -> Any:
    from corpusmill.pipeline.executors import ExecutorEngine
    from corpusmill.pipeline.yaml_lines import scalar

    pairs = [setting.partition("=") for setting in settings]
    return ExecutorEngine(kind, {key: scalar(value) for key, _, value in pairs})


def share(text: str | None) -> float:
    """`0.1%` or `0.001` as a number in (0, 1]."""
    if text is None:
        return 1.0
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise RequestError(f"--sample {text}: expected a share such as 1% or 0.01")
    return value


def run_build(
    loaded: Any,
    text: str,
    run: Any,
    workers: int | None,
    place: str,
    *,
    engine: Any = None,
    limit: int | None = None,
    sample: str | None = None,
    bars: Bars | None = None,
) -> list[str]:
    """Check, plan and build with progress; gives the warnings, which are also shown."""
    import os

    from corpusmill.pipeline.build import build as do_build
    from corpusmill.pipeline.build import plan_phases
    from corpusmill.pipeline.check import check_recipe
    from corpusmill.pipeline.engine import LocalEngine
    from corpusmill.stages.names import token_phases

    planned = plan_phases(loaded, token_phases, limit=limit, sample=share(sample))
    phases, problems = check_recipe(loaded, place, planned)
    if problems:
        raise RecipeError(problems)
    if workers is None:
        small = (phases[0]["bytes"] or 0) < SMALL_INPUT_BYTES
        workers = 1 if small else len(os.sched_getaffinity(0))
    engine = engine or LocalEngine(workers)
    if bars is not None:
        result = do_build(loaded, text, planned, run, engine, bars)
    else:
        with Bars() as own:
            result = do_build(loaded, text, planned, run, engine, own)
    from corpusmill.pipeline.status import read_status

    warnings = source_warnings(read_status(run)) + result.warnings
    for warning in warnings[:SHOWN_WARNINGS]:
        click.echo(f"warning: {warning}", err=True)
    if len(warnings) > SHOWN_WARNINGS:
        click.echo(f"warning: … and {len(warnings) - SHOWN_WARNINGS} more; `--json` lists them all", err=True)
    return warnings


def source_warnings(status: dict[str, Any]) -> list[str]:
    """What a person should know of each source: records that failed, by reason; that nearly all is dropped, and by
    what most; rules that had no value to judge by in any document; files without a document."""
    warnings = []
    for name, books in status["sources"].items():
        documents = books["documents"]
        for reason, count in documents["failed"].items():
            seen = f"corpusmill show {status['run']} --failed {reason}"
            warnings.append(f"{name}: {count:,} failed as {reason}: `{seen}`")
        dropped, total = sum(documents["dropped"].values()), documents["in"]
        if dropped >= MUCH_DROPPED * total > 0:
            rule, count = next(iter(documents["dropped"].items()))
            seen = f"corpusmill show {status['run']} --dropped {rule}"
            warnings.append(f"{name}: {dropped:,} of {total:,} documents dropped, {count:,} by {rule}: `{seen}`")
        if "never_measured" in documents:
            rules = ", ".join(documents["never_measured"])
            warnings.append(f"{name}: no document has a value for {rules}, so nothing was dropped by it")
        empty = books["empty_files"]
        if empty["count"] == 1:
            warnings.append(f"{name}: {empty['first']} is empty")
        elif empty["count"]:
            warnings.append(f"{name}: {empty['count']:,} files are empty, such as {empty['first']}")
    return warnings


def print_status(status: dict[str, Any]) -> None:
    """The tables of `status` and `build`."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for phase in status["phases"]:
        groups.setdefault(phase["name"].partition("/")[0], []).append(phase)
    steps = [
        (name, len(phases), sum(phase["units"] or 0 for phase in phases), sum(phase["done"] for phase in phases))
        for name, phases in groups.items()
    ]
    print_table(f"{status['run']}: {status['state']}", ("step", "phases", "units so far", "done"), steps)
    rows = []
    for name, books in status["sources"].items():
        documents = books["documents"]
        dropped, failed = sum(documents["dropped"].values()), sum(documents["failed"].values())
        tokens = sum(books["tokens"].values()) if books["tokens"] else None
        rows.append((name, documents["in"], documents["kept"], dropped, failed, books["bytes"]["kept"], tokens))
    print_table("", ("source", "documents", "kept", "dropped", "failed", "bytes kept", "tokens"), rows)
    rules = [
        (name, rule, count)
        for name, books in status["sources"].items()
        for kind in ("dropped", "failed")
        for rule, count in books["documents"][kind].items()
    ]
    if rules:
        print_table("", ("source", "rule or reason", "documents"), rules)


@click.command()
@json_option
def stages(as_json: bool) -> None:
    """List every stage with its settings, and the columns that it measures.

    Example: corpusmill stages
    """
    from corpusmill.pipeline.check import stage_table
    from corpusmill.stages.names import StageTable

    table = stage_table(StageTable())
    if as_json:
        print_json({"format": 1, "stages": table})
        return
    for stage in table:
        settings = [(each["name"], each["type"], each["default"]) for each in stage["settings"]]
        print_table(f"{stage['name']} ({stage['kind']}): {stage['about']}", ("setting", "type", "default"), settings)
        if stage["adds"]:
            click.echo(f"measures: {', '.join(stage['adds'])}")
        click.echo()


@click.command()
def warmup() -> None:
    """Compile every kernel once, so that the first build does not wait for it.

    Example: corpusmill warmup
    """
    import time

    from corpusmill.stages.kernels.compile import warmup as compile_all

    click.echo("compiling kernels: about a minute, once for this version", err=True)
    started = time.monotonic()
    compile_all()
    click.echo(f"kernels ready in {time.monotonic() - started:.1f} s", err=True)
