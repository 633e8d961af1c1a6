"""An environment of its own for programs that conflict with ours: made at the first use, from a package index."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def make_environment(folder: Path, packages: Sequence[str]) -> str | None:
    """Install the packages into a new environment, unless it is there; why it cannot be made, or None."""
    if (folder / "made").exists():
        return None
    print(f"making {folder} ...", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        subprocess.run([folder / "bin/pip", "install", "-q", *packages], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        return str(error.stderr.decode().strip().split("\n")[-1])
    (folder / "made").touch()
    return None
