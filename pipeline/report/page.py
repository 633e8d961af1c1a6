"""The report as one HTML page: a template, inline styles, inline SVG. No script, no font, no address is loaded.

The page's policy forbids every request, so it looks the same without a network and can be mailed. Colours follow the
reader's light or dark setting. Texts carry their language, which picks the right Han glyphs, and find their own
direction, so that Arabic and Hebrew run from the right.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from corpusmill.pipeline.report.charts import colour_of, histogram, legend, stacked_bars, step_chart
from corpusmill.pipeline.report.plan_section import plan_section
from corpusmill.pipeline.report.sweep_section import sweep_section
from corpusmill.pipeline.report.trained_models import trained_section


def render(report: dict[str, Any]) -> str:
    """The page of what `read_report` gives."""
    by_size = sorted(report["sweeps"].items(), key=lambda item: -len(item[1]["runs"]))
    sections = [
        ("overview", "Sources", _sources(report)),
        ("waterfall", "What was dropped, and by which rule", _waterfall(report)),
        ("languages", "Languages", _languages(report)),
        ("values", "Measured values and thresholds", _distributions(report)),
        ("dropped", "Examples of what was dropped", _dropped(report["dropped"])),
        ("tokens", "Tokens", _tokens(report["tokens"], list(report["sources"]))),
        *(
            (f"sweep-{name}", f"Sweep “{name}”", sweep_section(sweep, list(report["sources"])))
            for name, sweep in by_size
        ),
        ("trains", "Trained models", trained_section(report["trains"])),
        *(
            (f"plan-{name}", f"Plan “{name}”", plan_section(plan, list(report["sources"])))
            for name, plan in report["plans"].items()
        ),
        ("phases", "Phases and versions", _phases(report)),
    ]
    return _page(report["run"], f"run is {report['state']}", _cards(report), sections)


def render_plan(title: str, curves: dict[str, Any]) -> str:
    """A page of one plan."""
    return _page(title, "a plan", [], [("plan", "Mixture and epochs", plan_section(curves, []))])


def _page(title: str, state: str, cards: Sequence[tuple[str, str]], sections: Sequence[tuple[str, str, str]]) -> str:
    """The template filled; sections are (key, title, HTML), empty ones left out."""
    template = Template(files("corpusmill.pipeline.report").joinpath("report.html").read_text(encoding="utf-8"))
    shown = [(key, title, body) for key, title, body in sections if body]
    return template.substitute(
        title=escape(title),
        state=escape(state),
        cards="".join(f"<div class='card'><b>{value}</b><span>{name}</span></div>" for name, value in cards),
        links="".join(f"<a href='#{escape(key)}'>{escape(title)}</a>" for key, title, _ in shown),
        sections="".join(
            f"<section id='{escape(key)}'><h2>{escape(title)}</h2>{body}</section>" for key, title, body in shown
        ),
    )


def _cards(report: dict[str, Any]) -> list[tuple[str, str]]:
    documents = [books["documents"] for books in report["sources"].values()]
    read, kept = sum(d["in"] for d in documents), sum(d["kept"] for d in documents)
    return [
        ("documents read", f"{read:,}"),
        ("kept", f"{kept:,} <small>{percent(kept, read)}</small>"),
        ("text kept", size(sum(books["bytes"]["kept"] for books in report["sources"].values()))),
        ("tokens", f"{sum(sum(books['tokens'].values()) for books in report['sources'].values()):,}"),
        ("failed", f"{sum(sum(d['failed'].values()) for d in documents):,}"),
    ]


def _sources(report: dict[str, Any]) -> str:
    rows = []
    for name, books in report["sources"].items():
        documents, tokens = books["documents"], sum(books["tokens"].values())
        dropped, failed = sum(documents["dropped"].values()), sum(documents["failed"].values())
        kept_bytes = books["bytes"]["kept"]
        rows.append(
            (
                swatch(name, list(report["sources"])) + escape(name),
                f"{documents['in']:,}",
                f"{documents['kept']:,}",
                percent(documents["kept"], documents["in"]),
                f"{dropped:,}",
                f"{failed:,}",
                size(books["bytes"]["in"]),
                size(kept_bytes),
                f"{tokens:,}",
                f"{kept_bytes / tokens:.2f}" if tokens else "",
            )
        )
    heads = ("source", "documents", "kept", "share", "dropped", "failed", "bytes read", "text kept", "tokens")
    note = "<p class='note'>Bytes read are those of the records before extraction; text kept is UTF-8.</p>"
    return table((*heads, "bytes a token"), rows) + note


def _waterfall(report: dict[str, Any]) -> str:
    """One chart over all phases, then a row per rule with its documents by source."""
    sources = list(report["sources"])
    steps: list[tuple[str, dict[str, int], bool]] = []
    rows: list[Sequence[str]] = []
    left: dict[str, int] = {}
    for phase in report["waterfall"]:
        if not left:
            left = {source: counts["in"] for source, counts in phase["by_source"].items()}
            steps.append(("read", dict(left), False))
        rows.append(
            (f"<b>{escape(phase['phase'])}</b>", f"<b>{phase['in']:,} in</b>", size(phase["bytes_in"]))
            + ("",) * len(sources)
        )
        for step in phase["steps"]:
            label = step["rule"] + (" (failed)" if step["failed"] else "")
            steps.append((label, step["sources"], True))
            by_source = (str(step["sources"].get(source, "")) for source in sources)
            taken = size(step["bytes"]) if step["bytes"] else ""
            rows.append((escape(label), f"{step['documents']:,}", taken, *by_source))
        kept_now = (f"{phase['by_source'].get(source, {}).get('kept', 0):,}" for source in sources)
        rows.append(("kept", f"{phase['kept']:,}", size(phase["bytes_kept"]), *kept_now))
    if not steps:
        return ""
    kept = {source: books["documents"]["kept"] for source, books in report["sources"].items()}
    steps.append(("kept", kept, False))
    heads = ("phase and rule", "documents", "bytes", *(escape(source) for source in sources))
    chart = legend(sources) + step_chart(steps, sources)
    return chart + f"<details><summary>As a table</summary>{table(heads, rows)}</details>"


def _languages(report: dict[str, Any]) -> str:
    counts = report["languages"]
    if not counts or set(counts) == {"unknown"}:
        return ""
    sources = list(report["sources"])
    return legend(sources) + stacked_bars(list(counts.items()), sources) + "<p class='note'>Kept documents.</p>"


def _distributions(report: dict[str, Any]) -> str:
    if not report["distributions"]:
        return ""
    sources = list(report["sources"])
    figures = []
    for value in report["distributions"]:
        limits = "; ".join(f"{limit['rule']}: {limit['op']} {limit['limit']:g}" for limit in value["limits"])
        notes = [f"median {value['median']:.4g}"] if value["median"] is not None else []
        notes += [f"not measured: {value['num_null']:,}"] if value["num_null"] else []
        notes += [f"sample of {value['sampled']:.2%}"] if value["sampled"] < 1 else []
        figures.append(
            f"<figure><figcaption><b>{escape(value['value'])}</b><br><span class='limit'>drops when {escape(limits)}"
            f"</span></figcaption>{histogram(value, sources)}<p class='note'>{'; '.join(notes)}</p></figure>"
        )
    note = (
        "<p class='note'>All documents that were measured, dropped ones included. A red line is a rule's limit, its "
        "shade the side that is dropped. The grey line is the share of documents that a limit there would keep; point "
        "at it for numbers. Heights are square roots of counts; the outermost bars hold what lies beyond the axis.</p>"
    )
    return legend(sources) + note + f"<div class='grid'>{''.join(figures)}</div>"


def _dropped(groups: list[dict[str, Any]]) -> str:
    parts = []
    for group in groups:
        examples = "".join(_example(example) for example in group["examples"])
        kind = "failed" if group["failed"] else "dropped"
        parts.append(
            f"<details><summary><b>{escape(group['rule'])}</b> <small>{kind} in {escape(group['phase'])}</small>"
            f"</summary>{examples}</details>"
        )
    return "".join(parts)


def _example(example: dict[str, Any]) -> str:
    facts = [f"<code>{escape(example['id'])}</code>"]
    if example["value"] not in (None, ""):
        facts.append(f"value <b>{escape(shown(example['value']))}</b>")
    if example["threshold"] is not None:
        facts.append(f"limit {escape(shown(example['threshold']))}")
    if example["winner"] is not None:
        facts.append(f"kept instead: <code>{escape(example['winner'])}</code>")
    body = ""
    if example["text"] is not None:
        language = f" lang='{escape(example['lang'])}'" if example["lang"] else ""
        more = f"<i> … {example['more']:,} more characters</i>" if example["more"] else ""
        body = f"<blockquote dir='auto'{language}>{escape(printable(example['text']))}{more}</blockquote>"
    return f"<div class='example'><p>{' · '.join(facts)}</p>{body}</div>"


def _tokens(tokens: dict[str, Any] | None, sources: list[str]) -> str:
    if tokens is None:
        return ""
    card, rows = tokens["tokenizer"], []
    for row in tokens["rows"]:
        held_out = " <small>held out</small>" if row["split"] == "val" else ""
        counts = [f"{row[key]:,}" for key in ("documents", "tokens", "files")]
        ratio = f"{row['bytes'] / row['tokens']:.2f}" if row["tokens"] else ""
        name = swatch(row["source"], sources) + escape(row["source"])
        rows.append((name, escape(row["bucket"]) + held_out, counts[0], size(row["bytes"]), *counts[1:], ratio))
    train = {
        name: {name: sum(row["tokens"] for row in tokens["rows"] if row["source"] == name and row["split"] != "val")}
        for name in sources
    }
    note = (
        f"<p class='note'>Tokenizer {escape(str(card['kind']))}, {card['vocab_size']:,} pieces, content "
        f"<code>{escape(str(card['hash'])[:16])}</code>; {escape(tokens['dtype'])}.</p>"
    )
    heads = ("source", "bucket", "documents", "text", "tokens", "files", "bytes a token")
    bars = stacked_bars([(name, counts) for name, counts in train.items() if counts[name]], sources)
    return bars + table(heads, rows) + note


def _phases(report: dict[str, Any]) -> str:
    seconds = {phase["phase"]: phase["seconds"] for phase in report["waterfall"]}
    rows = [
        (escape(p["name"]), "" if p["units"] is None else f"{p['units']:,}", f"{p['done']:,}") for p in report["phases"]
    ]
    slowest = "; ".join(f"{escape(name)} {value:,.1f} s" for name, value in seconds.items())
    versions = report["environment"].get("versions", {})
    named = ", ".join(f"{escape(name)} {escape(str(version))}" for name, version in versions.items())
    return (
        f"<details><summary>{len(rows)} phases</summary>{table(('phase', 'units', 'done'), rows)}</details>"
        f"<p class='note'>Work of all processes in the phases that decide: {slowest}.</p><p class='note'>{named}</p>"
    )


def table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def swatch(name: str, names: list[str]) -> str:
    return f"<i class='swatch' style='background:{colour_of(name, names)}'></i>"


def percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def size(num_bytes: float) -> str:
    """Bytes to a person: 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:,.0f} {unit}" if unit == "B" else f"{num_bytes:,.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.2f} TB"


def shown(value: Any) -> str:
    """A measured value or limit to a person."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def printable(text: str) -> str:
    """The text with control characters, which HTML forbids, made visible."""
    return "".join(c if c >= " " or c in "\n\t" else chr(0x2400 + ord(c)) for c in text).replace("\x7f", "\u2421")
