"""The ledger of a sweep: what every run was trained on and what it lost, as Parquet.

`ledger.parquet` has a row per run: run, mixture, seed, state (finished; diverged, or stopped by halving: its losses
are null), size, num_parameters, learning_rate, plan (fingerprint), steps, tokens, flops, seconds (its share of its
stack's); a column for each source and domain: ratio_<source> (share of the tokens drawn), bits_per_byte_<domain>,
unigram_<domain> (the domain's unigram entropy in the same unit); own_bits_per_byte and own_unigram: the same on
held-out text in the run's own proportions; and for each task accuracy_<task>, normalised_accuracy_<task> and
task_bits_per_byte_<task>.
`curves.parquet`: run, step, tokens, bits_per_token (mean of training since the point before). `evaluations.parquet`:
run, step, tokens, and bits_per_byte_<domain> at that time.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mixtures.proxy.held_out import Domain, mixed_bits_per_byte, mixed_unigram_bits_per_byte
from corpusmill.mixtures.proxy.transformer import Shape
from corpusmill.pipeline.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished run. `ratios` has the sources drawn from; `curve` is (step, tokens, bits a token)."""

    key: str
    run: str
    mixture: str
    seed: int
    learning_rate: float
    size: str
    plan: str
    tokens: int
    steps: int
    flops: int
    seconds: float
    ratios: dict[str, float]
    evaluations: list[tuple[int, int, dict[str, float]]]  # (step, tokens, bits per byte by domain), the last at the end
    curve: list[tuple[int, int, float]]
    stopped: bool = False  # by halving, before its end
    tasks: dict[str, dict[str, float | None]] = field(default_factory=dict)  # the scores of each

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "RunResult":
        points = {name: [(a, b, c) for a, b, c in facts[name]] for name in ("evaluations", "curve")}
        return cls(**facts | points)

    @property
    def bits_per_byte(self) -> dict[str, float]:
        return self.evaluations[-1][2]

    @property
    def state(self) -> str:
        return "stopped" if self.stopped else "diverged" if self.diverged else "finished"

    @property
    def diverged(self) -> bool:
        return not all(math.isfinite(bits) for bits in self.bits_per_byte.values())


def write_ledger(
    folder: RunFolder, path: str, results: Sequence[RunResult], domains: Sequence[Domain], shape: Shape
) -> Path:
    """Writes the three files under `path` and gives the ledger's path."""
    sources = sorted({name for result in results for name in result.ratios})
    rows = [ledger_row(result, sources, domains, shape) for result in results]
    schema = ledger_schema(sources, domains, sorted({name for result in results for name in result.tasks}))
    _put_table(folder, f"{path}/ledger.parquet", pa.Table.from_pylist(rows, schema=schema))
    points = [
        {"run": result.run, "step": step, "tokens": tokens, "bits_per_token": finite(bits)}
        for result in results
        for step, tokens, bits in result.curve
    ]
    _put_table(folder, f"{path}/curves.parquet", pa.Table.from_pylist(points, schema=pa.schema(CURVES)))
    measured = [
        {"run": result.run, "step": step, "tokens": tokens}
        | {f"bits_per_byte_{name}": finite(value) for name, value in bits.items()}
        for result in results
        for step, tokens, bits in result.evaluations
    ]
    columns = [*CURVES[:3], *((f"bits_per_byte_{domain.name}", pa.float64()) for domain in domains)]
    _put_table(folder, f"{path}/evaluations.parquet", pa.Table.from_pylist(measured, schema=pa.schema(columns)))
    return Path(folder.path(f"{path}/ledger.parquet"))


def ledger_row(result: RunResult, sources: Sequence[str], domains: Sequence[Domain], shape: Shape) -> dict[str, Any]:
    own: dict[str, float | None] = {"own_bits_per_byte": None, "own_unigram": None}
    shares = {domain.name: share_of(domain.name, result.ratios) for domain in domains}
    if any(shares.values()):
        own["own_unigram"] = mixed_unigram_bits_per_byte(shares, domains, shape.vocab_size)
        if result.state == "finished":
            own["own_bits_per_byte"] = mixed_bits_per_byte(shares, result.bits_per_byte, domains)
    bits = dict.fromkeys(result.bits_per_byte, math.nan) if result.stopped else result.bits_per_byte
    for name, scores in result.tasks.items():
        own |= {f"{column}_{name}": scores[measure] for column, measure in TASK_COLUMNS.items()}
    facts = {name: getattr(result, name) for name, _ in FACTS if hasattr(result, name)}
    return {
        **facts,
        "num_parameters": shape.num_parameters,
        **own,
        **{f"ratio_{name}": result.ratios.get(name, 0.0) for name in sources},
        **{f"bits_per_byte_{domain.name}": finite(bits[domain.name]) for domain in domains},
        **{f"unigram_{domain.name}": domain.unigram_bits_per_byte for domain in domains},
    }


def share_of(domain: str, ratios: Mapping[str, float]) -> float:
    """A domain's share of the tokens: its source's, all buckets together."""
    return sum(ratio for name, ratio in ratios.items() if name == domain or name.startswith(f"{domain}/"))


FACTS: list[tuple[str, pa.DataType]] = [
    ("run", pa.string()),
    ("mixture", pa.string()),
    ("seed", pa.int64()),
    ("state", pa.string()),
    ("size", pa.string()),
    ("num_parameters", pa.int64()),
    ("learning_rate", pa.float64()),
    ("plan", pa.string()),
    ("steps", pa.int64()),
    ("tokens", pa.int64()),
    ("flops", pa.int64()),
    ("seconds", pa.float64()),
]
CURVES: list[tuple[str, pa.DataType]] = [
    ("run", pa.string()),
    ("step", pa.int64()),
    ("tokens", pa.int64()),
    ("bits_per_token", pa.float64()),
]


TASK_COLUMNS = {
    "accuracy": "accuracy",
    "normalised_accuracy": "normalised_accuracy",
    "task_bits_per_byte": "bits_per_byte",
}


def ledger_schema(sources: Sequence[str], domains: Sequence[Domain], tasks: Sequence[str] = ()) -> pa.Schema:
    names = [f"ratio_{name}" for name in sources]
    names += [f"{kind}_{domain.name}" for kind in ("bits_per_byte", "unigram") for domain in domains]
    names += ["own_bits_per_byte", "own_unigram"]
    names += [f"{column}_{task}" for task in tasks for column in TASK_COLUMNS]
    return pa.schema([*FACTS, *((name, pa.float64()) for name in names)])


def finite(value: float) -> float | None:
    """Null for what is undefined, never NaN."""
    return value if math.isfinite(value) else None


def _put_table(folder: RunFolder, path: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    folder.put(path, buffer.getvalue())
