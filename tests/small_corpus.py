"""A small real corpus on disk and a build of it, for the tests of pipeline/."""

import gzip
import json
from pathlib import Path
from typing import Any

from corpusmill.pipeline.build import BuildResult, Progress, build, plan_phases
from corpusmill.pipeline.engine import LocalEngine
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.names import StageTable, token_phases

PROSE = """the river of that valley have to be and with stone bridges which people built long before any map was
drawn so travellers learned where water runs high in spring while farmers kept their own counts of floods"""
WORDS = PROSE.split()
ZH = "河谷里的石桥是人们在没有地图的年代修建的旅行者因此知道春天水位有多高农民也记录洪水的次数"


def document(number: int) -> str:
    """A text that depends on its number alone: English or Chinese, of 40 to 140 words, every seventh a repeat."""
    number -= number % 7 == 6
    if number % 5 == 4:
        return "".join(ZH[(number * 3 + i * i) % len(ZH)] for i in range(120 + number % 40)) + "。\n"
    picks = [WORDS[(number * 7 + i * (3 + number % 11)) % len(WORDS)] for i in range(40 + number % 100)]
    lines = [" ".join(picks[i : i + 12]) + "." for i in range(0, len(picks), 12)]
    return f"Note {number}.\n" + "\n".join(lines) + "\n"


def write_corpus(folder: Path, num_files: int = 8, documents: int = 12, sources: str = "abc") -> None:
    """`num_files` files of JSON lines per source; source b is gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for source in sources:
        for index in range(num_files):
            lines = []
            for _ in range(documents):
                lines.append(json.dumps({"id": f"{number:05d}", "text": document(number)}, ensure_ascii=False))
                number += 1
            data = ("\n".join(lines) + "\n").encode()
            path = folder / f"{source}-{index:02d}.jsonl"
            if source == "b":
                path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(data, mtime=0))
            else:
                path.write_bytes(data)


def small_recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe over `write_corpus`: every kind of phase, quick stages only."""
    tree: dict[str, Any] = {
        "format": 1,
        "name": "small",
        "seed": 7,
        "unit_bytes": 256,  # every file is a unit, gzipped ones too
        "sources": {name: {"read": "jsonl", "paths": [f"{folder}/{name}-*.jsonl*"], "id": "id"} for name in "abc"},
        "stages": ["normalize", {"drop": {"when": "num_bytes < 400", "as": "short"}}, "exact"],
    }
    return tree | changes


def run_recipe(
    tree: dict[str, Any], run: Path | str, workers: int = 1, progress: Progress | None = None, **choices: Any
) -> BuildResult:
    """Build the recipe into the run folder."""
    recipe = Recipe.build(tree, StageTable())
    planned = plan_phases(recipe, token_phases, **choices)
    return build(recipe, json.dumps(tree), planned, RunFolder(str(run)), LocalEngine(workers), progress)


def contents(run: Path) -> dict[str, str]:
    """What must be the same in every run: kind and place of each named file -> checksum, attempts left out."""
    from corpusmill.pipeline.build import all_receipts

    found = {}
    for receipt in all_receipts(RunFolder(str(run))):
        for output in receipt.outputs:
            found[f"{receipt.phase}/{receipt.unit}/{output.kind}/{output.path.split('.')[0]}"] = output.checksum
    return found
