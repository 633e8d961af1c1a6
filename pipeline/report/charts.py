"""Charts as inline SVG: bars, waterfall, histogram, scatter, lines. Every mark has a title that names its numbers.

Colours are CSS variables of the template, so that one file suits light and dark pages. Coordinates are rounded to a
tenth; a chart of 50 bars is about 5 kB.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Any

NUM_COLOURS = 8
ROW = 22
WIDTH = 860


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of a source: the same in every chart."""
    index = list(names).index(name) if name in names else NUM_COLOURS - 1
    return f"var(--c{index % NUM_COLOURS})"


def legend(names: Sequence[str], among: Sequence[str] | None = None) -> str:
    """The colours of `names`, as they are among all of `among`."""
    items = "".join(
        f"<span><i class='swatch' style='background:{colour_of(name, among or names)}'></i>{escape(name)}</span>"
        for name in names
    )
    return f"<p class='legend'>{items}</p>"


def step_chart(steps: Sequence[tuple[str, Mapping[str, int], bool]], names: Sequence[str]) -> str:
    """A waterfall. `steps` are (label, documents by source, whether they leave); bars of those that leave hang at the
    right end of what was left before them, in the sources' colours."""
    total = max(sum(steps[0][1].values()), 1)
    left_edge, right_edge = 270.0, WIDTH - 80.0
    scale = (right_edge - left_edge) / total
    left, rows = total, []
    for place, (label, counts, leaves) in enumerate(steps):
        amount, top = sum(counts.values()), place * ROW
        start = left - amount if leaves else 0
        marks = [text(left_edge - 8, top + 15, label, "end", "strong" if not leaves else "")]
        marks.append(rule_line(left_edge, right_edge, top + ROW - 0.5))
        offset = left_edge + start * scale
        for name in names:
            if counts.get(name):
                width = counts[name] * scale
                title = f"{label}: {name} {counts[name]:,}"
                marks.append(bar(offset, top + 3, max(width, 0.8), ROW - 7, colour_of(name, names), title, leaves))
                offset += width
        shown = f"−{amount:,}" if leaves else f"{amount:,}"
        marks.append(text(right_edge + 74, top + 15, shown, "end"))
        left -= amount if leaves else 0
        rows.append("".join(marks))
    return svg(WIDTH, len(steps) * ROW + 2, "".join(rows), "waterfall of documents by rule")


def stacked_bars(rows: Sequence[tuple[str, Mapping[str, float]]], names: Sequence[str], form: str = ",.0f") -> str:
    """A horizontal bar per row, stacked by source, with its sum."""
    most = max((sum(counts.values()) for _, counts in rows), default=0) or 1
    left_edge, right_edge = 150.0, WIDTH - 110.0
    marks = []
    for place, (label, counts) in enumerate(rows):
        top, offset = place * ROW, left_edge
        marks.append(text(left_edge - 8, top + 15, label, "end"))
        for name in names:
            if counts.get(name):
                width = counts[name] / most * (right_edge - left_edge)
                title = f"{label}: {name} {counts[name]:{form}}"
                marks.append(bar(offset, top + 3, width, ROW - 7, colour_of(name, names), title))
                offset += width
        marks.append(text(offset + 6, top + 15, f"{sum(counts.values()):{form}}"))
    return svg(WIDTH, len(rows) * ROW + 2, "".join(marks), "bars")


def histogram(value: Mapping[str, Any], names: Sequence[str]) -> str:
    """A stacked histogram with the limits drawn; the side that a rule drops is shaded. The line is the share of
    documents that a limit there would keep, from none at the bottom to all at the top."""
    width, height, foot = 400.0, 120.0, 18.0
    edges, counts = value["edges"], value["counts"]
    num_bins = len(edges) - 1
    highest = max((sum(found[i] for found in counts.values()) for i in range(num_bins)), default=0) or 1
    axis = Axis(edges[0], edges[-1], 4, width - 4, value["log"])
    marks = []
    for i in range(num_bins):
        x, total = axis.at(edges[i]), 0
        for name in names:
            count = counts.get(name, [0] * num_bins)[i]
            if count:
                # Heights are square roots, so that a bin of one document can be seen beside one of thousands.
                bottom = height - math.sqrt(total / highest) * (height - 8)
                total += count
                top = height - math.sqrt(total / highest) * (height - 8)
                title = f"{edges[i]:.4g} to {edges[i + 1]:.4g}: {name} {count:,}"
                wide = axis.at(edges[i + 1]) - x - 0.6
                marks.append(bar(x, top, wide, bottom - top, colour_of(name, names), title))
    for limit in value["limits"]:
        x = axis.at(limit["limit"])
        if limit["op"] in ("<", "<="):
            marks.append(f"<rect class='shade' x='4' y='0' width='{max(x - 4, 0):.1f}' height='{height}'/>")
        elif limit["op"] in (">", ">="):
            marks.append(
                f"<rect class='shade' x='{x:.1f}' y='0' width='{max(width - 4 - x, 0):.1f}' height='{height}'/>"
            )
        title = f"<title>{escape(limit['rule'])}: {escape(limit['op'])} {limit['limit']:g}</title>"
        marks.append(f"<line class='threshold' x1='{x:.1f}' x2='{x:.1f}' y1='0' y2='{height}'>{title}</line>")
    for keeps, shares in kept_shares(value).items():
        points = [(axis.at(edge), height - share * (height - 8)) for edge, share in zip(edges, shares, strict=True)]
        title = f"share of documents {keeps} a limit here: {deciles(edges, shares)}"
        marks.append(path(points, "stroke='currentColor' stroke-opacity='0.55' stroke-width='1.2'", title))
    marks.append(rule_line(4, width - 4, height))
    for tick in axis.ticks(5):
        marks.append(text(min(max(axis.at(tick), 14), width - 14), height + 14, short(tick), "middle"))
    return svg(width, height + foot, "".join(marks), f"histogram of {value['value']}")


