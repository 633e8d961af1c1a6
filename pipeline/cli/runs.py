"""Commands on run folders: status, verify, report, clean."""

import click

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.cli.recipes import print_status
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder

run_argument = click.argument("run")


def existing_run(url: str) -> RunFolder:
    """The run folder, which must hold a run."""
    run = RunFolder(url)
    if not run.exists("phases.json"):
        raise RequestError(f"{url}: no run is here. `corpusmill build RECIPE --run {url}` makes one.")
    return run


@click.command()
@run_argument
@json_option
def status(run: str, as_json: bool) -> None:
    """How far RUN is, and its books.

    Example: corpusmill status runs/quickstart
    """
    from corpusmill.pipeline.status import read_status

    found = read_status(existing_run(run))
    if as_json:
        print_json(found)
    else:
        print_status(found)


@click.command()
@run_argument
@json_option
def verify(run: str, as_json: bool) -> None:
    """Compare every file of RUN with its receipt, and count its books again. Exit 1 unless all is well.

    Example: corpusmill verify runs/quickstart
    """
    from corpusmill.pipeline.verify import verify as do_verify
    from corpusmill.stages.tokens.verify_tokens import token_problems

    found = do_verify(existing_run(run), [token_problems])
    if as_json:
        print_json(found.as_json())
    else:
        for problem in found.problems:
            block = f", MiB {problem.block}" if problem.block >= 0 else ""
            click.echo(f"{problem.file}{block}: {problem.kind}: {problem.message}")
        repeated = f"; {found.num_repeated_ids:,} repeated ids" if found.num_repeated_ids else ""
        state = "ok" if found.ok else f"{len(found.problems)} problems"
        click.echo(f"{run}: {state}; {found.num_files:,} files, {found.num_bytes:,} bytes{repeated}")
    if not found.ok:
        raise click.exceptions.Exit(1)


@click.command()
@run_argument
@json_option
def report(run: str, as_json: bool) -> None:
    """Write RUN/report.html (one file, no network) and report.json.

    Example: corpusmill report runs/quickstart
    """
    from corpusmill.pipeline.report import write_report

    folder = existing_run(run)
    write_report(folder)
    if as_json:
        print_json({"format": 1, "report": folder.path("report.html"), "data": folder.path("report.json")})
    else:
        click.echo(folder.path("report.html"))


@click.command()
@run_argument
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@json_option
def clean(run: str, dry_run: bool, as_json: bool) -> None:
    """Remove files of RUN that no receipt names: left by killed attempts and changed settings.

    Example: corpusmill clean runs/quickstart --dry-run
    """
    from corpusmill.pipeline.orphans import clean as do_clean
    from corpusmill.pipeline.orphans import orphans

    folder = existing_run(run)
    names = list(orphans(folder))
    num_bytes = sum(folder.size(name) or 0 for name in names)
    if not dry_run:
        do_clean(folder)
    if as_json:
        print_json({"format": 1, "removed": not dry_run, "files": names, "bytes": num_bytes})
        return
    if names and dry_run:
        print_table("", ("file",), [(name,) for name in names])
    click.echo(f"{len(names)} files, {num_bytes:,} bytes {'would go' if dry_run else 'removed'}")
