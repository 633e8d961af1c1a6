"""What a swarm measured: for each proxy run its ratios and its loss on every held-out domain, as arrays for the laws.

A sweep's ledger is a Parquet file with a row per run: `run`, `mixture` and `seed`, a column `ratio_<source>` per source
(share of the tokens drawn) and a column `bits_per_byte_<domain>` per held-out domain. Runs that did not end have nulls;
they are left out and counted. Where a mixture was trained with several learning rates, the law gets its best: a mixture
is worth what it gives when trained well, and with one rate for all, rankings turn over (arXiv 2512.24503).
Cost: reads one small file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mixtures.laws.mixing import Floats
from corpusmill.pipeline.errors import DamagedFileError, RequestError

RATIO = "ratio_"
BITS_PER_BYTE = "bits_per_byte_"


@dataclass(frozen=True)
class SwarmResults:
    """N runs over M sources, measured on K domains. Every row of `ratios_NM` sums to one."""

    runs: tuple[str, ...]
    sources: tuple[str, ...]
    domains: tuple[str, ...]
    ratios_NM: Floats
    losses_NK: Floats
    num_left_out: int = 0  # runs without a loss on every domain

    @cached_property
    def mixture_N(self) -> npt.NDArray[np.int64]:
        """The number of each run's mixture from 0, in order of appearance: repeats with other seeds share it."""
        numbers: dict[bytes, int] = {}
        return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in self.ratios_NM.round(6) + 0.0])

    @cached_property
    def mixed_N(self) -> npt.NDArray[np.bool_]:
        """Which runs have several sources; all, where fewer than three mixtures do. A source alone cannot be predicted
        from the other mixtures, which say least of it, and no choice lies as far from all that was trained."""
        mixed_N: npt.NDArray[np.bool_] = (self.ratios_NM > 0).sum(axis=1) > 1
        return mixed_N if len(np.unique(self.mixture_N[mixed_N])) >= 3 else np.ones_like(mixed_N)

    def column(self, domain: str) -> int:
        """The index of a domain. Raises RequestError with the domains there are."""
        if domain not in self.domains:
            raise RequestError(f"target.{domain}: no such held-out domain. There are: {', '.join(self.domains)}.")
        return self.domains.index(domain)


def read_ledger(path: Path) -> SwarmResults:
    """The ended runs of a sweep's ledger. Raises RequestError where there is none, or no run has ended."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise RequestError(f"{path} is missing: train the swarm first (corpusmill sweep).") from None
    sources = [name.removeprefix(RATIO) for name in table.column_names if name.startswith(RATIO)]
    domains = [name.removeprefix(BITS_PER_BYTE) for name in table.column_names if name.startswith(BITS_PER_BYTE)]
    if not sources or not domains or "run" not in table.column_names:
        raise DamagedFileError(f"{path}: no columns run, {RATIO}* and {BITS_PER_BYTE}*: train the swarm again.")
    ratios_NM = _matrix(table.select([RATIO + name for name in sources]).to_pydict())
    losses_NK = _matrix(table.select([BITS_PER_BYTE + name for name in domains]).to_pydict())
    ended_N = np.isfinite(np.hstack([losses_NK, ratios_NM]).sum(axis=1))
    if not ended_N.any():
        raise RequestError(
            f"{path}: none of the {len(ended_N)} runs has a loss on every domain: train the swarm again."
        )
    used_N = ended_N & _best_of_its_rates(table, losses_NK)
    runs = [str(run) for run in table.column("run").to_pylist()]
    return swarm_results(
        [run for run, used in zip(runs, used_N, strict=True) if used],
        sources,
        domains,
        ratios_NM[used_N],
        losses_NK[used_N],
        num_left_out=int((~ended_N).sum()),
    )


def swarm_results(
    runs: Sequence[str],
    sources: Sequence[str],
    domains: Sequence[str],
    ratios_NM: Floats,
    losses_NK: Floats,
    num_left_out: int = 0,
) -> SwarmResults:
    """Results from arrays. Ratios are divided by their sum; raises RequestError where a sum is not near one."""
    sums_N = ratios_NM.sum(axis=1)
    for run, total, lowest in zip(runs, sums_N, ratios_NM.min(axis=1), strict=True):
        if not 0.98 <= total <= 1.02 or lowest < 0:
            raise RequestError(
                f"run {run}: ratios sum to {total:.4f}, lowest {lowest:.4f}: write shares of the tokens."
            )
    return SwarmResults(
        runs=tuple(runs),
        sources=tuple(sources),
        domains=tuple(domains),
        ratios_NM=ratios_NM / sums_N[:, None],
        losses_NK=losses_NK,
        num_left_out=num_left_out,
    )


def _best_of_its_rates(table: pa.Table, losses_NK: Floats) -> npt.NDArray[np.bool_]:
    """[N]: is this run the lowest, on the mean of the domains, of those of its mixture and seed?"""
    if not {"mixture", "seed", "learning_rate"} <= set(table.column_names):
        return np.ones(len(losses_NK), dtype=bool)
    mean_N = np.where(np.isfinite(losses_NK).all(axis=1), losses_NK.mean(axis=1), np.inf)
    best: dict[tuple[Any, Any], int] = {}
    for number, key in enumerate(zip(table["mixture"].to_pylist(), table["seed"].to_pylist(), strict=True)):
        if key not in best or mean_N[number] < mean_N[best[key]]:
            best[key] = number
    chosen = np.zeros(len(losses_NK), dtype=bool)
    chosen[list(best.values())] = True
    return chosen


def _matrix(columns: dict[str, list[float | None]]) -> Floats:
    """Columns side by side, null as NaN."""
    return np.array([[np.nan if v is None else v for v in column] for column in columns.values()], dtype=np.float64).T
