"""What may import what: the arrows of ARCHITECTURE.md, and nothing heavy before it is needed."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("pipeline", "stages", "mixtures")
ALLOWED = {"pipeline": {"pipeline"}, "stages": {"stages", "pipeline"}, "mixtures": {"mixtures", "pipeline"}}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_rooms_import_only_what_the_architecture_allows() -> None:
    wrong = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if (ROOT / "pipeline" / "cli") in path.parents:
                continue
            for name in imported(path):
                parts = name.split(".")
                if parts[0] == "corpusmill" and len(parts) > 1 and parts[1] not in ALLOWED[room]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_source_files_have_names_of_their_own() -> None:
    names = [path.stem for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.stem != "__init__"]
    assert sorted(names) == sorted(set(names))
    assert not set(names) & (set(sys.stdlib_module_names) - {"names"})


def test_heavy_libraries_wait_until_they_are_used() -> None:
    code = (
        "import corpusmill.stages, corpusmill.stages.names, corpusmill.pipeline.cli, sys;"
        "heavy = {'numba', 'datatrove', 'torch', 'duckdb', 'fasttext'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_wheel_is_told_of_every_folder_once() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = (path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("__init__.py"))
    assert sorted(told) == sorted("corpusmill." + ".".join(folder.parts) for folder in folders)
