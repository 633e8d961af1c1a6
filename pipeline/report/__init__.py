"""The report of a run: one HTML file without network access, and its numbers as JSON.

Everything is read from the run folder: receipts, measures, decisions, dropped texts, the token manifest, sweeps, plans.
"""

from corpusmill.pipeline.report.document_books import waterfall
from corpusmill.pipeline.report.dropped_examples import examples_by_rule
from corpusmill.pipeline.report.measured_values import distributions, languages
from corpusmill.pipeline.report.page import render
from corpusmill.pipeline.report.plan_section import plans
from corpusmill.pipeline.report.sweep_results import sweeps
from corpusmill.pipeline.report.token_counts import token_counts
from corpusmill.pipeline.report.trained_models import trained_models
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status

__all__ = ["read_report", "write_report"]


def write_report(run: RunFolder) -> None:
    """Writes report.html and report.json into the run folder. Works at any point of a build: it shows what is there."""
    report = read_report(run)
    run.put_json("report.json", report)
    run.put("report.html", render(report).encode("utf-8"))


def read_report(run: RunFolder) -> dict[str, object]:
    """The numbers of the report, which are all that the page shows. Reads measures and decisions once."""
    status = read_status(run)
    return {
        "format": 1,
        "run": run.url.rstrip("/").rsplit("/", 1)[-1],
        "state": status["state"],
        "phases": status["phases"],
        "sources": status["sources"],
        "waterfall": waterfall(run),
        "languages": languages(run),
        "distributions": distributions(run),
        "dropped": examples_by_rule(run),
        "tokens": token_counts(run),
        "sweeps": sweeps(run),
        "trains": trained_models(run),
        "plans": plans(run),
        "environment": run.read_json("environment.json") or {},
    }
