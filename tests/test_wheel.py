"""The wheel: it holds every file that a command needs, and installed alone it runs a quick quickstart."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in files.decode().split("\0")[:-1]:  # the tree as committed: no build folder, no caches
        if (ROOT / name).is_file() and not name.startswith(".typing"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, timeout=600)
    (made,) = folder.glob("corpusmill-*.whl")
    return made


@pytest.mark.real
def test_the_wheel_holds_the_tree(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.removeprefix("corpusmill/") for name in archive.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "pipeline", "stages", "mixtures"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert inside == {name for name in tracked if (ROOT / name).exists()}


@pytest.mark.scale
def test_installed_alone_it_runs_a_quick_quickstart(wheel: Path, tmp_path: Path) -> None:
    """A new environment outside the tree: the wheel is its own, its dependencies are lent by this one."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=300)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True, timeout=300)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = tmp_path / "venv" / "lib" / version / "site-packages"
    (packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")  # .pth files in there are not read
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    where = "import corpusmill.pipeline.errors as m; print(m.__file__)"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert str(packages) in found.stdout
    command = [str(tmp_path / "venv" / "bin" / "corpusmill"), "quickstart", "--quick", "--run", "run", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["state"] == "complete"
    assert summary["swarm"]["proxies"] >= 24
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
