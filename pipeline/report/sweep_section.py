"""The part of the page on one sweep: the choice with its intervals, the laws against what was measured, the ratios.

A law's parameters come from fit.json: `log-linear` is c + exp(t·x), `linear` is w·x, `power` with exponent α is
c + (Σ_j exp(-t_j / α) x_j)^-α.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from corpusmill.pipeline.report.charts import Axis, bar, colour_of, dot, legend, path, plane, stacked_bars, svg, text

PLOT = (280.0, 230.0)
NUM_CURVE_POINTS = 40
MAX_LOSS_ROWS = 20


def sweep_section(sweep: dict[str, Any], sources: list[str]) -> str:
    """HTML of one sweep. `sources` are the run's, so that each has its colour of the other charts."""
    sources = [*sources, *(name for name in sweep["sources"] if name not in sources)]
    runs, fit = sweep["runs"], sweep["fit"]
    ended = [run for run in runs if all(loss is not None for loss in run["bits_per_byte"].values())]
    facts = f"{len(runs)} proxy runs, {len(runs) - len(ended)} of them without a loss"
    if runs and runs[0]["tokens"]:
        facts += f"; {runs[0]['tokens']:,} tokens each, {runs[0]['num_parameters']:,} parameters"
    parts = [f"<p class='note'>{facts}.</p>"]
    if sweep["choice"]:
        parts.append(_choice(sweep["choice"], ended, sources))
    if fit:
        parts.append(_laws(fit))
        parts.append(_grid("Left-out mixtures: predicted against measured, bits per byte", _residuals(fit)))
        parts.append(_grid("Each domain's loss by the share of its own source", _curves_by_ratio(fit, sources)))
    else:
        parts.append(_losses(ended[:MAX_LOSS_ROWS], sweep["domains"]))
    if len(ended) > 1:
        rows = [(run["run"], run["ratios"]) for run in ended]
        parts.append(
            f"<h3>Ratios of the runs</h3>{legend(sweep['sources'], sources)}{stacked_bars(rows, sources, '.2f')}"
        )
    if sweep["curves"]:
        parts.append(f"<h3>Training, bits per token</h3>{_training(sweep['curves'])}")
    return "".join(parts)


def _choice(choice: dict[str, Any], runs: Sequence[Mapping[str, Any]], sources: list[str]) -> str:
    verdict, predicted = choice["verdict"], choice["predicted"]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in choice["reasons"])
    clear = verdict == "distinguishable"
    told = "Mixtures can be told apart." if clear else "<b>Not distinguishable.</b> The ratios below are no advice."
    noise = "not measured" if choice["seed_noise"] is None else f"{choice['seed_noise']:.4f}"
    facts = (
        f"Predicted target {predicted['value']:.4f} ± {predicted['error']:.4f} bits per byte; "
        f"natural {choice['compared']['natural']:.4f}, uniform {choice['compared']['uniform']:.4f}. "
        f"Spread between mixtures {choice['spread']:.4f}, noise between seeds {noise}. "
        f"Probability of beating natural {choice['beats_natural_probability']:.2f}."
    )
    target = ", ".join(f"{escape(name)} {weight:.2f}" for name, weight in choice["target"].items())
    natural: dict[str, float] = next((run["ratios"] for run in runs if run["run"].startswith("natural")), {})
    return (
        f"<h3>Choice</h3><p class='verdict {'good' if clear else 'weak'}'>{told}</p><ul>{reasons}</ul><p>{facts}</p>"
        f"{_intervals(choice['ratios'], natural, sources)}"
        f"<p class='note'>Target: {target}. Bars: chosen ratio, whiskers: 5 to 95 % of bootstrapped choices, "
        "line: natural ratio.</p>"
    )


def _intervals(ratios: Mapping[str, Any], natural: Mapping[str, float], sources: list[str]) -> str:
    height, width, left = 24.0, 860.0, 150.0
    most = max(ratio["high"] for ratio in ratios.values()) or 1.0
    most = max([most, *natural.values()])
    axis = Axis(0.0, most, left, width - 140)
    marks = []
    for place, (name, ratio) in enumerate(ratios.items()):
        top, middle = place * height, place * height + height / 2
        title = f"{name}: {ratio['ratio']:.4f}, {ratio['low']:.4f} to {ratio['high']:.4f}"
        low, high = axis.at(ratio["low"]), axis.at(ratio["high"])
        marks.append(text(left - 8, top + 16, name, "end"))
        marks.append(bar(left, top + 4, axis.at(ratio["ratio"]) - left, height - 8, colour_of(name, sources), title))
        marks.append(path([(low, middle), (high, middle)], "class='whisker'"))
        marks += [path([(x, middle - 4), (x, middle + 4)], "class='whisker'") for x in (low, high)]
        if name in natural:
            x = axis.at(natural[name])
            marks.append(path([(x, top + 1), (x, top + height - 1)], "class='natural'", f"natural {natural[name]:.4f}"))
        shown = f"{ratio['ratio']:.3f}  ({ratio['low']:.3f}–{ratio['high']:.3f})"
        marks.append(text(width - 132, top + 16, shown))
    return svg(width, len(ratios) * height + 4, "".join(marks), "chosen ratios")


