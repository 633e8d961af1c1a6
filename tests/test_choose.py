import json
from pathlib import Path

import numpy as np
import pytest

from corpusmill.mixtures.choose import Choice, choose, write_choice
from corpusmill.mixtures.designs import swarm_design
from corpusmill.mixtures.laws.mixing import LogLinear
from corpusmill.mixtures.laws.swarm_fit import SwarmFit, fit_swarm
from corpusmill.mixtures.laws.swarm_results import swarm_results
from corpusmill.pipeline.errors import RequestError

SIZES = {"web": 1_000_000, "code": 200_000, "wiki": 20_000}
LAWS = {"prose": LogLinear(0.9, np.array([-0.2, 0.6, -1.2])), "python": LogLinear(0.7, np.array([0.5, -1.0, 0.4]))}
BUDGET = 100_000


def swarm(noise: float, num_mixtures: int = 24, flat: bool = False) -> SwarmFit:
    """A swarm whose losses come from LAWS (or from one constant) and noise."""
    design = swarm_design(SIZES, num_mixtures, budget=BUDGET)
    x = np.array([list(mixture.ratios.values()) for mixture in design])
    losses = np.stack([np.ones(len(x)) if flat else law.predict(x) for law in LAWS.values()], axis=1)
    losses += np.random.default_rng(3).normal(0, noise, losses.shape)
    return fit_swarm(swarm_results([m.name for m in design], list(SIZES), list(LAWS), x, losses), "log-linear")


def made(fit: SwarmFit, target: dict[str, float], **settings: object) -> Choice:
    return choose(fit, target, SIZES, budget=BUDGET, num_bootstrap=20, **settings)  # type: ignore[arg-type]  # keywords


def test_a_clear_swarm_is_told_apart() -> None:
    choice = made(swarm(0.003), {"prose": 1})
    assert choice.distinguishable
    assert choice.reasons == ()
    assert choice.beats_natural_probability > 0.99
    assert choice.ratios_M.sum() == pytest.approx(1)
    assert choice.ratios_M.argmax() == 2  # wiki teaches prose best
    truth = float(LAWS["prose"].predict(choice.ratios_M[None])[0])
    assert choice.predicted == pytest.approx(truth, abs=3 * choice.error)
    assert (choice.low_M <= choice.ratios_M).all()
    assert (choice.ratios_M <= choice.high_M).all()
    assert choice.compared["natural"] > choice.predicted
    assert choice.domains["prose"] == pytest.approx(choice.predicted)


def test_the_target_moves_the_choice() -> None:
    fit = swarm(0.003)
    code = [
        made(fit, target).ratios_M[1] for target in ({"prose": 1.0}, {"prose": 1.0, "python": 1.0}, {"python": 1.0})
    ]
    assert code == sorted(code)
    assert code[2] > code[0] + 0.3


def test_caps_hold() -> None:
    choice = made(swarm(0.003), {"prose": 1}, max_epochs={"wiki": 1.5, "code": 1})
    assert choice.ratios_M[2] == pytest.approx(0.3)  # 1.5 epochs of 20,000 in 100,000 tokens
    assert choice.high_M[2] <= 0.3 + 1e-9


def test_more_trust_stays_nearer_to_the_prior() -> None:
    fit = swarm(0.003)
    prior = {"web": 1.0, "code": 1.0, "wiki": 2.0}
    distances = [np.abs(made(fit, {"prose": 1}, prior=prior, trust=trust).ratios_M - [0.25, 0.25, 0.5]).sum()
                 for trust in (0.01, 0.1, 1.0, 100.0)]  # fmt: skip
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01


