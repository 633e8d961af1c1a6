"""The wheel: it holds every file that a command needs, and installed alone it runs a quick quickstart."""

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


@pytest.mark.real
def test_installed_alone_it_runs_a_quick_quickstart(wheel: Path, tmp_path: Path) -> None:
    """A new environment outside the tree with the wheel and what the wheel itself asks for, and nothing else.

    The dependencies are lent: links to the distributions of this environment, by the wheel's own requirements. One that
    is not declared is not there.
    """
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=300)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True, timeout=300)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = tmp_path / "venv" / "lib" / version / "site-packages"
    (installed,) = metadata.distributions(name="corpusmill", path=[str(packages)])
    for name in needed(installed, {"proxy"}):
        lend(metadata.distribution(name), packages)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert str(packages) in run(python, "-c", "import corpusmill.pipeline.errors as m; print(m.__file__)")
    run(python, "-m", "pip", "check")
    program = str(tmp_path / "venv" / "bin" / "corpusmill")
    summary = json.loads(run(program, "quickstart", "--quick", "--run", "run", "--json"))
    assert summary["state"] == "complete"
    assert summary["swarm"]["proxies"] >= 24
    assert set(summary["sources"]) == {"code", "docs", "licenses", "sample", "pages"}
    assert all(source["tokens"] for source in summary["sources"].values())
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def needed(distribution: metadata.Distribution, extras: set[str]) -> set[str]:
    """The distributions that one asks for, and those that they ask for; without what this machine need not have."""
    found: set[str] = set()
    waiting = [(distribution, extras)]
    while waiting:
        asking, wanted = waiting.pop()
        for text in asking.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                continue
            if requirement.name not in found:
                found.add(requirement.name)
                waiting.append((metadata.distribution(requirement.name), set(requirement.extras)))
    return found


def lend(distribution: metadata.Distribution, packages: Path) -> None:
    """Links to the distribution's top-level folders and files."""
    files = distribution.files
    assert files is not None
    for top in {file.parts[0] for file in files} - {"..", "__pycache__", "bin"}:
        link = packages / top
        if not link.exists():
            link.symlink_to(Path(str(distribution.locate_file(top))))
