import re
from typing import Any

import numpy as np
import pytest
from report_run import run_with_sweep

from corpusmill.mixtures.laws.effective_data import EffectiveData
from corpusmill.mixtures.laws.mixing import Floats, Law, Linear, LogLinear
from corpusmill.pipeline.report.sweep_results import sweeps
from corpusmill.pipeline.report.sweep_section import predicted, sweep_section


@pytest.mark.parametrize(
    "law",
    [
        LogLinear(0.7, np.array([0.3, -1.0])),
        Linear(np.array([1.0, 2.0])),
        EffectiveData(0.7, 0.3, np.array([0.3, -1.0])),
        EffectiveData(0.7, 0.02, np.array([30.0, -40.0])),
    ],
)
def test_the_page_draws_the_law_that_was_fitted(law: Law) -> None:
    ratios: Floats = np.array([[0.3, 0.7]])
    facts = {"law": law.name, "parameters": law.parameters(["a", "b"])}
    assert predicted(facts, {"a": 0.3, "b": 0.7}) == pytest.approx(law.predict(ratios)[0])


def test_every_run_and_ratio_is_on_the_page() -> None:
    sweep = sweeps(run_with_sweep())["main"]
    page = sweep_section(sweep, ["web", "books"])
    assert len(re.findall("<circle", page)) == 16 * 2 * 2  # two domains, residuals and curves
    for run in sweep["runs"]:
        assert f">{run['run']}</text>" in page
    assert f"{sweep['choice']['predicted']['value']:.4f}" in page
    for law in sweep["fit"]["laws"]:
        assert f"<td>{law['cv_error']:.4f}</td><td>{law['cv_rank_correlation']:.3f}</td>" in page


@pytest.mark.parametrize("clear", [True, False])
def test_ratios_that_cannot_be_told_apart_are_no_advice(clear: bool) -> None:
    sweep: dict[str, Any] = sweeps(run_with_sweep())["main"]
    choice = dict(sweep["choice"])
    choice |= {"verdict": "distinguishable" if clear else "not distinguishable", "reasons": [] if clear else ["noise"]}
    page = sweep_section(sweep | {"choice": choice}, ["web", "books"])
    assert ("Not distinguishable" in page) is not clear
    assert ("no advice" in page) is not clear


def test_a_sweep_without_fit_shows_its_losses() -> None:
    sweep = sweeps(run_with_sweep())["main"]
    page = sweep_section(sweep | {"fit": None, "choice": None}, ["web", "books"])
    assert f"<td>{sweep['runs'][0]['bits_per_byte']['web']:.4f}</td>" in page
    assert "<circle" not in page
