import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.mixtures.laws.left_out import rank_correlation
from corpusmill.mixtures.laws.mixing import LogLinear
from corpusmill.mixtures.laws.swarm_fit import fit_ledger, fit_swarm
from corpusmill.mixtures.laws.swarm_results import swarm_results
from corpusmill.pipeline.errors import RequestError

DATA = os.environ.get("CORPUSMILL_DATA")
REGMIX = Path(DATA or ".").parent / "tables" / "sail-sg-regmix"
LAWS = {"code": LogLinear(0.8, np.array([-1.0, 0.4])), "docs": LogLinear(1.1, np.array([0.5, -0.7]))}


def ledger(path: Path) -> Path:
    """Eleven runs of two sources, the last diverged; two of them seeds of one mixture."""
    shares = [1.0, 0.0, 0.5, 0.5, *np.linspace(0.1, 0.9, 6), 0.2]
    x = np.array([[share, 1 - share] for share in shares])
    columns: dict[str, list[object]] = {
        "run": [f"run-{i}" for i in range(11)],
        "ratio_code": list(x[:, 0]),
        "ratio_docs": list(x[:, 1]),
        "own_bits_per_byte": [1.0] * 11,
    }
    for domain, law in LAWS.items():
        columns[f"bits_per_byte_{domain}"] = [*law.predict(x)[:10].tolist(), None]
    pq.write_table(pa.table(columns), path / "ledger.parquet")
    return path / "ledger.parquet"


def test_a_ledger_becomes_laws(tmp_path: Path) -> None:
    fit = fit_ledger(ledger(tmp_path))
    written = json.loads((tmp_path / "fit.json").read_text())
    assert written == fit.as_json()
    assert [law["metric"] for law in written["laws"]] == ["code", "docs"]
    assert [law["law"] for law in written["laws"]] == ["log-linear", "log-linear"]
    assert (written["format"], written["num_runs"], written["num_mixtures"], written["num_left_out"]) == (1, 10, 9, 1)
    for law in written["laws"]:
        assert law["parameters"]["c"] == pytest.approx(LAWS[law["metric"]].c, abs=0.02)
        assert set(law["parameters"]["t"]) == {"code", "docs"}
        assert law["cv_error"] < 0.005
        errors = np.subtract(law["left_out"], law["measured"])[2:]  # the first two runs are a source alone
        assert law["cv_error_mixed"] == pytest.approx(float(np.sqrt(np.mean(errors**2))))
        assert law["cv_rank_correlation"] > 0.99
        assert len(law["measured"]) == len(law["predicted"]) == len(law["left_out"]) == 10
    assert written["ratios"]["code"][:3] == [1.0, 0.0, 0.5]
    assert written["runs"][0] == "run-0"


def test_a_missing_ledger_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="corpusmill sweep"):
        fit_ledger(tmp_path / "ledger.parquet")


def test_a_ledger_of_diverged_runs_is_refused(tmp_path: Path) -> None:
    null = pa.array([None, None], type=pa.float64())
    pq.write_table(
        pa.table({"run": ["a", "b"], "ratio_x": [1.0, 1.0], "bits_per_byte_x": null}), tmp_path / "l.parquet"
    )
    with pytest.raises(RequestError, match="none of the 2 runs"):
        fit_ledger(tmp_path / "l.parquet")


@pytest.mark.parametrize("ratios", [[0.5, 0.2], [1.5, -0.5]])
def test_ratios_that_are_none_are_refused(ratios: list[float]) -> None:
    with pytest.raises(RequestError, match="run a: ratios sum"):
        swarm_results(["a"], ["x", "y"], ["x"], np.array([ratios]), np.ones((1, 1)))


def test_repeats_of_a_mixture_share_its_number() -> None:
    x = np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5], [-0.0, 1.0], [0.0, 1.0]])
    results = swarm_results("abcde", ["x", "y"], ["x"], np.abs(x), np.ones((5, 1)))
    assert results.mixture_N.tolist() == [0, 1, 0, 2, 2]


def test_target_weights_are_checked() -> None:
    x = np.random.default_rng(0).dirichlet(np.ones(2), size=6)
    losses = np.stack([law.predict(x) for law in LAWS.values()], axis=1)
    fit = fit_swarm(swarm_results("abcdef", ["code", "docs"], list(LAWS), x, losses), "linear")
    np.testing.assert_allclose(fit.target_weights({"docs": 3, "code": 1}), [0.25, 0.75])
    for target, message in [
        ({"zh": 1.0}, "target.zh"),
        ({"code": 0.0}, "all weights"),
        ({"code": -1.0}, "target.code"),
    ]:
        with pytest.raises(RequestError, match=message):
            fit.target_weights(target)


@pytest.mark.skipif(not (DATA and REGMIX.is_dir()), reason="CORPUSMILL_DATA has no tables beside it")
def test_regmix_left_out_error_foretells_the_error_on_new_mixtures() -> None:
    """64 published runs: what leaving out promises is what 256 unseen mixtures give."""

    def read(name: str) -> tuple[list[str], np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
        head = (REGMIX / name).read_text().partition("\n")[0].split(",")[1:]
        return head, np.loadtxt(REGMIX / name, delimiter=",", skiprows=1)[:, 1:]

    sources, x = read("train_mixture_1m.csv")
    domains, losses = read("train_pile_loss_1m.csv")
    keep = [i for i, name in enumerate(domains) if "pile_cc" in name or "github" in name]
    results = swarm_results([str(i) for i in range(64)], sources, [domains[i] for i in keep], x[:64], losses[:64, keep])
    fit = fit_swarm(results, "log-linear")
    _, new_x = read("test_mixture_1m.csv")
    _, new_losses = read("test_pile_loss_1m.csv")
    new_x = new_x / new_x.sum(axis=1, keepdims=True)
    for k, (law, stated) in enumerate(zip(fit.laws, fit.as_json()["laws"], strict=True)):
        found = law.predict(new_x)
        assert law.name == "log-linear"
        error = float(np.sqrt(np.mean((found - new_losses[:, keep[k]]) ** 2)))
        assert error / 1.5 < stated["cv_error"] < error * 1.5
        ranks = rank_correlation(found, new_losses[:, keep[k]])
        assert ranks is not None
        assert stated["cv_rank_correlation"] == pytest.approx(ranks, abs=0.05)