LAW_HEADS = ("domain", "law", "error on left-out mixtures", "of several sources", "rank correlation")


def _laws(fit: dict[str, Any]) -> str:
    rows = []
    for law in fit["laws"]:
        ranks = law["cv_rank_correlation"]
        errors = [f"{law[key]:.4f}" for key in ("cv_error", "cv_error_mixed")]
        cells = (law["metric"], law["law"], *errors, "" if ranks is None else f"{ranks:.3f}")
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    heads = "".join(f"<th>{name}</th>" for name in LAW_HEADS)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<h3>Laws</h3><div class='wide'>{table}</div>"


def _losses(runs: Sequence[Mapping[str, Any]], domains: Sequence[str]) -> str:
    """The measured losses of a sweep that has no fit."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("bits per byte", *domains))
    rows = ""
    for run in runs:
        cells = [escape(run["run"]), *(f"{run['bits_per_byte'][name]:.4f}" for name in domains)]
        rows += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    return f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def _residuals(fit: dict[str, Any]) -> list[tuple[str, str]]:
    """A scatter per domain, with the diagonal on which a perfect law would lie."""
    figures = []
    for law in fit["laws"]:
        low, high = _range([*law["measured"], *law["left_out"]])
        x, y, grid = plane((low, high), (low, high), ("measured", "predicted"), PLOT)
        diagonal = path([(x.at(low), y.at(low)), (x.at(high), y.at(high))], "class='diagonal'")
        dots = "".join(
            dot(x.at(measured), y.at(found), "var(--c0)", f"{run}: measured {measured:.4f}, predicted {found:.4f}")
            for run, measured, found in zip(fit["runs"], law["measured"], law["left_out"], strict=True)
        )
        figures.append((law["metric"], svg(*PLOT, grid + diagonal + dots, f"residuals of {law['metric']}")))
    return figures


def _curves_by_ratio(fit: dict[str, Any], sources: list[str]) -> list[tuple[str, str]]:
    """Measured losses by the ratio of the domain's own source, with the law along the line through the first run."""
    figures = []
    for law in fit["laws"]:
        name = law["metric"]
        if name not in fit["ratios"]:
            continue
        base = {source: fit["ratios"][source][0] for source in fit["ratios"]}
        rest = sum(ratio for source, ratio in base.items() if source != name)
        line = []
        for i in range(NUM_CURVE_POINTS + 1):
            share = i / NUM_CURVE_POINTS
            if rest > 0:
                others = {source: ratio / rest * (1 - share) for source, ratio in base.items()}
                line.append((share, predicted(law, others | {name: share})))
        x, y, grid = plane((0.0, 1.0), _range(law["measured"]), (f"ratio of {name}", "bits per byte"), PLOT)
        curve = path(
            [(x.at(share), y.at(loss)) for share, loss in line], "class='law'", "law, the rest as in the first run"
        )
        dots = "".join(
            dot(x.at(ratio), y.at(loss), colour_of(name, sources), f"{run}: ratio {ratio:.3f}, {loss:.4f}")
            for run, ratio, loss in zip(fit["runs"], fit["ratios"][name], law["measured"], strict=True)
        )
        figures.append((f"{name} ({law['law']})", svg(*PLOT, grid + curve + dots, f"loss of {name}")))
    return figures


def predicted(law: Mapping[str, Any], ratios: Mapping[str, float]) -> float:
    """The loss that a law of fit.json gives for ratios."""
    parameters = law["parameters"]
    if law["law"] == "linear":
        return float(sum(parameters["w"][source] * ratio for source, ratio in ratios.items()))
    if law["law"] == "power":
        worth = {source: -t / parameters["exponent"] for source, t in parameters["t"].items()}
        most = max(worth.values())  # taken out of the sum, which would overflow
        data = sum(math.exp(worth[source] - most) * ratio for source, ratio in ratios.items())
        return float(parameters["c"] + math.exp(min(-parameters["exponent"] * (most + math.log(data)), 30.0)))
    exponent = sum(parameters["t"][source] * ratio for source, ratio in ratios.items())
    return float(parameters["c"] + math.exp(min(exponent, 30.0)))


def _training(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    size = (860.0, 260.0)
    losses = [point[1] for points in curves.values() for point in points]
    most = max(point[0] for points in curves.values() for point in points)
    x, y, grid = plane((0.0, most), _range(losses), ("tokens", "bits per token"), size)
    lines = "".join(
        path([(x.at(tokens), y.at(loss)) for tokens, loss in points], "class='run'", name)
        for name, points in curves.items()
    )
    return svg(*size, grid + lines, "training curves")


def _grid(title: str, figures: Sequence[tuple[str, str]]) -> str:
    if not figures:
        return ""
    shown = "".join(
        f"<figure><figcaption><b>{escape(name)}</b></figcaption>{chart}</figure>" for name, chart in figures
    )
    return f"<h3>{escape(title)}</h3><div class='grid'>{shown}</div>"


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or 0.05
    return low - margin, high + margin
