"""Documentation that is run: every command of the README and the walkthrough, and every command is in them."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpusmill.pipeline.cli import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/walkthrough.md",
    "docs/mixtures.md",
    "docs/deduplication.md",
    "docs/filters.md",
    "docs/tokens.md",
    "docs/proxies.md",
)
ELSEWHERE = {"derive-thresholds", "train-classifier", "warmup"}
"""Commands that other tests run; the pages name them, or the commands that call them."""


def commands(page: str) -> list[str]:
    """Lines of the page's shell blocks that call corpusmill, or go into a folder."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith(("corpusmill ", "cd "))]


def test_every_command_is_in_the_docs() -> None:
    shown = {shlex.split(line)[1] for page in PAGES for line in commands(page) if line.startswith("corpusmill ")}
    assert shown | ELSEWHERE == set(cli.commands)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the quickstart was run, quick."""
    folder = tmp_path_factory.mktemp("docs")
    run_line("corpusmill quickstart --run runs/quickstart --quick", folder)
    return folder


def run_line(line: str, folder: Path) -> str:
    code = "import sys; from corpusmill.pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, *shlex.split(line)[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str, place: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(place, tmp_path / "here"))  # each page from where the quickstart ended
    for line in dict.fromkeys(commands(page)):
        if line.startswith("corpusmill quickstart"):
            continue
        if line.startswith("cd "):
            here = here / line.removeprefix("cd ")
            continue
        run_line(line, here)


def test_the_readme_is_short_enough_and_its_files_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 180
    for name in re.findall(r"`((?:pipeline|stages|mixtures|docs)/[\w/]+\.(?:py|md|yaml))`", text):
        assert (ROOT / name).exists(), name
