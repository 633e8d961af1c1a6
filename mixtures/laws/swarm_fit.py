"""A mixing law per held-out domain from a sweep's ledger, with what each is worth on mixtures it has not seen.

`fit_ledger` reads `sweeps/<name>/ledger.parquet` and writes `fit.json` beside it: the laws with parameters, the error
and rank correlation on left-out mixtures, and every run's measured, fitted and left-out loss for the report. One law
per domain, then the target's weights: a law fitted to the mean ranks worse (RegMix tables: .50 against .68).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.mixtures.laws.left_out import AUTO, left_out, rank_correlation, root_mean_square
from corpusmill.mixtures.laws.mixing import Floats, Law
from corpusmill.mixtures.laws.swarm_results import SwarmResults, read_ledger
from corpusmill.pipeline.errors import RequestError


@dataclass(frozen=True)
class SwarmFit:
    """Laws [K] for the domains of `results`; `left_out_NK` is what each predicts of a run whose mixture is left out."""

    results: SwarmResults
    laws: tuple[Law, ...]
    left_out_NK: Floats

    def target_weights(self, target: Mapping[str, float]) -> Floats:
        """The target's weight of each domain [K], summing to one. Raises RequestError for an unknown domain."""
        weights_K: Floats = np.zeros(len(self.laws))
        for domain, weight in target.items():
            if not 0 <= weight < float("inf"):
                raise RequestError(f"target.{domain}: {weight} is no weight. Write a number of at least 0.")
            weights_K[self.results.column(domain)] = weight
        if not weights_K.any():
            raise RequestError("target: all weights are 0. Give at least one held-out domain a weight.")
        weights_K /= weights_K.sum()
        return weights_K

    @cached_property
    def predicted_NK(self) -> Floats:
        """The loss of each run as the laws of all runs have it."""
        return np.stack([law.predict(self.results.ratios_NM) for law in self.laws], axis=1)

    def as_json(self) -> dict[str, Any]:
        """What `fit --json` prints and fit.json holds. Errors are in bits per byte; `cv_error_mixed` leaves out the
        mixtures that are one source alone."""
        results = self.results
        laws = []
        for k, (domain, law) in enumerate(zip(results.domains, self.laws, strict=True)):
            measured_N, left_out_N = results.losses_NK[:, k], self.left_out_NK[:, k]
            laws.append(
                {
                    "metric": domain,
                    "law": law.name,
                    "parameters": law.parameters(results.sources),
                    "cv_error": root_mean_square(left_out_N - measured_N),
                    "cv_error_mixed": root_mean_square((left_out_N - measured_N)[results.mixed_N]),
                    "cv_mean_absolute_error": float(np.abs(left_out_N - measured_N).mean()),
                    "cv_rank_correlation": rank_correlation(left_out_N, measured_N),
                    "measured": measured_N.tolist(),
                    "predicted": self.predicted_NK[:, k].tolist(),
                    "left_out": left_out_N.tolist(),
                }
            )
        return {
            "format": 1,
            "laws": laws,
            "num_runs": len(results.runs),
            "num_mixtures": int(results.mixture_N.max()) + 1,
            "num_left_out": results.num_left_out,
            "runs": list(results.runs),
            "ratios": {name: results.ratios_NM[:, i].tolist() for i, name in enumerate(results.sources)},
        }


def fit_swarm(results: SwarmResults, law: str = AUTO) -> SwarmFit:
    """Fits every domain. `law` is `auto`, or a name of `mixing.FITTERS`. Raises RequestError below three mixtures."""
    fits = [left_out(results.ratios_NM, losses_N, results.mixture_N, law) for losses_N in results.losses_NK.T]
    return SwarmFit(results, tuple(fit.law for fit in fits), np.stack([fit.predicted_N for fit in fits], axis=1))


def fit_ledger(ledger: Path, law: str = AUTO) -> SwarmFit:
    """Fits a sweep's ledger and writes `fit.json` beside it."""
    fit = fit_swarm(read_ledger(ledger), law)
    write_json(ledger.with_name("fit.json"), fit.as_json())
    return fit


def write_json(path: Path, content: dict[str, Any]) -> None:
    """The file is complete or not there."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)
