"""End to end against datatrove, and value by value against Dolma, NeMo Curator and data-prep-kit's golden files."""

import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import corpusmill.stages
from corpusmill.pipeline.rules import evaluate
from corpusmill.stages.decide.drop import Drop

ROOT = Path(corpusmill.stages.__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-conformance" / "bin" / "python"
needs_data = pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set")


@pytest.mark.real
@needs_data
@pytest.mark.skipif(not PYTHON.exists(), reason=".venv-conformance is not there: tests/real/conformance.sh makes it")
def test_decisions_and_values_equal_the_originals() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".typing"), "OMP_NUM_THREADS": "1"}
    command = [str(PYTHON), str(ROOT / "tests/real/originals.py"), os.environ["CORPUSMILL_DATA"], "2500"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["documents"] >= 2500
    for name, counts in found["end_to_end"].items():
        print(f"{name:18} {counts}")
        assert counts["dropped"] >= 30
        assert counts["agree"] >= 0.995 * counts["documents"], name
    assert len(found["values"]) >= 70
    assert {name: counts for name, counts in found["values"].items() if counts.get("unequal")} == {}
    assert all(counts["documents"] for counts in found["values"].values())


def dolma_file(name: str) -> list[Any]:
    path = Path(os.environ["CORPUSMILL_DATA"]) / "conformance/dolma/data" / f"{name}.json.gz"
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


@needs_data
def test_rules_keep_what_dolmas_mixer_keeps() -> None:
    """config/mixer.json, its conditions as one expression each, over the attributes that it was given."""
    documents = dolma_file("provided/documents/000")
    toxicity, pii = (
        {row["id"]: row["attributes"] for row in dolma_file(f"provided/attributes/{name}/000")}
        for name in ("toxicity", "pii")
    )
    table = pa.table(
        {
            "length": pa.array([row["metadata"].get("length") for row in documents], pa.float64()),
            "toxicity": pa.array([toxicity[row["id"]].get("toxicity") for row in documents], pa.float64()),
            "too_much_pii": pa.array(
                [pii[row["id"]].get("pii", {}).get("too_much_pii") for row in documents], pa.bool_()
            ),
        }
    )
    conditions = ("length >= 10000", "length < 500", "too_much_pii", "toxicity > 0.8")
    rules = [rule for when in conditions for rule in Drop(when=when).rules()]
    first = evaluate(rules, table).first
    kept = [row["id"] for row, index in zip(documents, first, strict=True) if index < 0]
    assert kept == [row["id"] for row in dolma_file("expected/mixer")]
    assert 0 < len(kept) < len(documents)
