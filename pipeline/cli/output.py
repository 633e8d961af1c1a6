"""How commands talk: tables and JSON on stdout, progress on stderr."""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from corpusmill.pipeline.phases import Unit
from corpusmill.pipeline.receipts import Receipt

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


def print_json(value: Any) -> None:
    """One object, on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    lines = [[_cell(value) for value in row] for row in rows]
    kinds = [all(_is_number(line[i]) for line in lines) for i in range(len(columns))]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name, numeric in zip(columns, kinds, strict=True):
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        table.add_row(*line)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 140, highlight=False, markup=False).print(table)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(cell: str) -> bool:
    return (
        cell == "–"
        or cell.replace(",", "").replace(".", "").replace("-", "").replace("e", "").replace("%", "").isdigit()
    )


class Bars:
    """Progress of a build on stderr, with rate and time left: a bar for each group of phases (`minhash/pairs` is one
    of `minhash`), which shows the phase at work. Nothing where not `visible`.
    """

    def __init__(self, visible: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[step]:<16} {task.fields[units]:>19} {task.fields[rate]:>22}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, width=None if sys.stderr.isatty() else 130),
            disable=not visible,
        )
        self._task: Any = None
        self._group = ""
        self._started = 0.0  # when the phase at work began
        self._units = self._done = self._group_units = 0

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._progress.stop()

    def _begin(self, group: str) -> None:
        """The group's bar, begun unless it is there already; the one before ends."""
        if group != self._group:
            self._end()
            self._task = self._progress.add_task(group, total=1, step="", units="", rate="")
            self._group, self._group_units = group, 0

    def _end(self) -> None:
        """A finished group's bar tells of all its phases."""
        if self._task is not None and self._group_units:
            self._progress.update(self._task, step="", units=f"{self._group_units:,} units", rate="")

    def phase(self, name: str, num_units: int, num_done: int, num_bytes: int) -> None:
        group, _, step = name.partition("/")
        self._begin(group)
        self._units, self._done, self._started = num_units, num_done, time.monotonic()
        self._group_units += num_units
        total = max(num_bytes, 1)
        completed, rate = (total, "kept") if num_units == num_done else (0, "")
        self._progress.update(self._task, total=total, completed=completed, step=step, units=self._count(), rate=rate)

    def _count(self) -> str:
        return f"{self._done:,}/{self._units:,}"

    def unit(self, unit: Unit, receipt: Receipt) -> None:
        self._done += 1
        self._progress.update(self._task, advance=unit.num_bytes, units=self._count())
        task = self._progress.tasks[self._task]
        seconds = time.monotonic() - self._started
        if seconds > 1 and task.completed > 1e6:
            self._progress.update(self._task, rate=f"{task.completed / seconds / 1e6:.1f} MB/s")
        if self._done == self._units:
            self._progress.update(self._task, completed=task.total)

    def steps(self, name: str, done: int, total: int, rate: str = "") -> None:
        """Progress of something that has no units, such as a swarm; `rate` is its own measure of speed."""
        self._begin(name)
        self._progress.update(self._task, completed=done, total=total, units=f"{done:,}/{total:,}", rate=rate)
