"""The part of the page on one plan: the mixture and the epochs of every source against tokens.

Reads `plans/NAME.curves.json`, which is written with the plan.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

from corpusmill.pipeline.report.charts import colour_of, legend, path, plane, svg, text
from corpusmill.pipeline.run_folder import RunFolder

SIZE = (860.0, 240.0)
CURVES = ".curves.json"
MAX_NAMED_PHASES = 12


def plans(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The curves of every plan of a run, by name."""
    names = [name for name in run.names("plans") if name.endswith(CURVES)]
    return {name.split("/")[-1].removesuffix(CURVES): run.read_json(name) for name in names}


def plan_section(plan: dict[str, Any], sources: Sequence[str]) -> str:
    """HTML of one plan. `sources` are the run's, so that each has its colour of the other charts; its buckets are
    shades of it."""
    drawn = list(dict.fromkeys(source_of(name) for name in plan["sources"]))
    among = [*sources, *(name for name in drawn if name not in sources)]
    names = ", ".join(escape(phase["name"]) for phase in plan["phases"][:MAX_NAMED_PHASES])
    more = len(plan["phases"]) - MAX_NAMED_PHASES
    facts = f"{plan['tokens'][-1]:,} tokens; phases: {names}{f' and {more} more' if more > 0 else ''}."
    return (
        f"<p class='note'>{facts}</p>{legend(drawn, among)}"
        f"<h3>Share of tokens</h3>{_shares(plan, among)}<h3>Epochs so far</h3>{_epochs(plan, among)}"
    )


def source_of(name: str) -> str:
    """The source of `web/b3` and of `web+1`."""
    return name.split("/")[0].split("+")[0]


def _shades(plan: dict[str, Any]) -> dict[str, float]:
    """How strong each bucket's colour is: the first of a source most."""
    members: dict[str, list[str]] = {}
    for name in plan["sources"]:
        members.setdefault(source_of(name), []).append(name)
    return {name: 0.9 - 0.6 * index / len(names) for names in members.values() for index, name in enumerate(names)}


def _shares(plan: dict[str, Any], among: Sequence[str]) -> str:
    """Stacked areas; a share holds from one counted place to the next."""
    x, y, grid = plane((0.0, float(plan["tokens"][-1])), (0.0, 1.0), ("tokens", "share"), SIZE)
    starts = [0, *plan["tokens"][:-1]]
    floor = [0.0] * len(starts)
    areas, shades = [], _shades(plan)
    for name, curve in plan["sources"].items():
        top = [low + ratio for low, ratio in zip(floor, curve["ratio"], strict=True)]
        corners = [(start, end) for start, end in zip(starts, plan["tokens"], strict=True)]
        upper = [(x.at(t), y.at(high)) for pair, high in zip(corners, top, strict=True) for t in pair]
        lower = [(x.at(t), y.at(low)) for pair, low in zip(corners, floor, strict=True) for t in pair]
        drawn = " ".join(f"{px:.1f},{py:.1f}" for px, py in [*upper, *lower[::-1]])
        title = f"{name}: {curve['ratio'][0]:.3f} at first, {curve['ratio'][-1]:.3f} at last"
        areas.append(
            f"<polygon points='{drawn}' style='fill:{colour_of(source_of(name), among)};opacity:{shades[name]:.2f}'>"
            f"<title>{escape(title)}</title></polygon>"
        )
        floor = top
    return svg(*SIZE, "".join(areas) + grid + _phase_ends(plan, x), "share of tokens by source against tokens")


def _epochs(plan: dict[str, Any], among: Sequence[str]) -> str:
    """A line for each source, its cap dashed."""
    curves = plan["sources"]
    most = max((curve["epochs"][-1] for curve in curves.values()), default=1.0) or 1.0
    x, y, grid = plane((0.0, float(plan["tokens"][-1])), (0.0, most * 1.05), ("tokens", "epochs"), SIZE)
    lines, shades = [], _shades(plan)
    for name, curve in curves.items():
        points = [
            (x.at(0), y.at(0)),
            *((x.at(t), y.at(e)) for t, e in zip(plan["tokens"], curve["epochs"], strict=True)),
        ]
        colour = colour_of(source_of(name), among)
        style = f"style='stroke:{colour};stroke-width:1.8;opacity:{shades[name]:.2f}'"
        lines.append(path(points, style, f"{name}: {curve['epochs'][-1]:.4g} epochs"))
        cap = curve["max_epochs"]
        if cap is not None and cap <= most * 1.05:
            dashed = f"style='stroke:{colour};stroke-dasharray:4 4'"
            lines.append(path([(x.at(0), y.at(cap)), (x.at(x.high), y.at(cap))], dashed, f"{name}: at most {cap:.4g}"))
    return svg(*SIZE, grid + "".join(lines) + _phase_ends(plan, x), "epochs by source against tokens")


def _phase_ends(plan: dict[str, Any], x: Any) -> str:
    """A line where a phase ends, with its name where there is room."""
    marks, begin = [], 0
    for phase in plan["phases"]:
        end = phase["tokens"]
        marks.append(
            f"<line class='diagonal' x1='{x.at(end):.1f}' x2='{x.at(end):.1f}' y1='8' y2='{SIZE[1] - 34:.1f}'/>"
        )
        if len(plan["phases"]) <= MAX_NAMED_PHASES and x.at(end) - x.at(begin) > 7 * len(phase["name"]):
            marks.append(text((x.at(begin) + x.at(end)) / 2, 20, phase["name"], "middle", "strong"))
        begin = end
    return "".join(marks)