def test_sources_that_nothing_else_is_like_do_not_hide_what_the_swarm_knows() -> None:
    """A loss that is steep where a source stands alone: left out, that run is guessed wrong by far, and says nothing
    of the mixtures among which the choice is made (measured: five domains, predicted 3.09, trained 3.10 to 3.12, while
    the error over all runs was 1.19)."""
    fit = swarm(0.003)
    alone_N = (fit.results.ratios_NM > 0).sum(axis=1) == 1
    assert alone_N.sum() == 3
    left_out_NK = fit.left_out_NK.copy()
    left_out_NK[alone_N] += 4.0
    choice = made(SwarmFit(fit.results, fit.laws, left_out_NK), {"prose": 1})
    assert choice.distinguishable
    assert choice.error < 0.02
    missed = fit.left_out_NK.copy()
    missed[~alone_N] += 0.2  # what it does not know of mixtures still counts
    assert not made(SwarmFit(fit.results, fit.laws, missed), {"prose": 1}).distinguishable


def test_noise_alone_is_not_told_apart() -> None:
    choice = made(swarm(0.01, flat=True), {"prose": 1})
    assert not choice.distinguishable
    assert "left-out mixtures" in choice.reasons[0]
    assert choice.as_json()["verdict"] == "not distinguishable"
    assert choice.as_json()["beats_natural"] is False


def test_seed_noise_alone_forbids_the_verdict() -> None:
    fit = swarm(0.0)
    losses = fit.results.losses_NK.copy()
    losses[1] += 0.3  # the second seed of natural
    noisy = swarm_results(fit.results.runs, fit.results.sources, fit.results.domains, fit.results.ratios_NM, losses)
    choice = made(SwarmFit(noisy, fit.laws, fit.left_out_NK), {"prose": 1})
    # Two runs 0.3 apart: standard deviation 0.3 / sqrt(2).
    assert choice.seed_noise == pytest.approx(0.3 / 2**0.5)
    assert any("between seeds" in reason for reason in choice.reasons)


def test_without_repeats_the_seed_noise_is_not_known() -> None:
    fit = swarm(0.003)
    keep = np.arange(24) != 1
    results = fit.results
    runs = [run for run, kept in zip(results.runs, keep, strict=True) if kept]
    few = swarm_results(runs, results.sources, results.domains, results.ratios_NM[keep], results.losses_NK[keep])
    assert made(fit_swarm(few, "log-linear"), {"prose": 1}).seed_noise is None


def test_more_noise_gives_wider_intervals() -> None:
    widths = [
        float((choice.high_M - choice.low_M).sum()) for choice in (made(swarm(n), {"prose": 1}) for n in (0.001, 0.05))
    ]
    assert widths[0] < widths[1]


def test_same_arguments_same_choice() -> None:
    fit = swarm(0.01)
    assert made(fit, {"prose": 1}).as_json() == made(fit, {"prose": 1}).as_json()


def test_written_as_json(tmp_path: Path) -> None:
    choice = made(swarm(0.003), {"prose": 2, "python": 2})
    write_choice(choice, tmp_path / "choice.json")
    written = json.loads((tmp_path / "choice.json").read_text())
    assert written["format"] == 1
    assert list(written["ratios"]) == list(SIZES)
    assert set(written["ratios"]["web"]) == {"ratio", "low", "high"}
    assert written["target"] == {"prose": 0.5, "python": 0.5}
    assert written["predicted"]["metric"] == "target"
    assert written["beats_natural"] is (written["beats_natural_probability"] >= 0.95)


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ({"poems": 1.0}, {}, r"target\.poems"),
        ({"prose": 1.0}, {"prior": {"web": 1.0}}, r"prior\.code"),
        ({"prose": 1.0}, {"max_epochs": {"web": 0.01, "code": 0.01, "wiki": 0.01}}, "caps allow"),
    ],
)
def test_impossible_requests_are_refused(target: dict[str, float], settings: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        made(swarm(0.003), target, **settings)


def test_a_source_without_a_token_count_is_refused() -> None:
    with pytest.raises(RequestError, match="source wiki"):
        choose(swarm(0.003), {"prose": 1}, {"web": 1, "code": 1}, budget=10)
