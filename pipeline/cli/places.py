"""What the commands from token shards on take: a recipe or a run folder, and what they need of either."""

from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder

place_argument = click.argument("place", metavar="RECIPE|RUN")
run_option = click.option("--run", "run_url", help="Run folder of a recipe [default: runs/<name of the recipe>].")


def recipe_and_folder(place: str, run_url: str | None, overrides: tuple[str, ...] = ()) -> tuple[Any, RunFolder]:
    """The recipe at a place, and its run folder, which must hold token shards and may be on an object store."""
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.stages.names import StageTable

    given = Path(place)
    if given.is_dir():
        recipe, url = Recipe.of_run(RunFolder(place), StageTable(), overrides), run_url or place
    else:
        recipe = Recipe.load(given, StageTable(), overrides)
        url = run_url or f"runs/{recipe.name}"
    run = RunFolder(url)
    if run.size("tokens/manifest.json") is None:
        raise RequestError(f"{url}: no token shards are here. Build first: corpusmill build RECIPE --run {url}")
    return recipe, run


def section(recipe: Any, name: str) -> Any:
    """A section that the recipe must have."""
    found = recipe.sections.get(name)
    if found is None:
        raise RequestError(f"recipe {recipe.name}: it has no `{name}:` section; see docs/walkthrough.md")
    return found
