"""`corpusmill quickstart`: the whole way on text that every machine with Python has, offline, in a few minutes."""

import json
import sysconfig
import time
from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.cli.output import Bars, json_option, print_json, print_table
from corpusmill.pipeline.cli.ratios import print_choice, train_swarm
from corpusmill.pipeline.cli.recipes import run_build

QUICK = ("sources.code.max_bytes=1500KB", "sources.docs.max_bytes=1500KB", "tokenizer.vocab_size=1500")
"""Overrides of `--quick`, for tests: a tenth of the text, as many proxies on fewer tokens."""
QUICK_SWEEP = ("sweep.tokens_per_run=30K", "mixture.tokens=300K")


@click.command()
@click.option("--run", "run_url", default="runs/quickstart", show_default=True, help="Run folder.")
@click.option("--workers", type=click.IntRange(1), help="Processes [default: the cores].")
@click.option("--quick", is_flag=True, help="A tenth of the text and of the training: under a minute, worse numbers.")
@json_option
def quickstart(run_url: str, workers: int | None, quick: bool, as_json: bool) -> None:
    """Build a small corpus from this machine's Python, train a swarm on it, and choose ratios. No network.

    Example: corpusmill quickstart --run runs/quickstart
    """
    import os
    from importlib.resources import as_file, files

    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.report import write_report
    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.pipeline.status import read_status
    from corpusmill.stages.names import StageTable

    started = time.monotonic()
    paths = sysconfig.get_paths()
    with (
        as_file(files("corpusmill.pipeline.templates").joinpath("quickstart.yaml")) as recipe_path,
        as_file(files("corpusmill.stages.collect.sample")) as sample,
    ):
        variables = {"stdlib": paths["stdlib"], "packages": paths["purelib"], "sample": str(sample)}
        overrides = [f"variables.{name}={json.dumps(value)}" for name, value in variables.items()]
        overrides += [*QUICK, *QUICK_SWEEP] if quick else []
        recipe = Recipe.load(recipe_path, StageTable(), tuple(overrides))
        text = recipe_path.read_text(encoding="utf-8")
        run = RunFolder(run_url)
        workers = workers or len(os.sched_getaffinity(0))
        with Bars() as bars:
            warnings = run_build(recipe, text, run, workers, str(recipe_path), bars=bars)
            ratios = choose_ratios(recipe, Path(run_url), bars)
    write_report(run)
    seconds = time.monotonic() - started
    status = read_status(run)
    report = run.path("report.html")
    if as_json:
        print_json(status | ratios | {"warnings": warnings, "report": report, "seconds": round(seconds, 1)})
    else:
        print_summary(status, ratios, report, seconds)


def choose_ratios(recipe: Any, run: Path, bars: Bars) -> dict[str, Any]:
    """Plan, sweep, fit, choose, and train the chosen mixture once: what was predicted and what came of it."""
    from dataclasses import replace

    import pyarrow.parquet as pq

    from corpusmill.mixtures.choose import choose, write_choice
    from corpusmill.mixtures.designs import SwarmMixture
    from corpusmill.mixtures.laws.swarm_fit import fit_ledger
    from corpusmill.mixtures.mixture import make_plan
    from corpusmill.mixtures.plan_curves import save_with_curves
    from corpusmill.mixtures.sources import read_manifest

    manifest = read_manifest(run)
    mixture, settings = recipe.sections["mixture"], recipe.sections["sweep"]
    save_with_curves(make_plan(manifest, mixture), run, "natural")
    sizes = settings.sizes(manifest)
    ledger = train_swarm(run, settings.training(), settings.design(manifest), bars, "sweep (tokens)")
    fit = fit_ledger(ledger, recipe.sections["choose"].law)
    target = recipe.sections["choose"].target or dict.fromkeys(fit.results.domains, 1.0)
    epochs = settings.epochs(sizes)
    choice = choose(fit, target, sizes, budget=settings.tokens_per_run, max_epochs=epochs)
    write_choice(choice, ledger.with_name("choice.json"))
    chosen = {name: float(ratio) for name, ratio in zip(choice.sources, choice.ratios_M, strict=True)}
    save_with_curves(make_plan(manifest, replace(mixture, weights=chosen)), run, "chosen")
    once = train_swarm(
        run, settings.training() | {"name": "chosen"}, [SwarmMixture("chosen", chosen)], bars, "chosen mixture (tokens)"
    )
    rows = pq.read_table(ledger).to_pylist()
    measured: dict[str, float | None] = {"chosen": target_loss(pq.read_table(once).to_pylist()[0], choice.target)}
    measured |= {name: mean_loss(rows, name, choice.target) for name in ("natural", "uniform")}
    return {"choice": choice.as_json(), "measured": measured, "swarm": swarm_summary(rows)}


def mean_loss(rows: list[dict[str, Any]], name: str, target: dict[str, float]) -> float | None:
    """The target's loss under the natural mixture (mean of its seeds) or the uniform one; None if none was trained.

    Where no cap binds, UniMax is the uniform mixture and stands for it in the swarm.
    """
    names = {"natural": "natural-", "uniform": "uniform" if any(r["run"] == "uniform" for r in rows) else "unimax"}
    losses = [target_loss(row, target) for row in rows if row["run"].startswith(names[name])]
    return sum(losses) / len(losses) if losses else None


def target_loss(row: dict[str, Any], target: dict[str, float]) -> float:
    """Bits per byte of the target in one row of a ledger."""
    return float(sum(weight * row[f"bits_per_byte_{domain}"] for domain, weight in target.items()))


def swarm_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Proxies, and how many ended below the unigram entropy of held-out text in their own proportions."""
    below = sum(row["own_bits_per_byte"] < row["own_unigram"] for row in rows)
    return {"proxies": len(rows), "below_unigram": below, "tokens_per_proxy": rows[0]["tokens"]}


def print_summary(status: dict[str, Any], ratios: dict[str, Any], report: str, seconds: float) -> None:
    """The table at the end."""
    rows = []
    for name, books in status["sources"].items():
        documents, tokens = books["documents"], sum(books["tokens"].values())
        gone = sum(documents["dropped"].values()) + sum(documents["failed"].values())
        rows.append((name, documents["in"], documents["kept"], gone, books["bytes"]["kept"], tokens))
    print_table("corpus", ("source", "documents", "kept", "dropped or failed", "bytes kept", "tokens"), rows)
    swarm, choice, measured = ratios["swarm"], ratios["choice"], ratios["measured"]
    click.echo(
        f"\nswarm: {swarm['proxies']} proxies on {swarm['tokens_per_proxy']:,} tokens each; "
        f"{swarm['below_unigram']} ended below the unigram entropy of their held-out text\n"
    )
    print_choice(choice)
    losses: list[tuple[str, float | None, float]] = [("chosen", choice["predicted"]["value"], measured["chosen"])]
    losses += [
        (name, choice["compared"].get(name), measured[name]) for name in ("natural", "uniform") if name in measured
    ]
    print_table("\nbits per byte of the target", ("mixture", "predicted", "measured"), losses)
    click.echo(f"\n{seconds:.0f} s; the report: {report}")
