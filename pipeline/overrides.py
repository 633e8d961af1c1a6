"""Single values of a recipe from the command line: `--set key.path=value`, stages by name.

seed=9    sources.web.text=body    stages.gopher.min_words=30    "mixture.weights={web: 3, books: 1}"
"""

from typing import Any

from corpusmill.pipeline.errors import Problem, RecipeError
from corpusmill.pipeline.yaml_lines import load_yaml


def apply_override(tree: Any, override: str, file: str) -> None:
    """Apply `key.path=value`; the value is YAML."""
    key, separator, value = override.partition("=")
    if not separator or not isinstance(tree, dict):
        raise RecipeError([Problem(file, 0, override, "--set takes key.path=value")])
    place: Any = tree
    parts = key.split(".")
    if parts[0] == "stages":
        tree["stages"] = tree.get("stages") or []
    for number, part in enumerate(parts[:-1], 1):
        place = _stage_item(place, part, file, override) if isinstance(place, list) else place.setdefault(part, {})
        if not isinstance(place, dict | list):
            raise RecipeError([Problem(file, 0, override, f"'{'.'.join(parts[:number])}' takes no settings")])
    if not isinstance(place, dict):
        raise RecipeError([Problem(file, 0, override, f"name one of the stages behind '{'.'.join(parts[:-1])}'")])
    place[parts[-1]], _ = load_yaml(value, file)


def _stage_item(stages: list[Any], name: str, file: str, override: str) -> Any:
    for index, item in enumerate(stages):
        (key, settings), *_ = item.items() if isinstance(item, dict) and item else ((item, None),)
        own = settings.get("as") if isinstance(settings, dict) else None
        if name in ([own] if own else short_names(str(key))):
            stages[index] = {key: settings if isinstance(settings, dict) else {}}
            return stages[index][key]
    raise RecipeError([Problem(file, 0, override, f"the recipe has no stage '{name}'")])


def short_names(key: str) -> tuple[str, ...]:
    """What a stage without `as` is called here: `gopher` for `gopher@dolma`, `shouting` for `mine.loud:Shouting`."""
    return key.partition("@")[0], key.rpartition(":")[2].lower()