def kept_shares(value: Mapping[str, Any]) -> dict[str, list[float]]:
    """At every edge, the share of documents that a limit there would keep: `above` for rules that drop what lies below
    it, `below` for the others. To within a bin."""
    counts = [sum(bins) for bins in zip(*value["counts"].values(), strict=True)] or [0] * (len(value["edges"]) - 1)
    below = [0, *accumulate(counts)]
    total = below[-1] or 1
    ops = {limit["op"] for limit in value["limits"]}
    made = {}
    if ops & {"<", "<="}:
        made["above"] = [1 - each / total for each in below]
    if ops & {">", ">="}:
        made["below"] = [each / total for each in below]
    return made


def deciles(edges: Sequence[float], shares: Sequence[float]) -> str:
    """Where 90, 50 and 10 % are kept, to the nearest edge: `90 % at 0.12, 50 % at 0.5, 10 % at 0.9`."""
    nearest = (
        (wanted, min(range(len(shares)), key=lambda i: abs(shares[i] - wanted / 100))) for wanted in (90, 50, 10)
    )
    return ", ".join(f"{wanted} % at {edges[i]:.3g}" for wanted, i in nearest)


class Axis:
    """Values to pixels, in the log or not."""

    def __init__(self, low: float, high: float, start: float, stop: float, log: bool = False) -> None:
        self.low, self.high, self.start, self.stop, self.log = low, high if high > low else low + 1, start, stop, log

    def at(self, value: float) -> float:
        """The pixel of a value; what lies outside is at the end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round values on the axis, at most `most` and one."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers][:: max(1, -(-len(powers) // most))]
        rough = (self.high - self.low) / most
        magnitude = 10 ** math.floor(math.log10(rough))
        step = next(magnitude * m for m in (1, 2, 5, 10) if magnitude * m >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def short(number: float) -> str:
    """A tick's number: 0.02, 5, 100k."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= factor:
            return f"{number / factor:.4g}{suffix}"
    return f"{number:.4g}"


def plane(
    x_axis: tuple[float, float], y_axis: tuple[float, float], labels: tuple[str, str], size: tuple[float, float]
) -> tuple[Axis, Axis, str]:
    """Two linear axes and the drawing of their grid: (x, y, marks)."""
    width, height = size
    x = Axis(*x_axis, 46, width - 8)
    y = Axis(*y_axis, height - 34, 8)
    marks = []
    for tick in x.ticks(5):
        marks.append(f"<line class='grid' x1='{x.at(tick):.1f}' x2='{x.at(tick):.1f}' y1='8' y2='{height - 34:.1f}'/>")
        marks.append(text(x.at(tick), height - 20, short(tick), "middle"))
    for tick in y.ticks(5):
        marks.append(rule_line(46, width - 8, y.at(tick)))
        marks.append(text(42, y.at(tick) + 4, f"{tick:.4g}", "end"))
    marks.append(text((46 + width - 8) / 2, height - 4, labels[0], "middle"))
    turned = f"translate(11 {(height - 34) / 2:.0f}) rotate(-90)"
    marks.append(f"<text transform='{turned}' text-anchor='middle'>{escape(labels[1])}</text>")
    return x, y, "".join(marks)


def dot(x: float, y: float, colour: str, title: str, hollow: bool = False) -> str:
    paint = f"fill='none' stroke='{colour}' stroke-width='1.6'" if hollow else f"fill='{colour}'"
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.6' {paint}><title>{escape(title)}</title></circle>"


def path(points: Sequence[tuple[float, float]], style: str, title: str = "") -> str:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    named = f"<title>{escape(title)}</title>" if title else ""
    return f"<polyline points='{drawn}' fill='none' {style}>{named}</polyline>"


def bar(x: float, y: float, width: float, height: float, colour: str, title: str, pale: bool = False) -> str:
    shade = " class='gone'" if pale else ""
    return (
        f"<rect{shade} x='{x:.1f}' y='{y:.1f}' width='{max(width, 0):.1f}' height='{max(height, 0):.1f}' "
        f"style='fill:{colour}'><title>{escape(title)}</title></rect>"
    )


def rule_line(x1: float, x2: float, y: float) -> str:
    return f"<line class='grid' x1='{x1:.1f}' x2='{x2:.1f}' y1='{y:.1f}' y2='{y:.1f}'/>"


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    named = f" class='{kind}'" if kind else ""
    return f"<text{named} x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(content)}</text>"


def svg(width: float, height: float, marks: str, label: str) -> str:
    return (
        f"<svg viewBox='0 0 {width:.0f} {height:.0f}' style='max-width:{width:.0f}px' role='img' "
        f"aria-label='{escape(label)}'>{marks}</svg>"
    )
