"""The command what-if: other rules on a finished run."""

import re

import click

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.cli.runs import existing_run, run_argument

SETTING = re.compile(r"\s*([A-Za-z][\w-]*)\.(\w+)\s*=\s*(.+)", re.DOTALL)
"""`gopher.min_words=30`; everything else is an expression."""

NAMED = re.compile(r"\s*([A-Za-z][\w.-]*)\s*:\s*(.+)", re.DOTALL)
"""`too_toxic: toxicity > 0.8`"""


@click.command(name="what-if")
@run_argument
@click.option(
    "--rule",
    "rules",
    multiple=True,
    required=True,
    help="A threshold (gopher.min_words=30; null switches it off) or an expression over measured columns, with or "
    "without a name (toxic: toxicity > 0.8). May be given several times.",
)
@json_option
def what_if(run: str, rules: tuple[str, ...], as_json: bool) -> None:
    """What other rules would keep of RUN, by source and rule, from stored measures: no text is opened.

    Example: corpusmill what-if runs/quickstart --rule gopher.min_words=100 --rule "num_bytes < 500 and lang = 'en'"
    """
    from corpusmill.pipeline.build import plan_phases
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.stage import Rule
    from corpusmill.pipeline.what_if import what_if as do_what_if
    from corpusmill.stages.decide.expressions import check_expression
    from corpusmill.stages.names import StageTable, token_phases

    folder = existing_run(run)
    overrides, extra = [], []
    for rule in rules:
        setting, named = SETTING.fullmatch(rule), NAMED.fullmatch(rule)
        if setting:
            overrides.append(f"stages.{setting[1]}.{setting[2]}={setting[3]}")
            continue
        name, when = (named[1], named[2]) if named else (f"what-if({' '.join(rule.split())})", rule)
        extra.append(Rule(name, when=when, columns=check_expression(when)))
    text = folder.read_bytes("resolved.yaml").decode()
    before = Recipe.parse(text, "resolved.yaml", StageTable())
    after = Recipe.parse(text, "resolved.yaml", StageTable(), tuple(overrides))
    found = do_what_if(folder, before, after, plan_phases(after, token_phases), extra)
    if as_json:
        print_json({"format": 1, "run": run} | found)
        return
    columns = ("rule", "documents", "then", "change", "bytes then", "change", "tokens then", "change")
    for source, flow in found["sources"].items():
        rows = []
        for row in flow["rows"]:
            cells = [row["rule"], row["documents"]["now"]]
            for amount in ("documents", "bytes", "tokens"):
                now, then = row[amount]["now"], row[amount]["then"]
                cells += [then, f"{then - now:+,}" if then != now else "·"]
            rows.append(cells)
        print_table(source, columns, rows)
        for gather, count in flow["not_seen_by"].items():
            click.echo(f"  {count:,} of the documents kept were never compared by {gather}: build to know their fate")
    click.echo(f"tokens: {found['tokens']}")
