"""The command `plan`: from a recipe's mixture to a plan file, its continuation in mid-run, documents taken out."""

import re
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.cli.places import place_argument, recipe_and_folder, run_option, section
from corpusmill.pipeline.cli.recipes import set_option
from corpusmill.pipeline.cli.trainer import whole_number
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.settings import check_name


@click.command()
@place_argument
@run_option
@set_option
@click.option("--tokens", help="Tokens of training, such as 20B [default: the recipe's].")
@click.option("--name", default="main", show_default=True, help="Name of the plan file, RUN/plans/NAME.json.")
@click.option(
    "--continue-from", type=int, metavar="STEP", help="Keep the plan up to here, follow the mixture after it."
)
@click.option(
    "--exclude", type=click.Path(path_type=Path), metavar="FILE", help="Document ids, one a line, to take out."
)
@click.option("--from", "from_step", type=int, metavar="STEP", help="Where --exclude begins; nothing else moves.")
@click.option("--batch-rows", type=click.IntRange(min=1), default=1, show_default=True, help="Rows in a step.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw shares and epochs, as a page.")
@json_option
def plan(
    place: str,
    run_url: str | None,
    overrides: tuple[str, ...],
    tokens: str | None,
    name: str,
    continue_from: int | None,
    exclude: Path | None,
    from_step: int | None,
    batch_rows: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Fix which sequence comes when: write RUN/plans/NAME.json and print wanted and realised shares.

    With --continue-from the mixture of the recipe takes over in mid-run: what was consumed stays as it was and counts
    for the caps. With --exclude and --from documents are trained on no more.

    Example: corpusmill plan runs/quickstart --tokens 1M
    """
    from corpusmill.mixtures.plan_curves import plan_curves, save_with_curves

    if exclude is not None and (continue_from is not None or from_step is None):
        raise RequestError("--exclude takes the step with --from STEP, and stands without --continue-from.")
    if from_step is not None and exclude is None:
        raise RequestError(
            "--from says where --exclude FILE begins: give both. To change the mixture: --continue-from."
        )
    check_name("--name", name)
    recipe, run = recipe_and_folder(place, run_url, overrides)
    if exclude is not None and from_step is not None:
        made = without_documents(run, name, exclude, from_step * batch_rows)
    else:
        position = None if continue_from is None else continue_from * batch_rows
        made = plan_of(section(recipe, "mixture"), run, name, tokens, position)
    path = save_with_curves(made, run, name)
    if plot is not None:
        from corpusmill.pipeline.report.page import render_plan

        plot.write_text(render_plan(f"plan {name}", plan_curves(made)), encoding="utf-8")
    facts = plan_facts(made, run)
    if as_json:
        print_json({"format": 1, "plan": path, "tokens": made.num_tokens, **facts})
    else:
        print_plan(path, made.num_tokens, facts)


def plan_of(mixture: Any, run: RunFolder, name: str, tokens: str | None, position: int | None) -> Any:
    """A new plan, or the stored one of this name continued from a position."""
    from corpusmill.mixtures.continuation import continue_plan
    from corpusmill.mixtures.mixture import make_plan
    from corpusmill.mixtures.sources import read_manifest

    if tokens is not None:
        mixture = replace(mixture, tokens=whole_number("--tokens", tokens))
    manifest = read_manifest(run)
    if position is None:
        return make_plan(manifest, mixture)
    return continue_plan(stored_plan(run, name), position, manifest, mixture)


def without_documents(run: RunFolder, name: str, ids: Path, position: int) -> Any:
    """The stored plan of this name without the documents of a list."""
    from corpusmill.mixtures.exclusions import exclude
    from corpusmill.mixtures.sources import read_manifest

    old = stored_plan(run, name)
    return exclude(old, old.sources_in(read_manifest(run)), run, read_ids(ids), position)


def stored_plan(run: RunFolder, name: str) -> Any:
    from corpusmill.mixtures.plan import Plan

    return Plan.load(f"{run.url.rstrip('/')}/plans/{name}.json")


def read_ids(path: Path) -> list[str]:
    """Document ids, one a line; empty lines are passed over."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read as lines of ids: {error}") from error


def plan_facts(made: Any, run: RunFolder) -> dict[str, Any]:
    """{rows, totals, changes, packings}: by source and phase, over the whole plan, what a continuation changes, and
    what packing did; the last two empty where there is nothing to say."""
    from corpusmill.mixtures.continuation import plan_changes
    from corpusmill.mixtures.packing import packing_facts
    from corpusmill.mixtures.plan import plan_table, plan_totals

    packings = []
    for source in made.sources:
        if source.packing is not None:
            facts = packing_facts(run, source.packing)
            slots = facts["num_tokens"] + facts["num_padding"]
            packings.append(
                {
                    "source": source.name,
                    "documents": facts["num_documents"],
                    "cut": facts["num_cut"],
                    "rows": facts["num_bins"],
                    "tokens": facts["num_tokens"],
                    "padding": facts["num_padding"],
                    "filled": facts["num_tokens"] / max(slots, 1),
                }
            )
    return {
        "rows": plan_table(made),
        "totals": plan_totals(made),
        "changes": plan_changes(made) if made.before else [],
        "packings": packings,
        "excluded": [{"from": each.position, "documents": each.num_documents} for each in made.excluded],
    }


def steps_together(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a plan's table with the steps of one phase, `main-1` to `main-20`, as one phase: a curriculum of
    twenty steps over nine buckets would be 180 lines."""
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    title: dict[str, str] = {}
    for _, steps in groupby(phases, key=lambda phase: re.sub(r"-[0-9]+$", "", phase)):
        names = list(steps)
        title |= dict.fromkeys(names, names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}")
    tokens, together = Counter[str](), Counter[str]()
    for row in rows:
        tokens[row["phase"]] += row["tokens"]
        together[title[row["phase"]]] += row["tokens"]
    made: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        name = title[row["phase"]]
        place = (name, row["source"], row["bucket"])
        nothing = row | {"phase": name, "wanted": 0.0, "realised": 0.0, "tokens": 0, "epochs": 0.0}
        sums = made.setdefault(place, nothing)
        part = tokens[row["phase"]] / max(together[name], 1)  # shares are of a phase's tokens
        sums["wanted"] += part * row["wanted"]
        sums["realised"] += part * row["realised"]
        sums["tokens"] += row["tokens"]
        sums["epochs"] += row["epochs"]
    return list(made.values())


def print_plan(path: str, num_tokens: int, facts: dict[str, Any]) -> None:
    """Tables for people."""
    several = len({row["phase"] for row in facts["rows"]}) > 1
    titles = {
        "rows": f"{path}: {num_tokens:,} tokens",
        "totals": "\nthe whole plan",
        "changes": "\ntokens before and after the change: consumed, then as it was planned, then as it is now",
        "packings": "\npacking",
        "excluded": "\ndocuments taken out, by position",
    }
    for key, title in titles.items():
        rows = facts[key]
        if key == "rows":  # each step of a curriculum, and what a phase neither wants nor draws, is in the JSON alone
            rows = [row for row in steps_together(rows) if row["wanted"] or row["tokens"]]
        if rows and (key != "totals" or several):
            print_table(title, list(rows[0]), [list(row.values()) for row in rows])
