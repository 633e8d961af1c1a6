"""The same recipe through a real Slurm cluster and a real Ray, each of this one machine: the bytes of a local build."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_corpus import contents, run_recipe, small_recipe, write_corpus

pytestmark = pytest.mark.real
REAL = Path(__file__).resolve().parent / "real"
ROOT = REAL.parent.parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpus, recipe and a local run of it."""
    folder = tmp_path_factory.mktemp("engines")
    write_corpus(folder / "in", num_files=3, documents=40, sources="a")
    tree = small_recipe(folder / "in")  # no tokens: every phase costs the start of a job, some seconds
    tree["sources"] = {"a": tree["sources"]["a"]}
    (folder / "recipe.json").write_text(json.dumps(tree))
    run_recipe(tree, folder / "local")
    return folder


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a running cluster."""
    if shutil.which("slurmctld") is None:
        pytest.skip("Slurm is not installed: tests/real/environments.sh installs it as root")
    folder = tmp_path / "slurm"
    folder.mkdir()
    subprocess.run([REAL / "slurm.sh", folder], check=True, timeout=120)
    yield {"SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run([REAL / "slurm.sh", folder, "stop"], check=True, timeout=60)


def engine_build(python: Path, kind: str, settings: dict[str, object], place: Path, **environment: str) -> Path:
    run = place / kind
    command = [python, REAL / "engine_build.py", kind, json.dumps(settings), place / "recipe.json", run]
    done = subprocess.run(
        [str(part) for part in command], env=os.environ | environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return run


def test_slurm(place: Path, slurm: dict[str, str]) -> None:
    settings = {
        "time": "00:20:00",
        "partition": "debug",
        "mem_per_cpu_gb": 1,
        "venv_path": f"{sys.prefix}/bin/activate",
    }
    run = engine_build(Path(sys.executable), "slurm", settings, place, **slurm)
    assert contents(run) == contents(place / "local")


def test_ray(place: Path) -> None:
    python = ROOT / ".venv-engines" / "bin" / "python"
    if not python.exists():
        pytest.skip("tests/real/environments.sh makes the environment with Ray")
    settings: dict[str, object] = {"mem_per_cpu_gb": 0.5, "workers": 2}
    run = engine_build(python, "ray", settings, place, RAY_DEDUP_LOGS="0")
    assert contents(run) == contents(place / "local")
