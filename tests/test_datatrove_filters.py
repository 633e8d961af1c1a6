"""Every measured value against datatrove's own filters, on the same documents with the filters' words and sentences."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import corpusmill.stages

ROOT = Path(corpusmill.stages.__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-conformance" / "bin" / "python"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set"),
    pytest.mark.skipif(
        not PYTHON.exists(), reason=".venv-conformance is not there: tests/real/conformance.sh makes it"
    ),
]


def answer(script: str, *arguments: str) -> Any:
    """What a script of tests/real prints, run where datatrove is installed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".typing"), "OMP_NUM_THREADS": "1"}
    command = [str(PYTHON), str(ROOT / "tests/real" / script), os.environ["CORPUSMILL_DATA"], *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_documents_altered_to_each_side_of_every_threshold() -> None:
    """Two for each rule; thirty: benchmarks/results/2026-11-25-filters.md."""
    found = answer("altered_documents.py", "2")
    assert len(found) == 27 + 9
    assert all(counts["documents"] >= 1 for counts in found.values()), found
    assert {rule: counts for rule, counts in found.items() if counts["unequal"]} == {}


def test_every_value_equals_datatroves() -> None:
    found = answer("datatrove_filters.py")
    sizes = found["sizes"]
    assert sizes["en"] >= 5000
    assert all(size >= 200 for size in sizes.values()), sizes
    assert len(sizes) == 13
    for rule, counts in found["rules"].items():
        print(f"{rule:48} {counts.get('documents', ''):>7} documents, caught {counts.get('caught', 0):>6}")
    unequal = {rule: counts["unequal"] for rule, counts in found["rules"].items() if counts.get("unequal")}
    assert unequal == {}
    for lang, rules in found["default_segmenter"].items():
        print(lang, {rule: round(kappa(pairs), 3) for rule, pairs in rules.items() if "(True" in "".join(pairs)})


def kappa(pairs: dict[str, int]) -> float:
    """Cohen's kappa of two yes-no judgements counted by '(first, second)'."""
    total = sum(pairs.values())
    both, only_first, only_second = (
        pairs.get(f"({a}, {b})", 0) for a, b in ((True, True), (True, False), (False, True))
    )
    agreed = (total - only_first - only_second) / total
    first, second = (both + only_first) / total, (both + only_second) / total
    expected = first * second + (1 - first) * (1 - second)
    return 1.0 if expected == 1 else (agreed - expected) / (1 - expected)
