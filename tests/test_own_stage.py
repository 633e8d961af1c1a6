"""A stage of the user's own, called by its place: built, in its keys, and what is said where it is not there."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_corpus import run_recipe, small_recipe, write_corpus

from corpusmill.pipeline.errors import RecipeError
from corpusmill.pipeline.fingerprint import code_hash
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status
from corpusmill.stages.names import StageTable

SHOUTING = """
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.stage import Kind, Rule, StageSettings, threshold
from mine.counting import letters


@dataclass(frozen=True, kw_only=True)
class Shouting(StageSettings):
    name: ClassVar[str] = "shouting"
    kind: ClassVar[Kind] = "measure"
    max_ratio: float = threshold(0.5)

    def adds(self):
        return {"shouting_num_capitals": pa.int32(), "shouting_num_letters": pa.int32()}

    def rules(self):
        columns = ("shouting_num_capitals", "shouting_num_letters")
        return (Rule("shouting.mostly_capitals", columns, ">", self.max_ratio),)

    def open(self):
        return Worker()


class Worker:
    def measure(self, batch, scratch):
        text = batch.column("text")
        return {f"shouting_num_{name}": letters(text, pattern) for name, pattern in PATTERNS.items()}


PATTERNS = {"capitals": r"\\p{Lu}", "letters": r"\\p{L}"}
"""
COUNTING = """
import pyarrow.compute as pc


def letters(text, pattern):
    return pc.count_substring_regex(text, pattern).cast("int32")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "packages" / "mine"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "counting.py").write_text(COUNTING)
    (folder / "shouting.py").write_text(SHOUTING)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def test_a_build_with_a_stage_of_ones_own(package: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "in", num_files=2)
    stages = ["normalize", {"mine.shouting:Shouting": {"max_ratio": 0.002}}]
    run_recipe(small_recipe(tmp_path / "in", stages=stages), tmp_path / "run", workers=2)
    dropped = read_status(RunFolder(str(tmp_path / "run")))["sources"]["a"]["documents"]["dropped"]
    assert dropped["shouting.mostly_capitals"] > 3
    entry = Recipe.build(small_recipe(tmp_path / "in", stages=stages), StageTable()).entries[1]
    assert entry.label == "shouting"


def test_what_it_imports_of_its_package_is_in_its_key(package: Path) -> None:
    from corpusmill.pipeline import fingerprint

    before = code_hash("mine.shouting")
    for text, same in ((COUNTING + "# a comment\n", True), (COUNTING + "CHANGED = 1\n", False)):
        (package / "counting.py").write_text(text)
        fingerprint.code_hash.cache_clear()
        fingerprint._module_code.cache_clear()
        assert (code_hash("mine.shouting") == before) is same


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere.shouting:Shouting",
            "No module named 'nowhere'. Install its package, or put its folder on PYTHONPATH",
        ),
        ("mine.shouting:Whispering", "has no attribute 'Whispering'"),
        ("mine.shouting:Worker", "is no expand or change or measure or gather or datatrove stage: its `kind` is None"),
        ("corpusmill.stages.collect.jsonl:Jsonl", "its `kind` is 'read'"),
    ],
)
def test_a_place_without_a_stage(package: Path, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.build(small_recipe(tmp_path / "in", stages=[name]), StageTable())
