"""Commands on a run's documents: explain, show."""

import re

import click

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.cli.runs import existing_run, run_argument
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder

SHOWN_CHARACTERS = 600


@click.command()
@run_argument
@click.argument("doc_id")
@click.option("--tokens", "with_tokens", is_flag=True, help="Its token ids, each with its piece.")
@json_option
def explain(run: str, doc_id: str, with_tokens: bool, as_json: bool) -> None:
    """What became of the document DOC_ID, by which rule, and where its tokens are.

    Example: corpusmill explain runs/quickstart sample/en-spam-1
    """
    from corpusmill.pipeline.explain import explain as do_explain

    found = do_explain(existing_run(run), doc_id)
    if with_tokens:
        from corpusmill.stages.tokens.locate import tokens_of

        found["tokens"] = [list(pair) for pair in tokens_of(existing_run(run), doc_id)]
    if as_json:
        print_json(found)
        return
    rows = [(key, found[key]) for key in ("id", "source", "fate", "phase", "rule", "value", "threshold") if found[key]]
    rows += [(f"duplicate of: {key}", value) for key, value in (found["duplicate_of"] or {}).items()]
    rows += [(f"shard: {key}", value) for key, value in (found["shard"] or {}).items()]
    rows += [(key, value) for key, value in found["measures"].items()]
    print_table("", ("what", "value"), rows)
    if with_tokens:
        print_table("", ("token", "id", "piece"), [(at, *pair) for at, pair in enumerate(found["tokens"])])


@click.command()
@run_argument
@click.option(
    "--dropped", metavar="RULE", help="Documents that RULE caught; a stage's name is all its rules, 'any' all."
)
@click.option("--failed", metavar="REASON", help="Records that became no document for REASON; 'any' is every reason.")
@click.option("-n", "count", type=click.IntRange(1), default=20, show_default=True)
@json_option
def show(run: str, dropped: str | None, failed: str | None, count: int, as_json: bool) -> None:
    """Show kept documents of RUN, dropped ones with rule and value, or failed records with file and reason.

    Example: corpusmill show runs/quickstart --dropped gopher -n 3
    """
    from corpusmill.pipeline.explain import show as do_show
    from corpusmill.pipeline.explain import show_refused

    folder = existing_run(run)
    if dropped is not None and failed is not None:
        raise RequestError("show: --dropped or --failed, one of them")
    refused = list(show_refused(folder, failed or dropped or "any", count, failed=failed is not None))
    documents = [] if failed is not None else list(do_show(folder, dropped, count))
    records = refused[: count - len(documents)] if failed is not None or dropped is not None else []
    if as_json:
        print_json({"format": 1, "documents": documents + records})
        return
    for record in records:
        click.echo(f"── {record['id']}   {record['file']}: {record['rule']}: {record['value']}\n")
    for document in documents:
        caught = (
            f"   {document['rule']} = {document['value']} (limit {document['threshold']})" if "rule" in document else ""
        )
        click.echo(f"── {document['id']}{caught}")
        text = document["text"]
        click.echo("(its text was not kept)" if text is None else visible(text[:SHOWN_CHARACTERS]))
        if text is not None and len(text) > SHOWN_CHARACTERS:
            click.echo(f"… {len(text) - SHOWN_CHARACTERS:,} more characters")
        click.echo()
    click.echo(f"{len(documents) + len(records)} documents", err=True)
    if (failed or dropped) and not documents and not records:
        click.echo(f"Rules and reasons of this run: {', '.join(caught_by(folder)) or 'none'}", err=True)


def visible(text: str) -> str:
    """The text with control characters as U+FFFD: a crawled page is not to steer the terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def caught_by(run: RunFolder) -> list[str]:
    """The rules and reasons by which the run lost documents."""
    from corpusmill.pipeline.status import read_status

    books = [source["documents"] for source in read_status(run)["sources"].values()]
    return sorted({name for each in books for kind in ("dropped", "failed") for name in each[kind]})
