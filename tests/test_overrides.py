"""`--set`: values by their path, stages by their names, and paths that are none."""

from typing import Any

import pytest

from corpusmill.pipeline.errors import RecipeError
from corpusmill.pipeline.overrides import apply_override


def tree() -> dict[str, object]:
    stages: list[object] = ["normalize", {"language": {"keep": ["en"]}}, {"language": {"as": "second"}}]
    stages += [{"gopher@dolma": None}, {"mine.loud:Shouting": {"max_ratio": 0.5}}]
    return {"seed": 7, "sources": {"web": {"read": "jsonl"}}, "stages": stages}


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=9", ("seed",), 9),
        ("sources.web.text=t", ("sources", "web", "text"), "t"),
        ("mixture.weights={web: 3}", ("mixture", "weights"), {"web": 3}),
        ("stages.normalize.compose=false", ("stages", 0, "normalize", "compose"), False),
        ("stages.language.keep=[zh]", ("stages", 1, "language", "keep"), ["zh"]),
        ("stages.second.min_score=0.5", ("stages", 2, "language", "min_score"), 0.5),
        ("stages.gopher.min_words=30", ("stages", 3, "gopher@dolma", "min_words"), 30),
        ("stages.shouting.max_ratio=0.1", ("stages", 4, "mine.loud:Shouting", "max_ratio"), 0.1),
    ],
)
def test_a_value_is_put_where_its_path_says(override: str, path: tuple[str | int, ...], value: object) -> None:
    found: Any = tree()
    apply_override(found, override, "recipe.yaml")
    for part in path:
        found = found[part]
    assert found == value


@pytest.mark.parametrize("override", ["stages.gofer.x=1", "stages.Shouting.x=1"])
def test_a_stage_that_is_not_there(override: str) -> None:
    with pytest.raises(RecipeError, match="the recipe has no stage"):
        apply_override(tree(), override, "recipe.yaml")
    with pytest.raises(RecipeError, match="the recipe has no stage"):
        apply_override({}, override, "recipe.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "key.path=value"),
        ("seed.x=1", "'seed' takes no settings"),
        ("seed.x.y=1", "'seed' takes no settings"),
        ("sources.web.read.x=1", "'sources.web.read' takes no settings"),
        ("stages.x=1", "name one of the stages behind 'stages'"),
    ],
)
def test_paths_that_are_none(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        apply_override(tree(), override, "recipe.yaml")
