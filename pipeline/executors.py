"""Engines on datatrove's executors: Slurm and Ray run the same `run_unit` as a one-step pipeline.

Each phase is one pipeline with a task per unit; each attempt has a logging folder of its own, its log under the run's
`logs/`. The driver polls receipts, since those alone say what is complete.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from corpusmill.pipeline.engine import Done
from corpusmill.pipeline.errors import CorpusmillError, MissingExtraError
from corpusmill.pipeline.phases import Phase, Unit, run_unit
from corpusmill.pipeline.receipts import read_receipt
from corpusmill.pipeline.run_folder import RunFolder

POLL_S = 1.0


@dataclass
class UnitStep:
    """The one step of the pipeline: task number -> unit. A plain callable, as datatrove takes it."""

    phase: Phase
    key: str
    units: list[Unit]
    run: RunFolder

    def __call__(self, data: object, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        run_unit(self.phase, self.key, self.units[rank], self.run)
        yield from ()


@dataclass
class ExecutorEngine:
    """`kind` is slurm or ray; `settings` go to datatrove's SlurmPipelineExecutor or RayPipelineExecutor as they are."""

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 24 * 3600.0

    def run(self, phase: Phase, key: str, units: list[Unit], run: RunFolder, done: Done) -> None:
        if not units:
            return
        folder = f"{run.path('logs')}/{phase.name.replace('/', '.')}.{os.urandom(4).hex()}"
        executor = self._executor(UnitStep(phase, key, units, run), len(units), folder)
        executor.run()
        left = {unit.name: unit for unit in units}
        deadline = time.monotonic() + self.timeout_s
        while left:
            for unit in list(left.values()):
                receipt = read_receipt(run, phase.name, unit.name)
                if receipt is not None and receipt.key == unit.key(key):
                    done(left.pop(unit.name), receipt)
            if left and time.monotonic() > deadline:
                raise CorpusmillError(
                    f"{phase.name}: no receipt for {len(left)} units after {self.timeout_s:.0f} s, among them "
                    f"{next(iter(left))}. See {folder}; build again to run them."
                )
            if left:
                time.sleep(POLL_S)

    def _executor(self, step: UnitStep, tasks: int, folder: str) -> Any:
        common = {"pipeline": [step], "tasks": tasks, "logging_dir": folder, "skip_completed": False}
        if self.kind == "ray":
            try:
                from datatrove.executor.ray import RayPipelineExecutor
            except ImportError as error:
                raise MissingExtraError("the Ray engine", "ray") from error
            return RayPipelineExecutor(**common, **self.settings)
        from datatrove.executor.slurm import SlurmPipelineExecutor

        return SlurmPipelineExecutor(**common, **self.settings)

    def close(self) -> None:
        return None
