"""The command line: verbs on recipes and run folders. The only room that knows pipeline, stages and mixtures.

Progress goes to stderr, results to stdout; exit 0, 1 (the work failed) or 2 (the request was wrong). Commands import
what they need when they run, so that `corpusmill --help` stays quick.
"""

import os
import sys

import click

from corpusmill.pipeline.cli.classifiers import train_classifier
from corpusmill.pipeline.cli.documents import explain, show
from corpusmill.pipeline.cli.index import index
from corpusmill.pipeline.cli.plans import plan
from corpusmill.pipeline.cli.ratios import choose, fit, sweep
from corpusmill.pipeline.cli.recipes import build, check, init, stages, warmup
from corpusmill.pipeline.cli.runs import clean, report, status, verify
from corpusmill.pipeline.cli.start import quickstart
from corpusmill.pipeline.cli.thresholds import derive_thresholds, what_if
from corpusmill.pipeline.cli.tokens import export, fertility, import_, locate, train_tokenizer
from corpusmill.pipeline.cli.trainer import train
from corpusmill.pipeline.errors import CorpusmillError


class Verbs(click.Group):
    """Commands in the order of the work, each with the whole first sentence of its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(200)) for name, each in self.commands.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="corpusmill")
def cli() -> None:
    """Raw text to pretraining token shards, and the ratios in which to mix them.

    Begin with `corpusmill quickstart`, or `corpusmill init my-corpus`.
    """


for command in (
    *(quickstart, init, check, build, status, verify, explain, show, what_if, report, export, stages),
    *(
        index,
        derive_thresholds,
        fertility,
        locate,
        import_,
        train_tokenizer,
        train_classifier,
        plan,
        sweep,
        fit,
        choose,
        train,
        clean,
        warmup,
    ),
):
    cli.add_command(command)


def main() -> None:
    """The entry point; errors of ours end in one message on stderr and their exit code."""
    try:
        code = cli.main(standalone_mode=False)
        if isinstance(code, int) and code:
            sys.exit(code)  # click gives back the code of its Exit
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        click.echo("stopped; finished units are kept", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except CorpusmillError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {place}{error.strerror or error}. Mend it and run the command again.", err=True)
        sys.exit(1)
