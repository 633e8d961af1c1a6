"""A swarm of 32 tiny models on real text: the corpus of the quickstart, and the sample that ships, on a CPU.

About three minutes on two cores, one of them for the quick quickstart that makes the tokens.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.noise import noise_of
from corpusmill.mixtures.proxy.swarm import SwarmSettings, run_swarm
from corpusmill.mixtures.sources import read_manifest
from corpusmill.mixtures.sweep import Sweep

SOURCES = ("code", "docs", "licenses", "sample")
SWEEP = Sweep(tokens_per_run=150_000, name="test", runs=30, max_epochs=8, held_out_tokens=8_000, sources=SOURCES)


@pytest.mark.real
def test_a_swarm_of_32(tmp_path: Path) -> None:
    code = "import sys; from corpusmill.pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, "quickstart", "--quick", "--run", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    design = SWEEP.design(read_manifest(tmp_path))
    even = next(mixture.ratios for mixture in design if mixture.name in ("uniform", "unimax"))
    design += [SwarmMixture(f"even-{seed}", even, seed) for seed in (1, 2)]  # the noise where all are mixed, too
    check(run_swarm(tmp_path, SwarmSettings(**SWEEP.training()), design))


def check(ledger: Path) -> None:
    """What such a swarm must show."""
    rows = pq.read_table(ledger).to_pylist()
    assert len(rows) == 32
    for row in rows:  # in the text of its own domains, by the best that a model without context could do
        assert row["own_bits_per_byte"] < row["own_unigram"], row["run"]
    losses = np.array([[row[f"bits_per_byte_{name}"] for name in SOURCES] for row in rows])
    noises = {noise["domain"]: noise for noise in noise_of(ledger)}
    for k, name in enumerate(SOURCES):
        assert noises[name]["signal_to_noise"] > 3, noises[name]  # between mixtures against between seeds
        alone = next(row for row in rows if row["run"] == f"only-{name}")
        assert alone[f"bits_per_byte_{name}"] < alone[f"unigram_{name}"]
        without = np.array([row[f"ratio_{name}"] == 0 for row in rows])  # no mixture is worse, but for the seeds' noise
        assert losses[without, k].max() > losses[:, k].max() - 2 * noises[name]["seeds"], name
        evenly = [row["run"].startswith("even-") for row in rows]
        assert losses[without, k].mean() > losses[evenly, k].mean(), name
