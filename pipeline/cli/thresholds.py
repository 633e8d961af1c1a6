"""Commands on rules: what-if on a finished run, derive-thresholds from good texts."""

import re
from pathlib import Path

import click

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.cli.runs import existing_run, run_argument
from corpusmill.pipeline.errors import RequestError

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
    before, after = (Recipe.of_run(folder, StageTable(), changes) for changes in ((), tuple(overrides)))
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


@click.command(name="derive-thresholds")
@click.argument("paths", nargs=-1, required=True)
@click.option("--language", required=True, help="ISO 639-1 code of the texts, such as hi.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file; other languages in it stay.")
@click.option("--segmenter", default="auto", show_default=True, help="As in the stage that will use them.")
@click.option("--tail", type=click.FloatRange(0, 0.5, min_open=True), default=0.1, show_default=True)
@json_option
def derive_thresholds(
    paths: tuple[str, ...], language: str, out: Path, segmenter: str, tail: float, as_json: bool
) -> None:
    """Thresholds of the stage fineweb2 for a language, from good texts: JSON lines, Parquet or text files, or a RUN.

    Example: corpusmill derive-thresholds runs/quickstart --language en --out thresholds.json
    """
    import json
    from typing import cast

    from corpusmill.stages.measure.derive_thresholds import derive_thresholds as derive
    from corpusmill.stages.measure.reference_texts import reference_texts
    from corpusmill.stages.measure.segmenters import SEGMENTERS, Segmenter

    if segmenter not in SEGMENTERS:
        raise RequestError(f"no such segmenter: {segmenter!r}; there is: {', '.join(SEGMENTERS)}")
    limits = derive(reference_texts(paths), language, cast("Segmenter", segmenter), tail)
    known = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    known[language] = limits
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(known[name], ensure_ascii=False)}" for name in sorted(known))
    out.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    if as_json:
        print_json({"format": 1, "out": str(out), "language": language} | limits)
    else:
        print_table(
            f"{out}: {language}", ("threshold", "value"), [(name, str(value)) for name, value in limits.items()]
        )
