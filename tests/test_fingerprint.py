"""Keys: code counts, comments and docstrings do not; a changed helper in a kernel file reaches every stage above it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpusmill.pipeline.fingerprint import closure, file_hash, hash_json, stage_fingerprint
from corpusmill.pipeline.stage import measure_settings
from corpusmill.stages.measure.gopher import Gopher
from corpusmill.stages.measure.toxicity import Toxicity

ROOT = Path(__file__).resolve().parent.parent
HASHES = """
from corpusmill.pipeline.fingerprint import stage_fingerprint, code_hash
from corpusmill.stages.names import StageTable
import corpusmill.pipeline.fingerprint as module
table = StageTable()
print(module.__file__)
for name in ("gopher", "normalize", "exact"):
    print(stage_fingerprint(table.stage(name)())["code"])
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package in a folder of its own."""
    for room in ("pipeline", "stages", "mixtures"):
        ignored = shutil.ignore_patterns("__pycache__", "*.ftz", "sample")
        shutil.copytree(ROOT / room, tmp_path / "corpusmill" / room, ignore=ignored)
    return tmp_path


def hashes(copy: Path) -> list[str]:
    """The code hashes of gopher, normalize and exact in the copy."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, "-c", HASHES], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    place, *found = done.stdout.split()
    assert place.startswith(str(copy))
    return found


def test_a_changed_helper_changes_what_depends_on_it_and_nothing_else(copy: Path) -> None:
    before = hashes(copy)
    kernel = copy / "corpusmill" / "stages" / "kernels" / "hash_table.py"
    source = kernel.read_text()
    kernel.write_text(source.replace('"""', '"""Said otherwise. ', 1) + "\n# a comment\n")
    assert hashes(copy) == before
    kernel.write_text(source + "\nCHANGED = 1\n")
    after = hashes(copy)
    assert after[0] != before[0]  # gopher counts n-grams in that table, three imports below
    assert after[1] == before[1]  # normalize does not


def test_thresholds_are_no_part_of_a_measures_key() -> None:
    assert stage_fingerprint(Toxicity(max_score=0.1)) == stage_fingerprint(Toxicity(max_score=0.9))
    assert "max_score" not in measure_settings(Toxicity())
    assert stage_fingerprint(Toxicity(paragraphs=True)) != stage_fingerprint(Toxicity())


def test_the_closure_holds_imports_inside_functions() -> None:
    assert "corpusmill.stages.kernels.hash_table" in closure([Gopher.__module__])


def test_models_count_by_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one.bin", tmp_path / "two.bin"
    one.write_bytes(b"model")
    two.write_bytes(b"model")
    assert file_hash(one) == file_hash(two)
    two.write_bytes(b"another model")
    assert file_hash(one) != file_hash(two)


def test_order_of_keys_does_not_matter() -> None:
    assert hash_json({"a": 1, "b": [1, 2]}) == hash_json({"b": [1, 2], "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})
