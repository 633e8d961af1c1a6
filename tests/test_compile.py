"""The kernels' cache: an edited helper is seen through its callers, and unchanged code is not compiled again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

import corpusmill.stages
from corpusmill.stages.kernels import compile as kernels

HELPER = """
from corpusmill.stages.kernels.compile import kernel

@kernel
def step(value):
    return value + 1
"""

CALLER = """
from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.probe_helper import step

@kernel
def twice(value):
    return step(step(value))
"""

PROGRAM = """
import corpusmill.stages.kernels.probe_caller as module
print(module.__file__, module.twice(10), len(module.twice.stats.cache_hits), sep="|")
"""


def run_probe(root: Path) -> tuple[str, int, int]:
    """(file, result, cache hits) of the caller in a new process that sees the copy of the package."""
    environment = os.environ | {"PYTHONPATH": str(root), "XDG_CACHE_HOME": str(root / "cache")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    file, result, hits = done.stdout.strip().split("|")
    return file, int(result), int(hits)


def test_an_edited_helper_is_seen_through_its_caller(tmp_path: Path) -> None:
    folder = tmp_path / "corpusmill" / "stages" / "kernels"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        shutil.copy(Path(corpusmill.stages.__file__).parent / "__init__.py", package)
    shutil.copy(kernels.__file__, folder)
    helper = folder / "probe_helper.py"
    helper.write_text(HELPER)
    (folder / "probe_caller.py").write_text(CALLER)
    first_file, first, first_hits = run_probe(tmp_path)
    assert first_file.startswith(str(tmp_path))
    assert (first, first_hits) == (12, 0)
    assert run_probe(tmp_path)[1:] == (12, 1)
    times = helper.stat()
    helper.write_text(HELPER.replace("+ 1", "+ 5"))  # same size, same time: only the content tells
    os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run_probe(tmp_path)[1:] == (20, 0)


def test_other_numba_functions_keep_their_cache_folder() -> None:
    import numba

    before = cast("Any", numba.config).CACHE_DIR

    @kernels.kernel
    def one() -> int:
        return 1

    assert one() == 1
    assert before == cast("Any", numba.config).CACHE_DIR


def test_a_cache_that_cannot_be_made_is_replaced_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    folder = kernels.cache_folder.__wrapped__()
    assert folder.is_dir()
    assert str(blocked) in caplog.text
    assert "XDG_CACHE_HOME" in caplog.text
    folder.rmdir()
