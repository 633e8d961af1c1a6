"""Runs the units of a phase: here, on a process pool that lives for the whole build, or elsewhere through datatrove.

Completion is judged by receipts alone. A dead worker is seen at once; its unit is tried again twice and then set
aside by name. Workers end with their driver. One worker, or one unit, means this process.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.phases import Phase, Unit, run_unit
from corpusmill.pipeline.receipts import Receipt
from corpusmill.pipeline.run_folder import RunFolder

TRIES = 3

Done = Callable[[Unit, Receipt], None]


class Engine(Protocol):
    def run(self, phase: Phase, key: str, units: list[Unit], run: RunFolder, done: Done) -> None:
        """Do every unit, in any order; `done` is called in the driver after each. Raises for units set aside."""

    def close(self) -> None:
        """Let go of workers."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    unit: Unit | None = None


@dataclass
class LocalEngine:
    """A pool of processes on this machine. It starts when a phase first has more than one unit to do."""

    num_workers: int
    workers: list[_Worker] = field(default_factory=list)

    def run(self, phase: Phase, key: str, units: list[Unit], run: RunFolder, done: Done) -> None:
        ordered = sorted(units, key=lambda unit: (-unit.num_bytes, unit.name))
        if self.num_workers <= 1 or len(units) <= 1:
            for unit in ordered:
                done(unit, run_unit(phase, key, unit, run))
            return
        waiting = deque((unit, 1) for unit in ordered)
        tries: dict[str, int] = {}
        while waiting or any(worker.unit for worker in self.workers):
            while waiting and (worker := self._idle()) is not None:
                unit, attempt = waiting.popleft()
                tries[unit.name] = attempt
                worker.unit = unit
                worker.pipe.send((phase, key, unit, run))
            for worker in self._ready():
                assert worker.unit is not None
                unit = worker.unit
                receipt = _received(worker)
                if receipt is not None:
                    worker.unit = None
                    done(unit, receipt)
                    continue
                code = self._bury(worker)
                if tries[unit.name] >= TRIES:
                    self.close()
                    raise CorpusmillError(
                        f"{phase.name}/{unit.name}: its worker died {TRIES} times (exit code {code}). "
                        "Out of memory? Try fewer workers or a smaller unit_bytes. Finished units are kept."
                    )
                waiting.append((unit, tries[unit.name] + 1))

    def _idle(self) -> _Worker | None:
        """A worker without work; started if there is room for one more."""
        for worker in self.workers:
            if worker.unit is None:
                if worker.process.is_alive():
                    return worker
                self._bury(worker)
                return self._idle()
        if len(self.workers) >= self.num_workers:
            return None
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=False)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self.workers.append(worker)
        return worker

    def _ready(self) -> list[_Worker]:
        """The busy workers that have answered or died, at least one."""
        busy = {worker.pipe: worker for worker in self.workers if worker.unit is not None}
        dead = {worker.process.sentinel: worker for worker in busy.values()}
        found: list[Any] = wait([*busy, *dead])
        ready = [busy.get(each) or dead[each] for each in found]
        return list({id(worker): worker for worker in ready}.values())

    def _bury(self, worker: _Worker) -> int | None:
        worker.pipe.close()
        worker.process.join()
        self.workers.remove(worker)
        code: int | None = worker.process.exitcode
        return code

    def close(self) -> None:
        for worker in self.workers:
            worker.pipe.close()
            if worker.unit is not None:
                worker.process.terminate()
        for worker in self.workers:
            worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self.workers = []


def _received(worker: _Worker) -> Receipt | None:
    """The worker's answer, None if it died without one."""
    try:
        if worker.pipe.poll():
            receipt: Receipt = worker.pipe.recv()
            return receipt
    except (EOFError, OSError):
        pass  # died: its receipt, if it wrote one, is found when the unit is tried again
    return None


def _serve(pipe: Connection) -> None:
    """A worker's life: units from the pipe until it closes or the driver is gone."""
    threading.Thread(target=end_with_driver, daemon=True).start()
    while True:
        try:
            phase, key, unit, run = pipe.recv()
        except EOFError:
            return
        pipe.send(run_unit(phase, key, unit, run))


def end_with_driver() -> None:
    """Exit at once when the driver is gone, also in the middle of a unit: nothing is committed by halves."""
    driver = parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
