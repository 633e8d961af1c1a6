"""A swarm of 32 tiny models on real text: the corpus of the quickstart, and the sample that ships, on a CPU.

About two minutes on two cores, half of them the quick quickstart that makes the tokens.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from corpusmill.mixtures.proxy.swarm import SwarmSettings, run_swarm
from corpusmill.mixtures.sources import read_manifest
from corpusmill.mixtures.sweep import Sweep

SOURCES = ("code", "docs", "licenses", "sample")
SWEEP = Sweep(tokens_per_run=60_000, name="test", runs=32, max_epochs=8, held_out_tokens=8_000, sources=SOURCES)


@pytest.mark.real
def test_a_swarm_of_32(tmp_path: Path) -> None:
    code = "import sys; from corpusmill.pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, "quickstart", "--quick", "--run", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    design = SWEEP.design(read_manifest(tmp_path))
    check(pq.read_table(run_swarm(tmp_path, SwarmSettings(**SWEEP.training()), design)).to_pylist())


def check(rows: list[dict[str, Any]]) -> None:
    """What the ledger of such a swarm must show."""
    assert len(rows) == 32
    for row in rows:  # in the text of its own domains, by the best that a model without context could do
        assert row["own_bits_per_byte"] < row["own_unigram"], row["run"]
    losses = np.array([[row[f"bits_per_byte_{name}"] for name in SOURCES] for row in rows])
    natural = np.array([row["run"].startswith("natural-") for row in rows])
    assert natural.sum() == 2
    target = losses.mean(axis=1)
    assert target[~natural].std(ddof=1) > 3 * target[natural].std(ddof=1)
    for k, name in enumerate(SOURCES):
        alone = next(row for row in rows if row["run"] == f"only-{name}")
        assert alone[f"bits_per_byte_{name}"] < alone[f"unigram_{name}"]
        assert rows[int(losses[:, k].argmax())][f"ratio_{name}"] == 0
