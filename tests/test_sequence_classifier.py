"""The optional classifiers: batches by hand here; KenLM and an encoder for real in their own environment."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.errors import DamagedFileError, MissingExtraError
from corpusmill.pipeline.stage import Rule
from corpusmill.stages.measure.kenlm_perplexity import KenlmPerplexity
from corpusmill.stages.measure.sequence_classifier import Encoder, batches_by_tokens

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-classifiers" / "bin" / "python"


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_batches_hold_every_row_once_and_stay_below_the_bound(sizes: list[int], batch_tokens: int) -> None:
    batches = batches_by_tokens(sizes, batch_tokens)
    assert sorted(row for rows in batches for row in rows) == list(range(len(sizes)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(sizes[row] for row in rows) <= batch_tokens


def test_rules_and_what_is_missing(tmp_path: Path) -> None:
    low = Rule("encoder.low_score", value=("encoder",), op="<", limit=0.5)
    assert Encoder(model=tmp_path, min_score=0.5).rules() == (low,)
    assert Encoder(model=tmp_path).files() == (tmp_path / "config.json",)
    high = Rule("kenlm_perplexity.too_high", value=("kenlm_perplexity",), op=">", limit=500)
    stage = KenlmPerplexity(model=tmp_path / "x.bin", max_perplexity=500)
    assert stage.rules() == (high,)
    with pytest.raises((MissingExtraError, DamagedFileError), match=r"corpusmill\[kenlm\]|KenLM cannot read"):
        stage.open()


@pytest.mark.real
@pytest.mark.parametrize("which", ["kenlm", "encoder"])
def test_for_real(which: str, tmp_path: Path) -> None:
    command = [str(PYTHON), str(ROOT / "tests" / "real" / "optional_classifiers.py"), which, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"passed": which}
